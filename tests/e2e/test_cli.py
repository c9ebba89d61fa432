"""The command line around a run: help, version, completions, plan, probe, install, log, options."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import unittest
import urllib.error
import urllib.request

from lib import ClusterTest, binary, wait_for

HEAD = 'local k = require "konductor"\n'


class Commands(ClusterTest):
    def ok(self, *args, **how):
        done = self.cluster.run(*args, **how)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def refused(self, *args, code=64, **how):
        done = self.cluster.run(*args, **how)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        return done.stderr

    def test_version_names_the_program_and_its_libraries(self):
        for args in (["version"], ["--version"], ["-V"]):
            self.assertRegex(self.ok(*args), r"^konductor \d+\.\d+\.\d+\nLuaJIT .*SQLite 3\..*libcurl ")
        self.assertIn("konductor", json.loads(self.ok("version", "-o", "json")))
        self.refused("version", "x")

    def test_help_shows_the_commands_and_each_has_its_own_with_an_example(self):
        text = self.ok("help")
        self.assertEqual(self.ok("--help"), text)
        for command in ("run", "plan", "sim", "crds", "rbac", "probe", "install", "completion"):
            self.assertIn(f"konductor {command}", text)
            own = self.ok("help", command)
            self.assertEqual(self.ok(command, "--help"), own)
            self.assertIn("Example", own)
            self.assertLessEqual(max(map(len, own.splitlines())), 110)

    def test_no_command_and_an_unknown_one_are_misuse(self):
        self.assertIn("konductor run SCRIPT.lua", self.refused())
        self.assertIn('did you mean "plan"?', self.refused("pln"))
        self.assertIn("konductor run init.lua", self.refused("init.lua"))
        self.assertIn('did you mean "plan"?', self.refused("help", "plna"))
        self.assertIn('did you mean "scripts"?', self.refused("help", "script"))

    def test_a_word_of_koncli_leads_there(self):
        for words, there in ((["once", "list"], "koncli once list"), (["lease", "acquire", "db"], "koncli lease list"),
                             (["status"], "koncli status"), (["get", "once"], "koncli status"), (["koncli"], "koncli help"),
                             (["help", "once"], "koncli once list")):
            with self.subTest(words=words):
                self.assertIn(f"a link to it: {there}\n", self.refused(*words))

    def test_help_of_a_built_in_script_is_what_it_says_of_itself(self):
        listed = re.findall(r"^  (@\S+)", self.ok("help", "scripts"), re.M)
        self.assertIn("@leader", listed)
        for name in listed:
            with self.subTest(script=name):
                said = self.ok("help", name)
                self.assertIn(f"konductor run {name}", said)
                self.assertNotIn("local k", said)
        self.assertIn("PRIORITY", self.ok("help", "@leader"))
        self.assertIn("did you mean @leader?", self.refused("help", "@leadr"))

    def test_the_list_of_built_in_scripts_tells_of_each_in_a_sentence(self):
        for name, said in re.findall(r"^  (@\S+) +(.*)$", self.ok("help", "scripts"), re.M):
            with self.subTest(script=name):
                self.assertRegex(said, r"^\w.*\.$")
                self.assertGreater(len(said.split()), 6)

    def test_misuse_of_a_command_is_64_with_its_usage(self):
        for args, words in ((["run"], "missing argument 'script'"), (["run", "a", "b", "c"], 'too many arguments: "b"; a command stands behind "--": konductor run a -- b c'),
                            (["run", "a", "--grase", "1s"], "unknown option '--grase'"), (["run", "a", "--grace", "5"], '"5s"'),
                            (["run", "a", "--log-format", "jsno"], 'not "jsno"; did you mean "json"?'), (["run", "a", "--holder", ""], "--holder is empty"),
                            (["run", "a", "--namespace", "Prod"], "--namespace: bad name"), (["run", "a", "--"], 'no command stands behind "--"'),
                            (["plan", "a", "--output=png"], "'svg', not \"png\""), (["completion", "bahs"], 'not "bahs"; did you mean "bash"?'),
                            (["probe", "--timeout", "1"], "--timeout: bad duration")):
            with self.subTest(args=args):
                self.assertIn(words, self.refused(*args))

    def test_completions_are_taken_by_their_shells(self):
        for shell in ("bash", "zsh", "fish"):
            text = self.ok("completion", shell)
            self.assertIn("install", text)
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=text, text=True, check=True)
        self.assertIsNotNone(shutil.which("bash"))

    def test_completions_offer_files_and_the_built_in_scripts(self):
        self.cluster.file("shop.lua", "")
        script = self.ok("completion", "bash")
        for command in ("run", "plan", "rbac", "sim"):
            # "@" ends a word of bash, so that the words are these
            for words, line, offered in ((f"konductor {command} @ le", f"konductor {command} @le", {"leader"}),
                                         (f"konductor {command} ''", f"konductor {command} ", {"@leader", "shop.lua"}),
                                         (f"konductor {command} --o", f"konductor {command} --o", set())):
                asked = (f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{line}'; "
                         f'COMP_POINT=${{#COMP_LINE}}; _konductor_scripts; printf "%s\n" "${{COMPREPLY[@]}}"')
                done = subprocess.run(["bash", "-c", f"COMP_WORDBREAKS=@\n{script}\n{asked}"], capture_output=True, text=True,
                                      check=True, cwd=self.cluster.directory)
                got = set(done.stdout.split())
                self.assertEqual((offered - got, bool(offered) or not got & {"@leader", "leader"}), (set(), True), line)
        for shell in ("zsh", "fish"):
            self.assertIn("@leader", self.ok("completion", shell))
        self.assertEqual(self.ok("completion", "zsh").count('": :_konductor_script"'), 4)

    def test_install_copies_a_program_that_works(self):
        self.assertIn("No such file", self.refused("install", self.cluster.directory / "none", code=78))
        target = self.cluster.directory / "shared"
        target.mkdir()
        path = self.ok("install", target).strip()
        self.assertEqual(path, str(target / "konductor"))
        copy = subprocess.run([path, "version"], capture_output=True, text=True, check=True)
        self.assertEqual(copy.stdout, self.ok("version"))

    def test_a_command_is_refused_that_would_never_run(self):
        script = self.cluster.script(HEAD + 'k.flow "f" { k.main { "touch", "ran" } }\n')
        self.assertIn('the command behind "--" would never run', self.refused("run", script, "--listen", "off", "--", "true"))
        self.assertFalse((self.cluster.directory / "ran").exists())


class Plan(ClusterTest):
    SCRIPT = HEAD + '''
k.flow "shop" {
  k.stage "one" { run = { "touch", "ran" } },
  k.stage "two" { run = function() k.exec { "touch", "ran" } end, after = "one", version = "v1" },
  k.main { "web" },
}
'''

    def plan(self, *args):
        done = self.cluster.run("plan", self.cluster.script(self.SCRIPT), *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse((self.cluster.directory / "ran").exists())
        return done.stdout

    def test_it_shows_stages_in_order_and_runs_nothing(self):
        text = self.plan()
        self.assertLess(text.index("one"), text.index("two"))
        self.assertIn("0 of 2 stages done", text)
        self.assertIn("touch ran", text)

    def test_a_ttl_that_the_record_does_not_have_is_not_shown_as_if_it_had(self):
        for ttl, shown in (("1h", "record kept 1h\n"), ("2h", "record kept 1h, as its object says\n")):
            script = self.cluster.script(HEAD + f'k.once "one" {{ run = {{ "true" }}, ttl = "{ttl}" }}\n')
            self.assertEqual(self.cluster.start(script).wait(), 0)
            self.assertIn(shown, self.cluster.run("plan", script).stdout)

    def test_what_is_done_is_read_from_the_store(self):
        once = self.cluster.script(HEAD + 'k.flow "shop" { k.stage "one" { run = { "true" } } }\n')
        self.assertEqual(self.cluster.start(once).wait(), 0)
        self.assertIn("1 of 2 stages done", self.plan())
        self.assertNotIn("done", self.plan("--offline"))

    def test_every_form_is_what_it_says(self):
        self.assertTrue(self.plan("-o", "dot").startswith("digraph"))
        self.assertIn("flowchart", self.plan("-o", "mermaid"))
        self.assertTrue(self.plan("-o", "svg").startswith("<svg"))

    def test_waiting_calls_are_listed_and_not_made(self):
        script = self.cluster.script(HEAD + 'k.exec { "touch", "ran" }\nwhile true do k.sleep "1s" end\n')
        done = self.cluster.run("plan", script)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("k.exec touch", done.stdout)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_mistakes_are_65(self):
        done = self.cluster.run("plan", self.cluster.script(HEAD + "k.flow {}\n"))
        self.assertEqual(done.returncode, 65)


class Probe(ClusterTest):
    def get(self, port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def start(self, text, **how):
        replica = self.cluster.start(self.cluster.script(HEAD + text), listen="127.0.0.1:0", options=["-v"], **how)
        replica.wait_stderr("probe endpoint on port ")
        return replica, int(replica.stderr.split("probe endpoint on port ")[1].split()[0])

    def test_probe_takes_a_path_without_its_slash_but_no_host_for_a_path(self):
        for path in ("livez", "/livez"):
            told = self.cluster.run("probe", path)
            self.assertIn("http://127.0.0.1:5047/livez", told.stdout + told.stderr)
        told = self.cluster.run("probe", "nohost.invalid", "-t", "1s")
        self.assertEqual(told.returncode, 1)
        self.assertNotIn("5047", told.stderr)

    def test_probe_waits_as_long_as_it_is_told_and_always_ends_with_1(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            for timeout in ("3s", "0"):
                told = self.cluster.run("probe", url, "-t", timeout, env={"KONDUCTOR_STUCK_MS": "2000"})
                self.assertEqual((told.returncode, told.stderr.startswith("konductor probe:")), (1, True), told.stderr)

    def test_ready_comes_after_the_stages_and_live_before(self):
        replica, port = self.start('''k.flow "f" {
            k.stage "a" { run = { "sh", "-c", "while ! [ -e go ]; do sleep 0.01; done" } },
            k.main { "sleep", "1000" } }''')
        self.assertEqual((self.get(port, "/livez")[0], self.get(port, "/readyz")[0]), (200, 503))
        (self.cluster.directory / "go").touch()
        wait_for(lambda: self.get(port, "/readyz")[0] == 200, what="ready")
        self.assertEqual(self.get(port, "/leaderz")[0], 503)
        self.assertEqual(self.cluster.run("probe", f"http://127.0.0.1:{port}/readyz").returncode, 0)
        self.assertEqual(self.cluster.run("probe", f"http://127.0.0.1:{port}/leaderz").returncode, 1)
        self.assertEqual(replica.stop(), 143)

    def test_the_leader_says_so_and_a_standby_is_ready_unless_told_otherwise(self):
        text = 'k.lease "l" { main = { "sleep", "1000" }, standby_ready = %s }'
        leader, port = self.start(text % "true", name="leader")
        wait_for(lambda: self.get(port, "/leaderz")[0] == 200, what="the leader")
        self.assertEqual(self.get(port, "/")[0], 200)
        for ready, code in (("true", 200), ("false", 503)):
            standby, other = self.start(text % ready, name=f"standby-{ready}")
            standby.wait_event("join")
            self.assertEqual((self.get(other, "/leaderz")[0], self.get(other, "/")[0]), (503, 404))
            wait_for(lambda: self.get(other, "/readyz")[0] == code, what=f"/readyz {code}")
            self.assertEqual(standby.stop(), 143)
        wait_for(lambda: 'konductor_holding{kind="Lease",name="l"} 1' in self.get(port, "/metrics")[1], what="metrics")
        metrics = self.get(port, "/metrics")[1]
        self.assertRegex(metrics, r'konductor_events_total\{event="claim"\} 1')

    def test_a_taken_address_that_was_asked_for_is_an_error_and_another_a_warning(self):
        first, port = self.start('k.exec { "sleep", "1000" }')
        script = self.cluster.script(HEAD + 'k.exec { "true" }\n')
        self.assertEqual(self.cluster.start(script, listen=f"127.0.0.1:{port}").wait(), 78)
        self.assertEqual(first.stop(), 143)


class Log(ClusterTest):
    SCRIPT = HEAD + 'k.log("hello", { number = 7 })\nk.log.debug "details"\nk.log.error "bad\\nnews"\nk.exec { "true" }\n'

    def stderr(self, *options):
        done = self.cluster.run("run", self.cluster.script(self.SCRIPT), "--listen", "off", *options)
        self.assertEqual(done.returncode, 0)
        return done.stderr.splitlines()

    def test_one_line_an_event_with_time_and_level(self):
        lines = self.stderr()
        self.assertRegex(lines[0], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info hello$")
        self.assertRegex(lines[1], r"Z error bad\\x0anews$")
        self.assertEqual(len(lines), 2)

    def test_levels(self):
        self.assertIn("debug details", "\n".join(self.stderr("-v")))
        self.assertNotIn("hello", "\n".join(self.stderr("-q")))
        self.assertNotIn("hello", "\n".join(self.stderr("--log-level", "warn")))

    def test_json_lines(self):
        first = json.loads(self.stderr("--log-format", "json", "--holder", "pod-3")[0])
        self.assertEqual((first["msg"], first["level"], first["number"], first["holder"]), ("hello", "info", 7, "pod-3"))

    def test_json_lines_about_an_object_name_it(self):
        script = self.cluster.script(HEAD + 'k.once "job" { run = { "sleep", "1000" }, timeout = "10ms", retries = 0 }\n')
        told = self.cluster.run("run", script, "--listen", "off", "--log-format", "json").stderr
        lines = [json.loads(line) for line in told.splitlines()]
        for words in ("job: claimed, fence ", "job: the work took longer than its limit",
                      "job: attempt 1 failed: took longer than 10ms"):
            about = [line for line in lines if line["msg"].startswith(words)]
            self.assertEqual([(line["kind"], line["name"]) for line in about], [("Once", "job")], told)

    def test_a_terminal_gets_a_live_line_with_the_time_left(self):
        holder = self.cluster.start("@mutex-exec", command=["sleep", "1000"], name="first")
        holder.wait_event("start")
        main, side = pty.openpty()
        process = subprocess.Popen([binary(), "run", "@mutex-exec", "--listen", "off", "--", "true"],
                                   env=self.cluster.env(holder="second"), stderr=side, stdin=side, stdout=side)
        os.close(side)
        seen = b""
        while b"(at most " not in seen:
            seen += os.read(main, 4096)
        self.assertIn(b"first", seen)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 143)
        os.close(main)

    def test_the_live_line_of_a_stage_goes_when_the_stage_is_done(self):
        script = self.cluster.script(HEAD + 'k.flow "f" { k.stage "s" { run = { "sh", "-c", '
                                     '"until [ -e go ]; do sleep 0.02; done" } }, k.main { "echo", "now the main" } }\n')
        self.cluster.start(script, name="first").wait_event("start")
        main, side = pty.openpty()
        process = subprocess.Popen([binary(), "run", script, "--listen", "off"], cwd=self.cluster.directory,
                                   env=self.cluster.env(holder="second"), stderr=side, stdin=side, stdout=side)
        os.close(side)
        seen = b""
        for awaited in (b"(at most ", b"now the main"):
            while awaited not in seen:
                seen += os.read(main, 4096)
            (self.cluster.directory / "go").touch()
        self.assertNotIn(b"(at most ", seen.partition(b"nothing to do")[2])
        self.assertEqual(process.wait(10), 0)
        os.close(main)


class Options(ClusterTest):
    SCRIPT = HEAD + 'k.once "x" { run = { "sh", "-c", "echo $KONDUCTOR_HOLDER >> runs" } }\n'

    def run_with(self, *options, env=None):
        done = self.cluster.run("run", self.cluster.script(self.SCRIPT), "--listen", "off", *options, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def runs(self):
        return (self.cluster.directory / "runs").read_text().split()

    def test_namespaces_have_nothing_to_do_with_each_other(self):
        self.run_with("--holder", "a")
        self.run_with("-n", "other", "--holder", "b")
        self.run_with(env={"KONDUCTOR_NAMESPACE": "other", "KONDUCTOR_HOLDER_ID": "c"})
        self.run_with(env={"KONDUCTOR_NAMESPACE": "third", "KONDUCTOR_HOLDER_ID": "d"})
        self.assertEqual(self.runs(), ["a", "b", "d"])

    def test_a_store_is_named_by_option_before_environment(self):
        self.run_with("--store", f"sqlite:{self.cluster.directory}/second.db", "--holder", "a")
        self.run_with("--holder", "b")
        self.assertEqual(self.runs(), ["a", "b"])

    def test_the_default_store_is_this_users_and_says_its_limits(self):
        home = self.cluster.directory / "home"
        quiet = {"KONDUCTOR_STORE": None, "KUBECONFIG": None, "KUBERNETES_SERVICE_HOST": None, "XDG_STATE_HOME": None, "HOME": home}
        self.assertIn("only processes on this machine are coordinated", self.run_with(env=quiet))
        self.assertTrue((home / ".local/state/konductor/state.db").exists())
        self.run_with(env={**quiet, "XDG_STATE_HOME": self.cluster.directory / "xdg"})
        self.assertTrue((self.cluster.directory / "xdg/konductor/state.db").exists())

    def test_events_are_json_lines_of_this_process(self):
        log = self.cluster.directory / "log"
        self.run_with("--events", log, "--holder", "pod-1")
        events = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual([event["event"] for event in events], ["claim", "start", "stop", "complete"])
        self.assertEqual([event["seq"] for event in events], [1, 2, 3, 4])
        self.assertEqual({event["holder"] for event in events}, {"pod-1"})

    def test_a_version_called_latest_gets_a_warning(self):
        script = self.cluster.script(HEAD + 'k.once "x" { run = { "true" }, version = "latest" }\n')
        done = self.cluster.run("run", script, "--listen", "off")
        self.assertIn('the version is "latest"', done.stderr)

    def test_a_store_that_is_not_built_yet_is_refused_with_a_sentence(self):
        for store in ("postgres://db/x", "etcd://e:2379"):
            done = self.cluster.run("run", self.cluster.script(self.SCRIPT), "--listen", "off", "--store", store)
            self.assertEqual(done.returncode, 78)
            self.assertIn("is not built into this konductor yet", done.stderr)


if __name__ == "__main__":
    unittest.main()
