"""Exit codes of every verb, as tables, on this machine: koncli's (exit_codes.py) on SQLite, and konductor's own."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import unittest

import just_one_init as joi
from exit_codes import ALL, SEVERAL, Rows, rows, shown, verb_of
from kube import containers
from lib import PATIENCE, ROOT, binary, check_sanitizers
from test_koncli import KoncliTest

PAGE = ROOT / "docs" / "reference" / "exit-codes.md"
ONCE = 'k.once "job" { run = { "sh", "-c", "touch at-work; while [ ! -e end ]; do sleep 0.01; done" }, hold = "1h"%s }\n'
LEASE = 'k.lease("db"):with({ %s }, function() end)\n'
MISTAKE = 'k.once "job" {}\n'
STUCK = "while true do end\n"

# Command line, exit code, words on standard error (of 0: on standard output), the script that SCRIPT stands for, and the
# method play_... that plays the row if a command line alone does not. In the world another holds the Lease "db".
KONDUCTOR = [
    ("version", 0, "konductor"),
    ("version 2", 64, "no argument"),
    ("version >/dev/full", 70, "cannot write"),
    ("help run", 0, "konductor run"),
    ("help rnu", 64, 'did you mean "run"?'),
    ("help >/dev/full", 70, "cannot write"),
    ("completion bash", 0, "complete"),
    ("completion tcsh", 64, "must be one of"),
    ("completion bash >/dev/full", 70, "cannot write"),
    ("crds", 0, "CustomResourceDefinition"),
    ("crds --store kube", 64, "unknown option '--store'"),
    ("crds >/dev/full", 70, "cannot write"),
    ("rbac SCRIPT", 0, "kind: Role", ONCE % ""),
    ("rbac", 64, "missing argument 'script'"),
    ("rbac none.lua", 64, "cannot read none.lua"),
    ("rbac SCRIPT", 65, 'option "run" is missing', MISTAKE),
    ("rbac SCRIPT >/dev/full", 70, "cannot write", ONCE % ""),
    ("plan SCRIPT", 0, "job", ONCE % ""),
    ("plan", 64, "missing argument 'script'"),
    ("plan SCRIPT --store sqlite:a --context b", 64, "--context is for Kubernetes", ONCE % ""),
    ("plan SCRIPT", 65, 'option "run" is missing', MISTAKE),
    ("plan SCRIPT >/dev/full", 70, "cannot write", ONCE % ""),
    ("plan SCRIPT --store sqlite:/proc/none/state.db", 74, "/proc/none", ONCE % ""),
    ("plan SCRIPT --store sqlite:/etc/passwd", 78, "/etc/passwd", ONCE % ""),
    ("sim SCRIPT --seeds 2", 0, "nothing broke", ONCE % ""),
    ("sim SCRIPT --seeds 1 --only none", 1, "DEAD", 'k.once("nobody"):wait()\n', "broken"),
    ("sim SCRIPT --seeds none", 64, 'not "none"', ONCE % ""),
    ("sim SCRIPT", 65, 'option "run" is missing', MISTAKE),
    ("sim SCRIPT --seeds 1 >/dev/full", 70, "cannot write", ONCE % ""),
    ("probe http://127.0.0.1:1/", 1, "127.0.0.1"),
    ("probe one two", 64, "too many arguments"),
    ("probe --timeout -1s", 64, "a duration cannot be negative"),
    ("probe URL", 0, "answers 200", ONCE % "", "probed"),
    ("install .", 0, "konductor"),
    ("install", 64, "missing argument 'dir'"),
    ("install . >/dev/full", 70, "cannot write"),
    ("install /dev/full", 78, "Not a directory"),
    ("install small", 74, "No space left", None, "into_what_is_too_small"),
    ("run SCRIPT", 0, "", 'k.once "job" { run = { "true" } }\n'),
    ("run SCRIPT", 1, "koncli once reset job", 'k.once "job" { run = { "false" }, retries = 0 }\n'),
    ("run SCRIPT", 9, "exited with 9", 'k.exec { "sh", "-c", "exit 9" }\n'),
    ("run SCRIPT", 137, "ended with 137", 'k.flow "f" { k.main { "sh", "-c", "kill -9 $$" } }\n'),
    ("run SCRIPT", 143, "the claim is given back", ONCE % "", "stopped"),
    ("run SCRIPT", 124, "took too long", 'k.exec { "sleep", "1000", timeout = "100ms" }\n'),
    ("run SCRIPT", 126, "Permission denied", 'k.exec { "/etc/passwd" }\n'),
    ("run SCRIPT", 127, "no such file", 'k.exec { "/none" }\n'),
    ("run", 64, "missing argument 'script'"),
    ("run none.lua", 64, "cannot read none.lua"),
    ("run SCRIPT --nosuch", 64, "unknown option '--nosuch'", MISTAKE),
    ("run SCRIPT --grace -1s", 64, "a duration cannot be negative", ONCE % ""),
    ("run SCRIPT --store sqlite:a --store sqlite:b", 64, "at most 1 time", ONCE % ""),
    ("run SCRIPT --store sqlite:a --context b", 64, "--context is for Kubernetes", ONCE % ""),
    ("run SCRIPT", 65, 'option "run" is missing', MISTAKE),
    ("run SCRIPT", 70, "stuck", STUCK),
    ("run SCRIPT --store sqlite:/proc/none/state.db", 74, "/proc/none", LEASE % "wait = false"),
    ("run SCRIPT", 75, "held by a", LEASE % "wait = false"),
    ("run SCRIPT", 75, "50ms", LEASE % 'timeout = "50ms"'),
    ("run SCRIPT", 76, "superseded", ONCE % "", "superseded"),
    ("run SCRIPT", 77, "koncli once resolve job", ONCE % ', mode = "AtMostOnce"', "in_doubt"),
    ("run SCRIPT --store sqlite:/etc/passwd", 78, "/etc/passwd", LEASE % "wait = false"),
    ("run SCRIPT --store etcd://e:2379", 78, "not built into", LEASE % "wait = false"),
    ("run SCRIPT", 79, "revision", (ONCE % "").replace("1h", "3s"), "rolled_back"),
]


class Page(unittest.TestCase):
    """What the page says is what is tested."""

    maxDiff = None

    def codes(self, heading):
        part = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        lines = re.findall(r"^\| `([a-z ]+)` \| (.*?) \|", part, re.MULTILINE)
        self.assertGreater(len(lines), 5, heading)
        return {verb: set(codes.split()) for verb, codes in lines}

    def test_each_code_that_it_lists_of_a_verb_of_koncli_has_a_row_and_no_other_has(self):
        tested = {}
        for _, argv, code, _ in rows():
            if verb_of(argv) in [*ALL, *SEVERAL["PLAIN"]]:
                tested.setdefault(verb_of(argv), set()).add(shown(code))
        self.assertEqual(self.codes("koncli"), tested)

    def test_each_code_that_it_lists_of_a_command_of_konductor_has_a_row_and_no_other_has(self):
        tested = {}
        for command, code, *_ in KONDUCTOR:
            tested.setdefault(command.split()[0], set()).add(shown(code))
        self.assertEqual(self.codes("konductor"), tested)


class Here(Rows, KoncliTest):
    """On SQLite."""

    def test_without_rights(self):
        closed = self.cluster.directory / "closed"
        closed.mkdir(mode=0o700)
        self.cluster.directory.chmod(0o755)
        as_nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        if not as_nobody:
            closed.chmod(0)
        env = self.environment({"KONDUCTOR_STORE": f"sqlite:{closed}/state.db"})
        self.play_at_once("rightless", lambda argv: ([*as_nobody, self.path, *argv], env))

    def test_of_a_store_that_does_not_answer(self):
        self.make_free()
        with contextlib.closing(sqlite3.connect(self.cluster.store_path, isolation_level=None)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            self.play_at_once("silent", lambda argv: ([self.path, *argv], self.environment()))


class Konductor(KoncliTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.koncli("lease", "acquire", "db", "--holder", "a", "--ttl", "1h").returncode, 0)

    def begin(self, script):
        """A replica whose work has begun and goes on until there is a file `end`."""
        at_work = self.cluster.directory / "at-work"
        at_work.unlink(missing_ok=True)
        replica = self.cluster.start(script)
        replica.wait_for(at_work.exists, what="its work")
        return replica

    def ended(self, replica):
        return replica.wait(), replica.stdout, replica.stderr

    def play_command(self, script, command):
        command, full, _ = command.partition(" >/dev/full")
        env = self.environment({"KONDUCTOR_STUCK_MS": "500"} if (script and STUCK in script.read_text()) else None)
        argv = [binary(), *command.replace("SCRIPT", str(script)).split()]
        options = ["--listen", "off"] if command.startswith("run SCRIPT") else []
        with open("/dev/full", "wb") as full_file:
            done = subprocess.run([*argv, *options], stdin=subprocess.DEVNULL, stdout=full_file if full else subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env=env, cwd=self.cluster.directory,
                                  timeout=60 * PATIENCE, check=False)
        check_sanitizers(command, done.stderr)
        return done.returncode, done.stdout or "", done.stderr

    def play_probed(self, script):
        replica = self.cluster.start(script, listen="127.0.0.1:0", options=["-v"])
        port = joi.port(replica)
        done = self.cluster.run("probe", f"http://127.0.0.1:{port}/livez")
        return done.returncode, done.stdout, done.stderr

    def play_into_what_is_too_small(self, _):
        wrapper = containers.namespaces()
        if wrapper is None:
            self.skipTest("no namespaces here")
        small = self.cluster.directory / "small"
        small.mkdir()
        done = subprocess.run([*wrapper, "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$1" install "$0"', small,
                               binary()], capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr

    def play_broken(self, script):
        """What it found is its answer, not a complaint."""
        code, answer, complaint = self.play_command(script, "sim SCRIPT --seeds 1 --only none")
        self.assertEqual(complaint, "")
        return code, "", answer

    def play_stopped(self, script):
        replica = self.begin(script)
        return replica.stop(), replica.stdout, replica.stderr

    def play_superseded(self, script):
        replica = self.begin(script)
        replica.signal(signal.SIGSTOP)
        self.ok("once", "delete", "job", "--force")
        self.assertEqual(self.koncli("once", "claim", "job", "--holder", "thief").returncode, 0)
        (self.cluster.directory / "end").touch()
        replica.signal(signal.SIGCONT)
        return self.ended(replica)

    def play_in_doubt(self, script):
        self.begin(script).kill()
        return self.ended(self.cluster.start(script))

    def play_rolled_back(self, script):
        with contextlib.closing(sqlite3.connect(self.cluster.store_path)) as db, \
                contextlib.closing(sqlite3.connect(self.cluster.directory / "old.db")) as old:
            db.backup(old)
            replica = self.begin(script)
            old.backup(db)
        return self.ended(replica)

    def judge(self, code, words, found):
        told = f"{found[0]}\n{found[1]}\n{found[2]}"
        self.assertEqual(found[0], code, told)
        self.assertIn(words, found[2 if code else 1], told)
        if code:
            self.assertEqual(found[1], "", told)
        self.assertNotIn("traceback", found[2])

    def test_each_command_ends_with_the_code_of_what_was_wrong(self):
        for number, (command, code, words, *more) in enumerate(KONDUCTOR):
            text, how = [*more, None, None][:2]
            with self.subTest(f"{number}: {command}", code=code):
                self.doCleanups()
                self.setUp()
                script = text and self.cluster.script('local k = require "konductor"\n' + text)
                found = getattr(self, f"play_{how}")(script) if how else self.play_command(script, command)
                self.judge(code, words, found)


del KoncliTest, Rows

if __name__ == "__main__":
    unittest.main()
