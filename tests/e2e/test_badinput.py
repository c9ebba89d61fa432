"""Bad input: each kind has its message and its exit code, runs nothing, and leaves the store as it was."""

import contextlib
import json
import os
import signal
import unittest

from lib import ClusterTest, boot_ms, is_alive, wait_for

HEAD = 'local k = require "konductor"\n'
# Limits for what must not be stuck: a machine that does not run it uses up the first ones, but not every one.
PATIENT_MS = (500, 4000, 60000)


class BadInput(ClusterTest):
    def refused(self, text, *expected, code=65, options=(), env=None, command=None):
        """A script that must end with this code, say these words, and run nothing."""
        script = self.cluster.script(text)
        args = ["run", script, "--listen", "off", *options] + (["--", *command] if command else [])
        done = self.cluster.run(*args, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        for words in expected:
            self.assertIn(words.replace("SCRIPT", str(script)), done.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())
        self.assertFalse(self.cluster.store_path.exists(), "the store was opened")
        return done


class Mistakes(BadInput):
    def stage(self, options):
        return HEAD + f'k.flow "f" {{\n  k.stage "ok" {{ run = {{ "touch", "ran" }} }},\n  k.stage "s" {{ {options} }},\n}}\n'

    def test_a_hold_shorter_than_the_store_grants_and_no_server_is_asked(self):
        config = self.cluster.directory / "config"
        config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        }))
        for store in ("kube", "kube-lease"):
            self.refused(HEAD + 'k.lease "boss" { ttl = "2s", main = { "touch", "ran" } }\n',
                         f'SCRIPT:2: k.lease "boss": ttl: 2s is too short for the store {store}:default at https://127.0.0.1:1; '
                         "the shortest is 3s", env={"KONDUCTOR_STORE": store, "KUBECONFIG": str(config)})

    def test_a_syntax_error(self):
        self.refused(HEAD + "k.flow = = 3\n", "SCRIPT:2: unexpected symbol near '='")

    def test_an_error_at_load(self):
        self.refused(HEAD + 'k.flow "f" { k.stage "a" { run = { "touch", "ran" } } }\nerror("oh no")\n', "SCRIPT:3: oh no")

    def test_bytecode(self):
        script = self.cluster.directory / "code.lua"
        script.write_bytes(b"\x1bLJ\x02\x00")
        done = self.cluster.run("run", script, "--listen", "off")
        self.assertEqual(done.returncode, 65)
        self.assertIn("this is bytecode", done.stderr)

    def test_a_script_that_does_nothing(self):
        self.refused("", "the script declares nothing and does nothing")

    def test_an_unknown_option_with_the_nearest_word(self):
        self.refused(self.stage('run = { "true" }, timeot = "5m"'),
                     'SCRIPT:4: k.stage "s": unknown option "timeot"; did you mean "timeout"?')

    def test_wrong_types(self):
        self.refused(self.stage('run = "flyway migrate"'), 'SCRIPT:4: k.stage "s": option "run"', '{ "sh", "-c", ... }')
        self.refused(self.stage('run = { "a", {} }'), "word 2 of the command is a table")
        self.refused(self.stage('run = { "a" }, retries = "many"'), 'option "retries" is "many"; a whole number')
        self.refused(self.stage('run = { "a" }, retries = 1.5'), 'option "retries" is 1.5; a whole number')
        self.refused(self.stage('run = { "a" }, after = 7'), 'option "after" is 7; a name or a list of names')
        self.refused(self.stage('run = { "a" }, env = { 1 }'), "is not the name of an environment variable")
        self.refused(self.stage('run = { "a" }, mode = "AtMostOne"'), 'did you mean "AtMostOnce"?')
        self.refused(HEAD + 'k.flow "f" "g"\n', 'SCRIPT:2: k.flow "f" takes a table, not a string')
        self.refused(HEAD + 'k.flow "f" { 7 }\n', 'entry 1 is a number; expected are k.stage')
        self.refused(HEAD + 'k.exec "true"\n', "SCRIPT:2: k.exec: a table of options is expected, not "
                     '"true"; a command is a list of words: k.exec { "program", "word" }')
        self.refused(HEAD + 'k.lease("a"):with({})\n', 'k.lease("a"):with: a function is expected after the options, not nothing')

    def test_what_only_follows_from_a_mistake_is_none(self):
        self.refused(HEAD + 'k.flow "f" { k.stage "s" { run = { "a" } }, k.mian { "b" } }\n',
                     'unknown name "k.mian"; did you mean "k.main"?\nkonductor run: 1 mistake in the script')
        self.refused(HEAD + 'k.stage "s" { run = { "a" } }\nerror "no"\n',
                     "SCRIPT:3: no\nkonductor run: 1 mistake in the script")

    def test_a_missing_command(self):
        self.refused(self.stage('version = "1"'), 'SCRIPT:4: k.stage "s": option "run" is missing')
        self.refused(self.stage("run = {}"), "the command is empty")
        self.refused(HEAD + 'k.flow "f" { k.main() }\n', 'the main of flow "f" names no command, and none stands behind "--"')
        self.refused(HEAD + 'k.lease "l" {}\n', 'the main of lease "l" names no command')
        self.refused(HEAD + "k.exec(k.command)\n", "k.command is the command behind")

    def test_durations(self):
        for bad, hint in (("10", 'did you mean "10s"?'), ("-1s", "cannot be negative"), ("1y", "units are h, m, s"),
                          ("1e9h", "exponents are not understood"), ("3000000h", "longer than 290 years"), ("", "it is empty")):
            with self.subTest(duration=bad):
                self.refused(self.stage(f'run = {{ "a" }}, timeout = "{bad}"'), 'SCRIPT:4: k.stage "s": option "timeout"', hint)
        self.refused(HEAD + 'k.sleep "10"\n', "SCRIPT:2: k.sleep: bad duration")

    def test_names_that_kubernetes_would_refuse(self):
        for bad, hint in (("Init", 'write "i"'), ("a_b", 'write "-"'), ("-a", "must start with"), ("a.", "must end with"),
                          ("a" * 254, "too long"), ("", "empty"), ("ä", "0xC3")):
            with self.subTest(name=bad):
                self.refused(HEAD + f'k.lease "{bad}" {{ main = {{ "a" }} }}\n', "SCRIPT:2: k.lease: ", hint)

    def test_cycles_and_unknown_upstreams(self):
        self.refused(HEAD + '''k.flow "f" {
            k.stage "a" { run = { "touch", "ran" } },
            k.stage "b" { run = { "a" }, after = "c" },
            k.stage "c" { run = { "a" }, after = "b" },
        }''', "SCRIPT:4: stages wait for each other in a circle: b -> c -> b")
        self.refused(self.stage('run = { "a" }, after = "okk"'), 'SCRIPT:4: ', 'did you mean "ok"?')
        self.refused(self.stage('run = { "a" }, after = {}'), "after names no stage")

    def test_duplicates(self):
        self.refused(HEAD + 'k.flow "f" { k.stage "a" { run = { "a" } }, k.stage "a" { run = { "a" } } }\n',
                     'flow "f" has two stages named "a"')
        self.refused(HEAD + 'k.lease "l" { main = { "a" } }\nk.lease "l" { main = { "a" } }\n',
                     'SCRIPT:3: there are two leases named "l"; the other is at SCRIPT:2')
        self.refused(HEAD + 'k.once "f.a" { run = { "a" } }\nk.flow "f" { k.stage "a" { run = { "a" } } }\n',
                     'share the object "f.a"')
        self.refused(HEAD + 'k.flow "f" { k.main { "a" } }\nk.lease "l" { main = { "a" } }\n', "there are two mains")

    def test_what_belongs_to_nothing(self):
        self.refused(HEAD + 'k.stage "a" { run = { "a" } }\nk.exec { "touch", "ran" }\n', 'SCRIPT:2: stage "a" is in no flow')
        self.refused(HEAD + 'k.flow "f" { k.stage "a" }\n', 'SCRIPT:2: k.stage "a" lacks its table of options')
        self.refused(HEAD + 'k.main { "a" }\n', "SCRIPT:2: k.main is in no flow")

    def test_contradictions(self):
        self.refused(self.stage('run = { "a" }, mode = "AtMostOnce", ttl = "1h"'), "AtMostOnce work cannot have a ttl")
        self.refused(self.stage('run = { "a" }, mode = "AtMostOnce", retries = 2'), "takes no retries")

    def test_unknown_names_of_the_library_and_globals_even_in_functions(self):
        self.refused(HEAD + 'k.flw "f" {}\n', 'SCRIPT:2: unknown name "k.flw"; did you mean "k.flow"?')
        self.refused(HEAD + 'k.once "x" { run = function()\n  prnt "x"\nend }\n',
                     'SCRIPT:3: there is no global "prnt"; did you mean "print"?')
        self.refused(HEAD + 'k.once "x" { run = function()\n  count = 1\nend }\n',
                     'SCRIPT:3: assignment to the unknown global "count"; write "local count"')
        self.refused(HEAD + 'k.lease("l"):wiht({}, print)\n', "did you mean")
        self.refused('os.exit(0)\n', "os.exit is not available in a script")
        self.refused('os.execute("touch ran")\n', "use k.exec")

    def test_all_of_them_at_once(self):
        done = self.refused(HEAD + '''
            k.exec { "touch", "ran" }
            k.flow "f" { retires = 1, k.stage "A" { run = 1, timeout = "1" } }
            k.lease "l" { mian = {} }
        ''', "SCRIPT:4: ", "SCRIPT:5: ")
        self.assertIn("5 mistakes in the script; nothing was run", done.stderr)

    def test_a_missing_environment_variable(self):
        self.refused(HEAD + 'k.flow "f" { version = k.env "NOT_SET", k.stage "a" { run = { "touch", "ran" } } }\n',
                     "SCRIPT:2: the environment variable NOT_SET is not set")

    def test_a_module_that_is_not_there(self):
        self.refused('require "nowhere"\n', 'SCRIPT:1: there is no module "nowhere"; looked for ')

    def test_non_utf8_bytes_in_a_name_are_shown_as_bytes(self):
        script = self.cluster.directory / "bytes.lua"
        script.write_bytes(HEAD.encode() + b'k.lease "a\xff\xfe" { main = { "a" } }\n')
        done = self.cluster.run("run", script, "--listen", "off")
        self.assertEqual(done.returncode, 65)
        self.assertIn("0xFF", done.stderr)


class Files(BadInput):
    def test_a_script_that_is_missing_or_unreadable(self):
        for path, words in (("missing.lua", "No such file"), (self.cluster.directory, "Is a directory")):
            done = self.cluster.run("run", path, "--listen", "off")
            self.assertEqual((done.returncode, words in done.stderr), (64, True), done.stderr)

    def test_a_built_in_script_that_is_not_there(self):
        done = self.cluster.run("run", "@semafore", "--listen", "off")
        self.assertEqual(done.returncode, 64)
        self.assertIn("did you mean @semaphore?", done.stderr)

    def test_a_misspelt_store_is_a_mistake_of_who_typed_it(self):
        script = self.cluster.script(HEAD + 'k.once "x" { run = { "touch", "ran" } }\n')
        for command in (["run", script, "--listen", "off"], ["plan", script]):
            for store, words in (("sqlit:x.db", 'did you mean "sqlite:PATH"?'), ("sqlite:", "names no file")):
                typed = self.cluster.run(*command, "--store", store)
                self.assertEqual((typed.returncode, words in typed.stderr), (64, True), typed.stderr)
                found = self.cluster.run(*command, env={"KONDUCTOR_STORE": store})
                self.assertEqual((found.returncode, words in found.stderr), (78, True), found.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_a_store_that_cannot_be_written_to(self):
        script = self.cluster.script(HEAD + 'k.once "x" { run = { "touch", "ran" } }\n')
        done = self.cluster.run("run", script, "--listen", "off", "--store", "sqlite:/sys/nowhere/state.db")
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("/sys/nowhere", done.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_no_home_for_the_default_store(self):
        script = self.cluster.script(HEAD + 'k.once "x" { run = { "touch", "ran" } }\n')
        done = self.cluster.run("run", script, "--listen", "off", env={
            "KONDUCTOR_STORE": None, "HOME": None, "XDG_STATE_HOME": None, "KUBECONFIG": None, "KUBERNETES_SERVICE_HOST": None})
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("neither XDG_STATE_HOME nor HOME is set", done.stderr)

    def test_a_pod_never_falls_back_to_a_local_file(self):
        script = self.cluster.script(HEAD + 'k.once "x" { run = { "touch", "ran" } }\n')
        done = self.cluster.run("run", script, "--listen", "off",
                                env={"KONDUCTOR_STORE": None, "KUBECONFIG": None, "KUBERNETES_SERVICE_HOST": "10.0.0.1",
                                     "KUBERNETES_SERVICE_PORT": "443"})
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("inside a pod, but without its service account", done.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_an_event_log_that_cannot_be_written(self):
        script = self.cluster.script(HEAD + 'k.exec { "touch", "ran" }\n')
        done = self.cluster.run("run", script, "--listen", "off", "--events", "/nowhere/events")
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_stages_that_cannot_be_executed_fail_with_127_and_126(self):
        plain = self.cluster.file("plain", "text")
        for command, code in (("no-such-command", 127), (plain, 126)):
            script = self.cluster.script(HEAD + f'k.flow "f{code}" {{ k.stage "a" {{ run = {{ "{command}" }}, retries = 0 }} }}\n')
            replica = self.cluster.start(script)
            self.assertEqual(replica.wait(), 1)
            self.assertEqual(replica.events("fail")[0]["code"], code)


class Streams(BadInput):
    FLOW = HEAD + 'k.flow "f" { k.stage "a" { run = { "sh", "-c", "echo ran >> runs" } }, k.main() }\n'

    def test_a_word_of_128_kibibytes_is_refused_by_the_kernel_and_said_so(self):
        script = self.cluster.script(HEAD + 'k.exec { "true", ("x"):rep(128 * 1024) }\n')
        done = self.cluster.run("run", script, "--listen", "off")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Argument list too long", done.stderr)

    def test_a_word_just_short_of_that_is_passed_whole(self):
        script = self.cluster.script(HEAD + 'k.exec { "sh", "-c", "echo ${#1}", "sh", ("x"):rep(128 * 1024 - 1) }\n')
        self.assertEqual(self.cluster.run("run", script, "--listen", "off").stdout, "131071\n")

    def test_bytes_that_are_no_utf8_reach_the_command(self):
        script = self.cluster.directory / "bytes.lua"
        script.write_bytes(HEAD.encode() + b'k.exec { "sh", "-c", "printf %s \\"$1\\" > bytes", "sh", "a\\255\\254b" }\n')
        self.assertEqual(self.cluster.run("run", script, "--listen", "off", "--log-format", "json").returncode, 0)
        self.assertEqual((self.cluster.directory / "bytes").read_bytes(), b"a\xff\xfeb")

    def test_bytes_that_are_no_utf8_end_neither_the_log_nor_the_events(self):
        script = self.cluster.directory / "bytes.lua"
        script.write_bytes(HEAD.encode() + b'k.log("a\xffb", { c = "\xfe" })\n'
                           b'k.once "x" { retries = 0, run = { "./no\xffprogram" } }\n')
        replica = self.cluster.start(script, options=["--log-format", "json"])
        self.assertEqual(replica.wait(), 1)
        first = json.loads(replica.stderr.splitlines()[0])
        self.assertEqual((first["msg"], first["c"]), ("a?b", "?"))
        self.assertEqual(replica.events("start")[0]["argv0"], "./no?program")

    def test_a_holder_that_is_no_text_is_refused(self):
        script = self.cluster.script(self.FLOW)
        for holder in ("two\nlines", "a" * 254):
            done = self.cluster.run("run", script, "--listen", "off", "--", "true", holder=holder)
            self.assertEqual(done.returncode, 64)
            self.assertIn("KONDUCTOR_HOLDER_ID: a name is UTF-8", done.stderr)

    def test_closed_standard_streams_do_no_harm(self):
        script = self.cluster.script(self.FLOW)
        for closed in ((0,), (1,), (2,), (0, 1, 2)):
            with self.subTest(closed=closed):
                replica = self.cluster.start(script, command=["sh", "-c", "exit 3"],
                                             preexec_fn=lambda: [os.close(fd) for fd in closed])
                self.assertEqual(replica.wait(), 3)
        self.assertEqual((self.cluster.directory / "runs").read_text(), "ran\n")

    def test_a_reader_that_has_gone_does_no_harm(self):
        script = self.cluster.script(self.FLOW)

        def gone():
            read, write = os.pipe()
            os.close(read)
            os.dup2(write, 2)
            os.dup2(write, 1)

        self.assertEqual(self.cluster.start(script, command=["true"], preexec_fn=gone).wait(), 0)

    def test_a_full_standard_output_does_no_harm(self):
        script = self.cluster.script(self.FLOW)

        def full():
            device = os.open("/dev/full", os.O_WRONLY)
            os.dup2(device, 2)
            os.dup2(device, 1)

        self.assertEqual(self.cluster.start(script, command=["sh", "-c", "exit 4"], preexec_fn=full).wait(), 4)


class Stuck(BadInput):
    def test_an_endless_loop_in_a_stage_ends_with_70_and_its_commands_die(self):
        script = self.cluster.script(HEAD + '''
            k.once "x" { run = function(ctx)
              k.exec { "sh", "-c", "sleep 1000 > /dev/null & echo $! > pid" }
              while true do end
            end }
        ''')
        path = self.cluster.directory / "pid"
        for limit_ms in PATIENT_MS:
            replica = self.cluster.start(script, env={"KONDUCTOR_STUCK_MS": limit_ms})
            self.assertEqual(replica.wait(), 70)
            self.assertIn("stuck", replica.stderr)
            if path.exists() and path.read_text().endswith("\n"):
                break
        pid = path.read_text().strip()
        wait_for(lambda: not is_alive(pid), what="the end of the command")

    def test_an_endless_loop_at_load_ends_with_70(self):
        script = self.cluster.script("while true do end\n")
        self.assertEqual(self.cluster.start(script, env={"KONDUCTOR_STUCK_MS": "500"}).wait(), 70)

    def test_while_a_policy_hangs_it_is_not_live(self):
        script = self.cluster.script(HEAD + 'k.exec { "true" }\nwhile true do end\n')
        replica = self.cluster.start(script, listen="127.0.0.1:0", options=["-v"], env={"KONDUCTOR_STUCK_MS": "1800000"})
        replica.wait_stderr("probe endpoint on port ")
        port = int(replica.stderr.split("probe endpoint on port ")[1].split()[0])
        url = f"http://127.0.0.1:{port}/livez"
        wait_for(lambda: "answers 503" in self.cluster.run("probe", url).stdout, what="/livez 503")

    def test_a_script_that_is_typed_slowly_is_waited_for_and_can_be_stopped(self):
        fifo = self.cluster.directory / "typed"
        os.mkfifo(fifo)
        slow = ["sh", "-c", 'exec "$@" < typed', "sh"]
        for limit_ms in PATIENT_MS:
            a = self.cluster.start("-", wrapper=slow, env={"KONDUCTOR_STUCK_MS": limit_ms})
            with open(fifo, "w") as typed:
                at = boot_ms()
                wait_for(lambda: boot_ms() > at + 2 * limit_ms, 3600, "twice the limit of a stuck policy")
                with contextlib.suppress(BrokenPipeError):
                    typed.write('k.exec { "echo", "typed" }\n')
                    typed.flush()
            if a.wait() != 70:
                break
        self.assertEqual((a.wait(), a.stdout), (0, "typed\n"))
        b = self.cluster.start("-", wrapper=slow)
        with open(fifo, "w"):
            b.signal(signal.SIGTERM)
            self.assertEqual(b.wait(), -signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
