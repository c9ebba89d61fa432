"""konductor under the name just-one-init on one machine: its flags, its environment, its probes, its exit codes, and what
it says of mistakes. On Kubernetes: tests/e2e/kube/test_just_one_init.py."""

import json
import os
import resource
import signal
import socket
import subprocess
import unittest

import just_one_init as joi
from lib import ClusterTest, children, wait_for

LEADER = '{"status":"ok","state":"BecameLeader"}'
FOLLOWER = '{"status":"ok","state":"BecameFollower"}'
STOPPING = '{"status":"error","state":"BeganShutdown"}'


class CommandLine(ClusterTest):
    def run_it(self, *argv, **env):
        return joi.run(self.cluster, *argv, env=env)

    def test_the_entrypoint_of_its_dockerfile_runs_the_command_behind_it(self):
        done = self.run_it("--", "bash", "-c", 'echo "Hello World"', LEASE_NAME="my-lease")
        self.assertEqual((0, "Hello World\n"), (done.returncode, done.stdout), done.stderr)

    def test_every_form_of_the_command_line_runs_the_same(self):
        forms = [["--lease-name", "x", "--"], ["--lease-name=x"], ["-lx", "--"], ["-l", "x", "--lease-ttl", "30"],
                 ["-l=x", "-t5", "--listen-addr=off", "--reelect-after=30min", "-o", "me", "-p", "default", "--"]]
        for form in forms:
            with self.subTest(form=form):
                done = self.run_it(*form, "sh", "-c", "echo $KONDUCTOR_LEASE")
                self.assertEqual((0, "x\n"), (done.returncode, done.stdout), done.stderr)

    def test_a_flag_goes_before_its_variable_and_the_command_finds_the_variable_as_it_was(self):
        done = self.run_it("-l", "flag", "-o", "me", "sh", "-c", "echo $KONDUCTOR_LEASE $KONDUCTOR_HOLDER $LEASE_NAME $LEASE_TTL",
                           LEASE_NAME="variable", HOSTNAME="other", LEASE_TTL="20")
        self.assertEqual("flag me variable 20\n", done.stdout, done.stderr)

    def test_the_code_of_the_command_is_kept(self):
        for command, code in ((["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137),
                              (["no-such-command"], 127), (["/"], 126)):
            with self.subTest(command=command):
                self.assertEqual(code, self.run_it("-l", "x", "--", *command).returncode)

    def test_mistakes_are_told_before_anything_runs_with_the_code_of_its_parser(self):
        work = ("touch", "ran")
        mistakes = {
            (): "no Lease is named; set LEASE_NAME",
            ("-l", "x"): "there is no command",
            ("-l", "x", "--"): "there is no command",
            ("--lease-nam", "x", *work): "did you mean --lease-name?",
            ("-l", "x", "-l", "y", *work): "--lease-name is given twice",
            ("-l", "--", *work): "--lease-name needs a value",
            ("-l", "A b", *work): "--lease-name: bad name",
            ("-l", "x", "-p", "a.b", *work): "--pod-namespace: bad name",
            ("-l", "x", "-t", "soon", *work): '--lease-ttl: "soon" is no whole number of seconds',
            ("-l", "x", "-t", "1", *work): "is not from 3 to",
            ("-l", "x", "-a", "localhost:80", *work): "is no address with a port",
            ("-l", "x", "-a", "1.2.3:80", *work): "takes a numeric address and a port",
            ("-l", "x", "-r", "1.5h", *work): "--reelect-after",
            ("-l", "x", "--hostname=", *work): "--hostname: it is empty",
        }
        for argv, sentence in mistakes.items():
            with self.subTest(argv=argv):
                done = self.run_it(*argv)
                self.assertEqual((2, ""), (done.returncode, done.stdout), done.stderr)
                self.assertIn(sentence, done.stderr)
                self.assertFalse((self.cluster.directory / "ran").exists())

    def test_help_and_version_are_answers(self):
        done = self.run_it("--help")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for word in ("--lease-name", "LEASE_NAME", "--pod-namespace", "POD_NAMESPACE", "--hostname", "HOSTNAME", "--listen-addr",
                     "LISTEN_ADDR", "--lease-ttl", "LEASE_TTL", "--reelect-after", "REELECT_AFTER", "RUST_LOG"):
            self.assertIn(word, done.stdout)
        done = self.run_it("-V")
        self.assertRegex(done.stdout, r"^just-one-init \(konductor \d+\.\d+\.\d+\)\n$")

    def test_without_kubernetes_it_never_falls_back_to_a_file_of_this_machine(self):
        pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
        for env, sentence in (({"KUBECONFIG": None}, "KUBECONFIG"), (pod, "service account")):
            with self.subTest(sentence):
                done = self.run_it("-l", "x", "touch", "ran", KONDUCTOR_STORE=None, HOME=str(self.cluster.directory), **env)
                self.assertEqual(78, done.returncode, done.stderr)
                self.assertIn(sentence, done.stderr)
                self.assertEqual([], list(self.cluster.directory.iterdir()))

    def test_rust_log_says_what_is_logged(self):
        for value, expected in (("error", ""), ("warn,just_one_init=info", "x: held"), ("nonsense", "x: held")):
            with self.subTest(value):
                done = self.run_it("-l", "x", "true", RUST_LOG=value)
                if expected:
                    self.assertIn(expected, done.stderr)
                else:
                    self.assertEqual("", done.stderr)

    def test_without_an_address_it_answers_where_the_probes_of_its_manifests_ask(self):
        ask = """if [ "$(curl --write-out "%{http_code}\n" --silent --output /dev/null "http://127.0.0.1:5047")" -eq 200 ]; then
                   curl --silent http://127.0.0.1:5047/healthcheck; fi"""
        own_network = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "sh", "-c",
                       'ip link set lo up && exec "$0" "$@"']
        if subprocess.run([*own_network, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no network namespaces here")
        a = joi.start(self.cluster, "a", ["-l", "x", "--", "sh", "-c", ask], env={"LISTEN_ADDR": None}, wrapper=own_network)
        self.assertEqual(0, a.wait(), a.stderr)
        self.assertEqual(LEADER, a.stdout)

    def test_an_address_that_is_asked_for_and_taken_is_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            done = self.run_it("-l", "x", "touch", "ran", LISTEN_ADDR=f"127.0.0.1:{server.getsockname()[1]}")
        self.assertEqual(78, done.returncode, done.stderr)
        self.assertIn("error --listen-addr: the probe endpoint cannot listen on", done.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_the_script_says_what_is_wrong_with_its_environment(self):
        for env, sentence in (({}, "LEASE_NAME is not set"), ({"LEASE_NAME": "x", "LEASE_TTL": "soon"}, 'bad duration "soons"')):
            with self.subTest(sentence):
                done = self.cluster.run("run", "@just-one-init", "--listen", "off", "--", "touch", "ran", env=env)
                self.assertEqual(65, done.returncode)
                self.assertIn(sentence, done.stderr)


class Replicas(ClusterTest):
    def start(self, name, argv=None, **env):
        return joi.start(self.cluster, name, argv or ["--", *joi.work()], env={"LEASE_NAME": "x", **env})

    def test_one_works_and_when_it_is_killed_the_other_does(self):
        a = self.start("a")
        joi.wait_begun(self.cluster, 1)
        b = self.start("b")
        b.wait_stderr("held by a")
        a.kill()
        self.assertEqual(["a", "b"], joi.wait_begun(self.cluster, 2))
        self.assertEqual(143, b.stop())

    def test_probes_answer_as_its_own_at_both_paths(self):
        a = self.start("a", ["--", *joi.work("trap : TERM; sleep 100000 & wait; touch asked; until [ -e end ]; do sleep 0.05; done")])
        joi.wait_begun(self.cluster, 1)
        b = self.start("b")
        b.wait_stderr("held by a")
        for path in ("/", "/healthcheck"):
            self.assertEqual((200, LEADER), joi.ask(a, path))
            self.assertEqual((404, FOLLOWER), joi.ask(b, path))
        a.signal(signal.SIGTERM)
        a.wait_for((self.cluster.directory / "asked").exists, what="the end that was asked for")
        for path in ("/", "/healthcheck"):
            self.assertEqual((503, STOPPING), joi.ask(a, path))
        self.assertEqual(["a"], joi.begun(self.cluster), "what has not ended is not replaced")
        (self.cluster.directory / "end").touch()
        a.wait()
        joi.wait_begun(self.cluster, 2)
        joi.wait_answer(b, 200)

    def test_who_leads_when_it_starts_answers_404_before_and_200_then(self):
        held = self.start("held")
        joi.wait_begun(self.cluster, 1)
        follower = self.start("follower")
        joi.wait_answer(follower, 404)
        held.kill()
        joi.wait_answer(follower, 200)

    def test_the_end_of_the_command_ends_it_and_the_next_one_leads(self):
        a = self.start("a", ["--", *joi.work("until [ -e end ]; do sleep 0.05; done; exit 3")])
        joi.wait_begun(self.cluster, 1)
        b = self.start("b")
        b.wait_stderr("held by a")
        (self.cluster.directory / "end").touch()
        self.assertEqual(3, a.wait())
        self.assertEqual(["a", "b"], joi.wait_begun(self.cluster, 2))

    def test_after_its_term_it_makes_way_for_who_waits_and_comes_again(self):
        for name in ("a", "b"):
            self.start(name, REELECT_AFTER="1sec", LEASE_TTL="9")
        names = joi.wait_begun(self.cluster, 4)[:4]
        self.assertIn(names, (["a", "b"] * 2, ["b", "a"] * 2))

    def test_a_term_that_nobody_waits_for_does_not_end(self):
        a = self.start("a", REELECT_AFTER="1s", LEASE_TTL="3")
        joi.wait_begun(self.cluster, 1)
        # As many renewals as there can be: at each of them the term is over.
        a.wait_for(lambda: any(json.loads(row["status"]).get("renewals", 0) >= 3 for row in self.cluster.store_rows()),
                   what="the third renewal")
        self.assertEqual(["a"], joi.begun(self.cluster))

    def test_as_pid_1_it_hears_sigterm_and_stops_the_command_first(self):
        namespaces = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:
            namespaces.insert(1, "--map-root-user")
        if subprocess.run([*namespaces, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no namespaces here")
        a = joi.start(self.cluster, "a", ["--", *joi.work("trap 'echo asked >> \"$WORK_LOG\"; exit 9' TERM; sleep 100000 & wait")],
                      env={"LEASE_NAME": "x"}, wrapper=namespaces)
        joi.wait_begun(self.cluster, 1)
        first, = children(a.pid)
        os.kill(first, signal.SIGTERM)
        self.assertEqual(9, a.wait())
        self.assertEqual(["a", "asked"], joi.begun(self.cluster))
        b = self.start("b")
        b.wait_stderr("held, fence")
        self.assertIn("(free)", b.stderr, "it was released")

    def test_the_script_and_the_name_are_one(self):
        a = self.start("a")
        joi.wait_begun(self.cluster, 1)
        b = self.cluster.start("@just-one-init", name="b", command=joi.work(), env={
            "LEASE_NAME": "x", "REELECT_AFTER": "30m", "WORK_LOG": joi.log_path(self.cluster)})
        b.wait_stderr("held by a")
        self.assertEqual(143, a.stop())
        self.assertEqual(["a", "b"], joi.wait_begun(self.cluster, 2))


class Copies(ClusterTest):
    """What its initContainer does: cp -v of the file out of an image that has no cp but us."""

    def setUp(self):
        super().setUp()
        self.volume = self.cluster.directory / "just-one-init"
        self.volume.mkdir()
        self.target = self.volume / "just-one-init"
        self.source = joi.link(self.cluster)

    def cp(self, *argv, **how):
        return joi.run(self.cluster, *argv, name="cp", **how)

    def left(self):
        return sorted(path.name for path in self.volume.iterdir())

    def test_cp_v_as_its_manifest_calls_it_leaves_a_program_that_runs(self):
        done = self.cp("-v", self.source, self.target)
        self.assertEqual((0, f"'{self.source}' -> '{self.target}'\n", ""), (done.returncode, done.stdout, done.stderr))
        self.assertEqual(["just-one-init"], self.left())
        self.assertEqual(os.stat(self.source).st_mode & 0o777, os.stat(self.target).st_mode & 0o777)
        copy = subprocess.run([self.target, "-l", "x", "-a", "off", "--", "echo", "ran"], capture_output=True, text=True, check=True,
                              env=self.cluster.env(), timeout=600)
        self.assertEqual("ran\n", copy.stdout)

    def test_a_copy_that_runs_is_replaced_as_when_an_init_container_runs_again(self):
        self.cp(self.source, self.target)
        running = joi.start(self.cluster, "a", ["-l", "x", "--", *joi.work()], program=self.target)
        joi.wait_begun(self.cluster, 1)
        self.assertEqual(0, self.cp("-fv", self.source, self.volume).returncode)
        self.assertEqual(143, running.stop())
        self.assertEqual(["just-one-init"], self.left())

    def test_the_names_that_install_makes_answer(self):
        self.cluster.run("install", self.volume)
        self.assertEqual(["just-one-init", "koncli", "konductor"], self.left())
        done = subprocess.run([self.target, "--version"], capture_output=True, text=True, env=self.cluster.env(), timeout=600,
                              check=True)
        self.assertTrue(done.stdout.startswith("just-one-init "), done.stdout)

    def test_what_cannot_be_copied_is_told_and_nothing_is_left(self):
        os.mkfifo(self.cluster.directory / "fifo")
        cases = {
            ("nothing", self.target): "cannot read nothing: No such file",
            (self.cluster.directory, self.target): "is no regular file",
            ("fifo", self.target): "is no regular file",
            (self.source, self.volume / "missing" / "x"): "cannot write",
            (self.source, self.source): "are the same file",
            (self.source,): "one file and its target are expected",
            (self.source, self.source, self.volume): "one file and its target are expected",
            ("-r", self.source, self.volume): "-r is not understood; this cp copies one file",
            (self.source, ""): "one file and its target are expected",
        }
        for argv, sentence in cases.items():
            with self.subTest(sentence):
                done = self.cp(*argv)
                self.assertEqual((1, ""), (done.returncode, done.stdout))
                self.assertIn(sentence, done.stderr)
                self.assertEqual([], self.left())

    def test_a_disk_that_is_full_leaves_nothing(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        done = self.cp(self.source, self.target, preexec_fn=limit)
        self.assertEqual(1, done.returncode)
        self.assertIn("File too large", done.stderr)
        self.assertEqual([], self.left())


if __name__ == "__main__":
    unittest.main()
