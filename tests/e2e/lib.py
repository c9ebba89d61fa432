"""What tests of real processes share: start replicas of konductor on one store, watch them, leave nothing behind.

    from lib import ClusterTest, wait_for          # tests/e2e is on the path of every test below it

    class Handover(ClusterTest):
        def test_a_dead_leader_is_replaced(self):
            script = self.cluster.script('''
                local k = require "konductor"
                k.lease "boss" { ttl = "3s", main = { "sleep", "1000" } }
            ''')
            a = self.cluster.start(script, name="a")
            a.wait_event("start")
            b = self.cluster.start(script, name="b", env={"X": "1"}, options=["--grace", "1s"])
            a.kill()
            b.wait_event("start")
            self.assertEqual(b.stop(), 143)

Nothing sleeps for a fixed time: wait_for() asks until the answer is yes or the deadline has passed, and then says
what it waited for and what every replica wrote.  Everything a test starts carries a mark in its environment, by which
close() finds it again, however often it forked; close() fails the test if something cannot be killed, or if a
sanitizer complained.

Environment: KONDUCTOR_BIN, the binary (default build/dev/konductor); KONDUCTOR_TEST_PATIENCE, a factor for every
deadline (slow builds: sanitizers, valgrind); KONDUCTOR_TEST_SANITIZER_KB, memory that is the sanitizer's;
KONDUCTOR_TEST_KEEP=1 keeps the temporary directories.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import textwrap
import time
import unittest
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A deadline only tells a hang from a slow machine; a test that means "at once" makes everything else take longer.
PATIENT_S = 60
PATIENCE = float(os.environ.get("KONDUCTOR_TEST_PATIENCE", "1"))
# AddressSanitizer keeps freed memory for a while: what a test says about memory must leave room for that.
SANITIZER_KB = int(os.environ.get("KONDUCTOR_TEST_SANITIZER_KB", "0"))
MARK = "KONDUCTOR_TEST_MARK"
# How AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer and a quiet valgrind begin what they have to say;
# AddressSanitizer's warnings are about itself.
COMPLAINT = re.compile(r"^==\d+==(?!WARNING: )|: runtime error: |ERROR: \w+Sanitizer", re.MULTILINE)


# nohup, and a shell that starts the tests in the background, leave them ignored; every child would inherit that.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


def binary():
    """Path of the konductor under test.  Raises with a hint when it is not built."""
    path = Path(os.environ.get("KONDUCTOR_BIN", ROOT / "build" / "dev" / "konductor")).resolve()
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is not built; run: cmake --preset dev && cmake --build build/dev")
    return str(path)


def boot_ms():
    """Now, on the clock of the event log: milliseconds of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


def wait_for(predicate, timeout=PATIENT_S, what=None, describe=None):
    """Returns the first true value of predicate().  After `timeout` seconds (times PATIENCE) raises AssertionError
    with `what` and whatever describe() returns."""
    deadline = time.monotonic() + timeout * PATIENCE
    pause = 0.001
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = f"waited {timeout * PATIENCE:g} s for {what or getattr(predicate, '__name__', 'a state')}"
            raise AssertionError(text + ("\n" + describe() if describe else ""))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def is_alive(pid):
    """Whether a process runs; one that has ended and was not reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def marked(mark):
    """Pids of all living processes that carry this mark in their environment."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environ = Path("/proc", entry, "environ").read_bytes()
        except OSError:
            continue
        if needle in environ.split(b"\0") and is_alive(entry):
            found.append(int(entry))
    return found


def children(pid):
    """Pids of the children of a process, those not yet reaped included; none when it has ended."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def kill_marked(mark):
    """SIGKILLs every process of the mark until none is left; raises if that does not happen."""

    def none_left():
        pids = marked(mark)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not pids

    wait_for(none_left, what="the death of every process of the test", describe=lambda: f"still alive: {marked(mark)}")


def tail(text, lines=40):
    return "\n".join("    " + line for line in text.splitlines()[-lines:]) or "    (nothing)"


class Replica:
    """One konductor process.  stdout and stderr go to files; events to another (event log, JSON lines)."""

    def __init__(self, cluster, name, process, directory):
        self.cluster = cluster
        self.name = name
        self.process = process
        self.pid = process.pid
        self.directory = directory

    # What it wrote.

    def _read(self, name):
        try:
            return (self.directory / name).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def stdout(self):
        return self._read("stdout")

    @property
    def stderr(self):
        return self._read("stderr")

    def events(self, kind=None, **fields):
        """Events so far, as dictionaries; only those of one kind and with these fields, if given.
        A line that is still being written is left out."""
        lines = self._read("events").split("\n")[:-1]
        found = [json.loads(line) for line in lines if line]
        return [
            event
            for event in found
            if (kind is None or event.get("event") == kind) and all(event.get(k) == v for k, v in fields.items())
        ]

    def describe(self):
        code = self.process.poll()
        state = f"running, pid {self.pid}" if code is None else f"ended with {code}"
        return f"--- {self.name}: {state}\n  stderr:\n{tail(self.stderr)}\n  stdout:\n{tail(self.stdout, 10)}"

    # Waiting.

    def wait_for(self, predicate, timeout=PATIENT_S, what=None):
        """As the function of the same name; fails at once when the replica has ended and the answer is still no."""

        def ask():
            ended = self.process.poll() is not None
            value = predicate()
            if not value and ended:
                raise AssertionError(f"{self.name} ended before {what or 'the state'} came\n{self.cluster.describe()}")
            return value

        return wait_for(ask, timeout, f"{what or 'a state'} of {self.name}", self.cluster.describe)

    def wait_event(self, kind, timeout=PATIENT_S, count=1, **fields):
        """The count-th event of that kind and with these fields, as soon as it is there."""
        what = f"event {kind} {fields or ''} x{count}"
        return self.wait_for(lambda: self.events(kind, **fields)[count - 1 : count], timeout, what)[0]

    def wait_stderr(self, text, timeout=PATIENT_S):
        return self.wait_for(lambda: text in self.stderr, timeout, f"{text!r} on stderr")

    def wait_stdout(self, text, timeout=PATIENT_S):
        return self.wait_for(lambda: text in self.stdout, timeout, f"{text!r} on stdout")

    def wait(self, timeout=PATIENT_S):
        """Waits for its end.  Returns the exit code; -n when signal n ended it."""
        wait_for(lambda: self.process.poll() is not None, timeout, f"the end of {self.name}", self.cluster.describe)
        return self.process.returncode

    @property
    def running(self):
        return self.process.poll() is None

    # Ending it.

    def signal(self, number):
        """To konductor alone, not to its child."""
        self.process.send_signal(number)

    def stop(self, timeout=PATIENT_S):
        """SIGTERM, then its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        """SIGKILL to konductor alone: what a crash is.  Adds to its event log the line that it can no longer write
        (docs/reference/events.md).  Returns the boot clock in ms at that moment."""
        at = boot_ms()
        self.process.kill()
        self.process.wait()
        said = self.events()
        if said:
            line = {"event": "killed", "t_us": int(at * 1000), "session": said[-1]["session"]}
            with open(self.directory / "events", "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        return at


class Cluster:
    """A temporary directory with one store, and the replicas that use it.  Use as a context manager or by ClusterTest."""

    def __init__(self, prefix="kon-e2e-"):
        self.directory = Path(tempfile.mkdtemp(prefix=prefix))
        self.store_path = self.directory / "state.db"
        self.mark = uuid.uuid4().hex
        self.replicas = []
        self.scripts = 0
        self.used_names = {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def env(self, extra=None, holder=None):
        """The environment of what the tests start: ours without KONDUCTOR_*, with store and mark.
        A value of None in extra removes the name.  The watchdog is patient, unless extra says otherwise."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("KONDUCTOR_") or k == "KONDUCTOR_JIT"}
        env[MARK] = self.mark
        env["KONDUCTOR_STUCK_MS"] = "600000"  # a machine that does not run it is no script that loops
        env["KONDUCTOR_STORE"] = f"sqlite:{self.store_path}"
        if holder:
            env["KONDUCTOR_HOLDER_ID"] = holder
        env.setdefault("ASAN_OPTIONS", "abort_on_error=0:exitcode=99:detect_leaks=1")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
        for key, value in (extra or {}).items():
            if value is None:
                env.pop(key, None)
            else:
                env[key] = str(value)
        return env

    def file(self, name, text, mode=0o644):
        """Writes a file into the temporary directory and returns its path."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        path.chmod(mode)
        return path

    def script(self, text, name=None):
        self.scripts += 1
        return self.file(name or f"script{self.scripts}.lua", text)

    def start(self, script, *, command=(), options=(), env=None, name=None, listen="off", events=True, stdin=None,
              cwd=None, wrapper=(), preexec_fn=None):
        """Starts `konductor run SCRIPT OPTIONS -- COMMAND` and returns its Replica at once.

        script   a path, "-" (then stdin has the text), or "@name"
        name     its holder name too; replica1, replica2... by default
        listen   the probe endpoint; None leaves the default
        stdin    bytes, a file object, or None for /dev/null
        wrapper  a command line to put in front, e.g. ["unshare", "--pid", "--fork"]
        """
        name = name or f"replica{len(self.replicas) + 1}"
        self.used_names[name] = self.used_names.get(name, 0) + 1
        directory = self.directory / (name if self.used_names[name] == 1 else f"{name}.{self.used_names[name]}")
        directory.mkdir()
        argv = [*wrapper, binary(), "run", str(script), *map(str, options)]
        if listen is not None:
            argv += ["--listen", listen]
        if events:
            argv += ["--events", str(directory / "events")]
        if command:
            argv += ["--", *map(str, command)]
        source = stdin
        if isinstance(stdin, bytes):
            (directory / "stdin").write_bytes(stdin)
            source = open(directory / "stdin", "rb")
        with open(directory / "stdout", "wb") as out, open(directory / "stderr", "wb") as err:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL if source is None else source, stdout=out, stderr=err,
                env=self.env(env, name), cwd=cwd or self.directory, start_new_session=True, preexec_fn=preexec_fn)
        if isinstance(stdin, bytes):
            source.close()
        replica = Replica(self, name, process, directory)
        self.replicas.append(replica)
        return replica

    def start_many(self, count, script, **how):
        return [self.start(script, **how) for _ in range(count)]

    def run(self, *args, input=None, env=None, timeout=2 * PATIENT_S, cwd=None, holder=None):
        """Runs `konductor ARGS` to its end; returns subprocess.CompletedProcess with text in stdout and stderr."""
        argv = [binary(), *map(str, args)]
        try:
            done = subprocess.run(
                argv, input=input, stdin=subprocess.DEVNULL if input is None else None, capture_output=True, text=True,
                errors="replace", env=self.env(env, holder), cwd=cwd or self.directory, timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{argv} still ran after {late.timeout:g} s\nstderr:\n{tail(str(late.stderr))}") from None
        check_sanitizers("run " + " ".join(map(str, args)), done.stderr)
        return done

    def store_rows(self, query="SELECT * FROM records", *parameters):
        """Rows of the store's SQLite file as dictionaries, read without disturbing anybody."""
        connection = sqlite3.connect(f"file:{self.store_path}?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]
        finally:
            connection.close()

    def store_tables(self):
        return [row["name"] for row in self.store_rows("SELECT name FROM sqlite_master WHERE type='table'")]

    def events(self, kind=None, **fields):
        """Events of all replicas in the order of the boot clock; each carries `replica`, the name of its writer."""
        merged = [
            dict(event, replica=replica.name) for replica in self.replicas for event in replica.events(kind, **fields)
        ]
        return sorted(merged, key=lambda event: (event["t_us"], event.get("seq", 0)))

    def event_files(self):
        return [str(r.directory / "events") for r in self.replicas if (r.directory / "events").exists()]

    def describe(self):
        return "\n".join(replica.describe() for replica in self.replicas)

    def close(self):
        """Kills whatever is left, verifies that it is dead, looks for sanitizer reports, removes the directory."""
        try:
            kill_marked(self.mark)
            for replica in self.replicas:
                replica.process.wait()
            for replica in self.replicas:
                check_sanitizers(replica.name, replica.stderr)
        finally:
            if not os.environ.get("KONDUCTOR_TEST_KEEP"):
                shutil.rmtree(self.directory, ignore_errors=True)


def check_sanitizers(who, stderr):
    if COMPLAINT.search(stderr):
        raise AssertionError(f"a sanitizer complained about {who}:\n{tail(stderr, 200)}")


class ClusterTest(unittest.TestCase):
    """A test case with a fresh self.cluster for each test."""

    maxDiff = None

    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.close)
