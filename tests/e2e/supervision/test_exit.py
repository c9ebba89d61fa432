"""How the program behind konductor is started, signalled, and how its end becomes konductor's."""

import os
import signal
import sys

from lib import ClusterTest, children, marked, wait_for

MAIN = '''
local k = require "konductor"
k.flow "t" { k.main() }
'''

# By default these stop a process or are ignored.
HARMLESS = {
    signal.SIGCHLD, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG,
    signal.SIGWINCH,
}
# What the C library uses for itself, and no program may send or catch.
RESERVED = {32, 33}
# An error of the program itself, KILL, STOP, and what has a meaning of its own for konductor.
NOT_FORWARDED = {
    signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGILL,
    signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS, signal.SIGTTIN,
    signal.SIGTTOU,
}
# Says which signals it gets; INT ends it with 42.
LISTENER = f'''
import signal
everything = set(range(1, 65)) - {RESERVED!r}
signal.pthread_sigmask(signal.SIG_BLOCK, everything)
print("ready", flush=True)
while True:
    number = signal.sigwaitinfo(everything).si_signo
    print("got", number, flush=True)
    if number == signal.SIGINT:
        raise SystemExit(42)
'''


class ExitCodes(ClusterTest):
    def run_main(self, *command):
        return self.cluster.run("run", self.cluster.script(MAIN, "main.lua"), "--listen", "off", "--", *command)

    def test_every_exit_code_is_kept(self):
        got = [self.run_main("sh", "-c", f"exit {code}").returncode for code in range(256)]
        self.assertEqual(got, list(range(256)))

    def test_a_program_killed_by_a_signal_is_128_more(self):
        for number in set(range(1, 65)) - HARMLESS - RESERVED:
            with self.subTest(signal=number):
                script = f"ulimit -c 0; kill -{number} $$; exec sleep 100"
                self.assertEqual(self.run_main("sh", "-c", script).returncode, 128 + number)

    def test_a_program_that_does_not_exist_is_127(self):
        for command in ("no-such-program", "/no/such/program", ""):
            with self.subTest(command=command):
                done = self.run_main(command)
                self.assertEqual(done.returncode, 127, done.stderr)
                self.assertIn(f"cannot run {command}", done.stderr)

    def test_a_program_that_cannot_be_executed_is_126_and_says_why(self):
        cases = {
            self.cluster.file("data", "words", 0o644): "Permission denied",
            self.cluster.file("lost", "#!/no/such/interpreter\n", 0o755): "interpreter or loader",
            self.cluster.directory: "Permission denied",
        }
        for command, words in cases.items():
            with self.subTest(command=command):
                done = self.run_main(command)
                self.assertEqual(done.returncode, 126, done.stderr)
                self.assertIn(words, done.stderr)

    def test_an_argument_list_beyond_the_kernels_limit_is_126(self):
        script = self.cluster.script('''
            local k = require "konductor"
            k.flow "t" { k.main { "true", ("x"):rep(200000) } }
        ''')
        done = self.cluster.run("run", script, "--listen", "off")
        self.assertEqual(done.returncode, 126, done.stderr)
        self.assertIn("Argument list too long", done.stderr)


class Signals(ClusterTest):
    def start_main(self, *command, **how):
        return self.cluster.start(self.cluster.script(MAIN, "main.lua"), command=command, **how)

    def test_signals_reach_the_program(self):
        replica = self.start_main(sys.executable, "-c", LISTENER)
        replica.wait_stdout("ready")
        for number in sorted(set(range(1, 65)) - NOT_FORWARDED - RESERVED):
            replica.signal(number)
            replica.wait_for(lambda: f"got {int(number)}\n" in replica.stdout, what=f"signal {number} at the child")
        self.assertEqual(replica.stdout.count("got"), 64 - len(NOT_FORWARDED) - len(RESERVED))
        replica.signal(signal.SIGINT)
        self.assertEqual(replica.wait(), 42)

    def test_what_konductor_was_started_with_is_what_the_program_gets(self):
        def blocked_and_ignored():
            signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR2})
            for number in range(1, 65):
                if number not in RESERVED | {signal.SIGKILL, signal.SIGSTOP}:
                    signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        replica = self.start_main("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", preexec_fn=blocked_and_ignored)
        self.assertEqual(replica.wait(), 0)
        usr2, hup = 1 << signal.SIGUSR2 - 1, 1 << signal.SIGHUP - 1
        self.assertEqual(replica.stdout, f"SigBlk:\t{usr2:016x}\nSigIgn:\t{hup:016x}\n")

    def test_term_while_it_runs_is_the_programs_to_answer(self):
        replica = self.start_main("sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done")
        replica.wait_stdout("up")
        self.assertEqual(replica.stop(), 9)

    def test_a_second_term_kills(self):
        replica = self.start_main(
            "sh", "-c", "trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done", options=["--grace", "1000s"])
        replica.wait_stdout("up")
        replica.signal(signal.SIGTERM)
        replica.wait_stdout("asked")
        replica.signal(signal.SIGTERM)
        self.assertEqual(replica.wait(), 128 + signal.SIGKILL)

    def test_the_grace_ends_in_kill(self):
        replica = self.start_main(
            "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done", options=["--grace", "300ms"])
        replica.wait_stdout("up")
        self.assertEqual(replica.stop(), 128 + signal.SIGKILL)

    def test_term_while_waiting_ends_the_wait(self):
        script = self.cluster.script('''
            local k = require "konductor"
            k.lease "boss" { ttl = "15s", main = { "sleep", "1000" } }
        ''')
        holder = self.cluster.start(script)
        holder.wait_event("start")
        waiter = self.cluster.start(script)
        waiter.wait_stderr("held by")
        self.assertEqual(waiter.stop(), 128 + signal.SIGTERM)
        self.assertEqual(waiter.events("start"), [])
        self.assertTrue(holder.running)

    def test_term_at_any_moment_of_the_start_leaves_nothing_running(self):
        script = self.cluster.script(MAIN, "main.lua")
        moments = {
            "at once": lambda r: True,
            "log": lambda r: (r.directory / "events").exists(),
            "guard": lambda r: children(r.pid),
            "child": lambda r: any(children(guard) for guard in children(r.pid)),
            "started": lambda r: "started sleep" in r.stderr,
        }
        codes = set()
        for moment in list(moments) * 8:
            replica = self.cluster.start(script, command=("sleep", "1000"), name="r")
            replica.wait_for(lambda: moments[moment](replica), what=moment)
            code = replica.stop()
            codes.add(code)
            self.assertIn(code, (-signal.SIGTERM, 128 + signal.SIGTERM), replica.describe())
            wait_for(lambda: not marked(self.cluster.mark), what="the end of all", describe=self.cluster.describe)
        self.assertIn(128 + signal.SIGTERM, codes)


class Streams(ClusterTest):
    def test_closed_standard_streams_do_not_reach_the_program_as_something_else(self):
        def close_all():
            for fd in (0, 1, 2):
                os.close(fd)

        report = self.cluster.directory / "report"
        replica = self.cluster.start(
            self.cluster.script(MAIN, "main.lua"), preexec_fn=close_all,
            command=("sh", "-c", f"readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2 > {report}.part; "
                                 f"mv {report}.part {report}"))
        self.assertEqual(replica.wait(), 0)
        self.assertEqual(report.read_text(), f"/dev/null\n{report}.part\n/dev/null\n")

    def test_only_the_standard_descriptors_are_open_in_the_program(self):
        replica = self.cluster.start(
            self.cluster.script(MAIN, "main.lua"), command=("ls", "/proc/self/fd"), listen="127.0.0.1:0")
        self.assertEqual(replica.wait(), 0)
        self.assertEqual(replica.stdout, "0\n1\n2\n3\n")  # 3 is what ls reads the directory by
