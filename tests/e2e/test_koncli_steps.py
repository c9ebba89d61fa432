"""One-shot steps of koncli on SQLite, and what only one machine can tell."""

import contextlib
import json
import os
import pty
import re
import sqlite3
import subprocess
import unittest

from koncli_steps import LEADER, LeaseSteps, OnceSteps, StatusSteps
from lib import PATIENCE, wait_for
from test_koncli import KoncliTest


class Lease(LeaseSteps, KoncliTest):
    def make_unrenewable(self, name):
        db = sqlite3.connect(self.cluster.store_path, timeout=60)
        with db:
            db.execute("UPDATE records SET spec = json_set(spec, '$.renewable', json('false')) WHERE name = ?", (name,))
        db.close()

    def test_a_hold_that_says_no_time_is_renewed_for_that_of_its_lease(self):
        self.ok("lease", "create", "db", "--ttl", "42s")
        self.taken("lease", "acquire", "db", "--holder", "a", "--ttl", "10m")
        db = sqlite3.connect(self.cluster.store_path, timeout=60)
        with db:
            db.execute("UPDATE records SET status = json_remove(status, '$.ttlMs') WHERE name = 'db'")
        db.close()
        self.ok("lease", "renew", "db", "--holder", "a")
        self.assertEqual(self.status("lease", "db")["ttlMs"], 42000)

    def test_run_says_that_too_few_files_may_be_open(self):
        said = {}
        for limit in range(8, 40):
            done = subprocess.run(["prlimit", f"--nofile={limit}", self.path, "lease", "run", "db", "--", "true"], check=False,
                                  env=self.environment(), capture_output=True, text=True, timeout=60 * PATIENCE)
            said[limit] = (done.returncode, done.stderr)
        failed = [words for code, words in said.values() if "cannot prepare to run true" in words]
        self.assertEqual(set(failed), {"koncli lease run: cannot prepare to run true: Too many open files\n"})
        self.assertEqual(said[39], (0, ""))

    def leader(self, name):
        return self.cluster.start(self.cluster.script(LEADER), name=name)

    def test_a_dead_leader_is_succeeded_before_its_time_is_over(self):
        leader = self.cluster.start(self.cluster.script(LEADER.replace("10s", "1h")), name="boss-1")
        leader.wait_event("start")
        self.refused(5, "lease", "acquire", "boss", "--holder", "b")
        leader.kill()
        wait_for(lambda: self.koncli("lease", "acquire", "boss", "--holder", "b").returncode == 0, what="the end of the leader")

    def test_a_hold_of_a_shell_outlives_it_whatever_lives(self):
        self.taken("lease", "acquire", "db", "--holder", "a", "--ttl", "1h")
        self.refused(5, "lease", "acquire", "db", "--holder", "b")

    def test_one_who_renews_is_told_that_it_should_make_way_and_one_who_runs_does(self):
        eager = self.cluster.script('local k = require "konductor"\n'
                                    'k.lease "boss" { ttl = "10s", priority = 9, preempt = true, main = { "sleep", "1000" } }\n')
        self.taken("lease", "acquire", "boss", "--holder", "a")
        self.cluster.start(eager, name="eager")
        self.queued("boss")
        renewed = self.koncli("lease", "renew", "boss", "--holder", "a")
        self.assertEqual((renewed.returncode, renewed.stderr),
                         (0, "koncli lease renew: it should be released, to make way for a higher priority\n"))
        self.ok("lease", "release", "boss", "--holder", "a")
        self.cluster.replicas[0].wait_event("start")
        self.cluster.replicas[0].stop()
        runner = self.background("lease", "run", "boss", "--holder", "a", "--ttl", "10s", "--", "sleep", "1000")
        wait_for(lambda: self.status("lease", "boss")["holder"] == "a", what="the hold")
        self.cluster.start(eager, name="eager").wait_event("start")
        self.assertEqual(self.code_of(runner), 5)
        self.assertIn("made way for another", (self.cluster.directory / "background").read_text())

    def test_a_time_to_live_below_a_second_is_refused(self):
        self.assertIn("--ttl", self.refused(64, "lease", "acquire", "db", "--ttl", "999ms"))


class Strangers(KoncliTest):
    def name_holder(self, name, key, holder):
        db = sqlite3.connect(self.cluster.store_path, timeout=60)
        with db:
            db.execute(f"UPDATE records SET status = json_set(status, '$.{key}', ?) WHERE name = ?", (holder, name))
        db.close()

    def test_no_sentence_passes_on_what_steers_a_terminal(self):
        name = "\33]0;x\7\nfake\x9b31m"
        self.koncli("lease", "acquire", "db", "--holder", "a")
        self.koncli("once", "claim", "init", "--holder", "a")
        self.name_holder("db", "holder", name)
        self.name_holder("init", "executor", name)
        script = self.cluster.script('local k = require "konductor"\nk.once "init" { run = { "true" } }\n')
        plan = subprocess.run([self.path.resolve(), "plan", script], env=self.environment(), capture_output=True, text=True, check=True)
        said = [plan.stdout]
        for args in (["lease", "acquire", "db"], ["lease", "run", "db", "--", "true"], ["lease", "renew", "db"], ["lease", "delete", "db"],
                     ["once", "claim", "init"], ["once", "done", "init"], ["once", "reset", "init"], ["once", "resolve", "init", "--ran"],
                     ["once", "delete", "init"], ["once", "run", "init", "--no-wait", "--", "true"]):
            said.append(self.refused(5, *args))
            self.assertEqual(said[-1].count("\n"), 1, said[-1])
        for text in said:
            self.assertIn("fake", text)
            self.assertNotRegex(text, "[^\n -~\xa0-\U0010ffff]")
        self.assertNotIn("\nfake", plan.stdout)


class Once(OnceSteps, KoncliTest):
    def test_run_of_work_that_has_failed_for_good_is_1_and_of_its_last_attempt_that_of_its_command(self):
        self.run_script('local k = require "konductor"\nk.once "charge" { run = { "true" }, version = "v1", mode = "AtMostOnce" }\n')
        run = ["once", "run", "charge", "--version", "v2", "--", "sh", "-c", "exit 9"]
        self.assertEqual(self.koncli(*run).returncode, 9)
        self.assertIn("koncli once reset charge", self.refused(1, *run))
        self.assertIn("koncli once reset charge", self.refused(1, "once", "claim", "charge", "--version", "v2"))

    def test_run_of_work_in_doubt_is_5_and_says_how_it_is_settled(self):
        self.run_script('local k = require "konductor"\nk.once "charge" { run = { "true" }, version = "v1", mode = "AtMostOnce" }\n')
        runner = self.background("once", "run", "charge", "--version", "v2", "--", "sh", "-c", "touch began; exec sleep 1000")
        wait_for((self.cluster.directory / "began").exists, what="the work")
        runner.kill()
        wait_for(lambda: "--ran or --not-run" in self.koncli("once", "claim", "charge", "--version", "v2").stderr, what="the doubt")
        self.assertIn("--ran or --not-run", self.refused(5, "once", "run", "charge", "--version", "v2", "--", "true"))


class Waits(KoncliTest):
    def test_a_person_on_a_terminal_sees_for_whom_it_waits_and_a_script_does_not(self):
        self.koncli("lease", "acquire", "db", "--holder", "a")
        wait = ["lease", "acquire", "db", "--holder", "b", "--timeout", "2s"]
        self.assertEqual(self.koncli(*wait).stderr, "koncli lease acquire: not available within 2s\n")
        ours, its = pty.openpty()
        done = subprocess.run([self.path, *wait], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=its, check=False,
                              env=self.environment({"TERM": "xterm"}), timeout=60 * PATIENCE)
        os.close(its)
        self.assertEqual((done.returncode, done.stdout), (3, b""))
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            self.assertIn(b"held by a, fence ", terminal.read(65536))


class Status(StatusSteps, KoncliTest):
    def on_a_terminal(self, *args, **env):
        """What it prints there."""
        ours, its = pty.openpty()
        done = subprocess.run([self.path, *args], stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.PIPE, timeout=60 * PATIENCE,
                              env=self.environment({"TERM": "xterm", **env}), check=True)
        os.close(its)
        text = b""
        with contextlib.suppress(OSError): # the end of a terminal is an error
            while piece := os.read(ours, 65536):
                text += piece
        os.close(ours)
        self.assertEqual(done.stderr, b"")
        return text.decode()

    def test_states_are_coloured_on_a_terminal_alone_and_not_against_the_wish_of_its_user(self):
        self.ok("once", "run", "good", "--", "true")
        self.koncli("once", "run", "bad", "--", "false")
        for args in (["status"], ["once", "list"], ["once", "status", "good"]):
            with self.subTest(args=args):
                self.assertIn("\33[32mExecuted", self.on_a_terminal(*args))
                for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
                    self.assertNotIn("\33", self.on_a_terminal(*args, **env))
                self.assertNotIn("\33", self.ok(*args, env={"TERM": "xterm"}))
        self.assertIn("\33[33mRetrying", self.on_a_terminal("status"))

    def test_next_says_what_to_type(self):
        script = 'local k = require "konductor"\nk.flow "shop" { k.stage "seed" { run = { "false" }, retries = 0 } }\n'
        self.run_script(script, code=1)
        self.assertIn("Next\n  shop.seed: when mended: koncli once reset shop.seed\n", self.ok("status"))

    def test_a_damaged_object_hides_no_other(self):
        self.ok("lease", "create", "db")
        self.ok("once", "create", "init")
        db = sqlite3.connect(self.cluster.store_path, timeout=60)
        with db:
            db.execute("UPDATE records SET status = json_set(status, '$.history', 5) WHERE name = 'init'")
        db.close()
        text = self.ok("status")
        self.assertRegex(text, r"(?m)^db +Available")
        self.assertRegex(text, r"(?m)^init +Damaged")
        self.assertIn("status.history is 5", text)


class Names(KoncliTest):
    def test_of_the_program_may_be_that_of_a_plugin(self):
        plugin = self.cluster.directory / "kubectl-konductor"
        plugin.symlink_to(self.path.resolve())
        done = subprocess.run([plugin, "once", "check", "init"], env=self.environment(), capture_output=True, text=True, check=True)
        self.assertIn("has not been executed", done.stdout)

    def complete(self, *words):
        """What bash offers for the last of these words."""
        script = f"{self.ok('completion', 'bash')}\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _koncli_names; echo \"${{COMPREPLY[@]}}\""
        env = {**self.environment(), "PATH": f"{self.cluster.directory}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", script, "bash", "koncli", *words], env=env, capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_of_objects_are_completed_where_one_is_expected(self):
        for name in ("app-init", "app-seed", "other"):
            self.ok("once", "create", name)
        self.ok("lease", "create", "db")
        self.ok("lease", "create", "far", "-n", "prod")
        for words, expected in (
                ((("once", "check", "app-"), ["app-init", "app-seed"])), (("once", "run", "--version", "v1", "o"), ["other"]),
                (("lease", "acquire", ""), ["db"]), (("-n", "prod", "lease", "renew", ""), ["far"]),
                (("once", "create", ""), []), (("once", "check", "other", ""), []), (("once", "run", "other", "--", ""), []),
                (("once", "cl"), ["claim"]), (("lease", "renew", "--tok"), ["--token"])):
            with self.subTest(words=words):
                self.assertEqual(self.complete(*words), expected)


class ExitCodes(KoncliTest):
    """Of every command; 3 and 5 are those of the steps."""

    ONCE = ("create", "check", "status", "run", "claim", "done", "fail", "reset", "resolve", "delete")
    LEASE = ("create", "acquire", "renew", "release", "run", "status", "delete")
    MORE = {("once", "resolve"): ["--ran"], ("once", "run"): ["--", "true"], ("lease", "run"): ["--", "true"]}

    def commands(self):
        """Each with what it needs."""
        self.assertEqual(self.listed(), {("once", verb) for verb in self.ONCE} | {("lease", verb) for verb in self.LEASE}
                         | {("once", "list"), ("lease", "list")})
        for noun, verbs in (("once", self.ONCE), ("lease", self.LEASE)):
            for verb in verbs:
                yield [noun, verb, "x", *self.MORE.get((noun, verb), [])]
            yield [noun, "list"]
        yield ["status"]

    def listed(self):
        return set(re.findall(r"(?m)^  koncli (once|lease) (\w+)", self.ok("help")))

    def test_of_a_store_that_cannot_be_opened_is_1(self):
        for command in self.commands():
            with self.subTest(command):
                self.assertIn("/proc/none", self.refused(1, *command, env={"KONDUCTOR_STORE": "sqlite:/proc/none/state.db"}))

    def test_of_what_is_not_there_is_2(self):
        for verb in ("status", "done", "fail", "reset", "delete"):
            self.assertIn('there is no Once "x"', self.refused(2, "once", verb, "x"))
        self.refused(2, "once", "resolve", "x", "--ran")
        for verb in ("status", "renew", "release", "delete"):
            self.assertIn('there is no Lease "x"', self.refused(2, "lease", verb, "x"))

    def test_of_a_missing_right_is_4(self):
        closed = self.cluster.directory / "closed"
        closed.mkdir(mode=0o700)
        self.cluster.directory.chmod(0o755)
        wrapper = ["setpriv", "--reuid=65534", "--clear-groups"]
        if os.geteuid() != 0:
            closed.chmod(0)
            self.addCleanup(closed.chmod, 0o700)
            wrapper = []
        env = self.environment({"KONDUCTOR_STORE": f"sqlite:{closed}/state.db"})
        for command in self.commands():
            with self.subTest(command):
                done = subprocess.run([*wrapper, self.path, *command], env=env, capture_output=True, text=True, check=False,
                                      cwd="/", timeout=60 * PATIENCE)
                self.assertEqual((done.returncode, done.stdout), (4, ""), done.stderr)

    def test_of_wrong_arguments_is_64_and_nothing_is_done(self):
        for command in self.commands():
            for wrong in (["--forse"], ["--store="], ["-o", "xml"], ["-n", "A"]):
                with self.subTest(command + wrong):
                    at = 2 if command[0] != "status" else 1
                    self.refused(64, *command[:at], *wrong, *command[at:])
        for args, words in (
                (["lease", "acquire", "x", "--holder", ""], "--holder is empty"), (["lease", "acquire", "x", "--holder", "--wait"], "requires an argument"),
                (["lease", "acquire", "--holder", "x"], "missing argument 'name'"), (["lease", "acquire", "x", "--holder=--wait"], "was the value empty?"),
                (["lease", "acquire", "x", "--timeout", "-1s"], "--timeout"), (["lease", "acquire", "x", "--timeout", "5"], 'did you mean "5s"?'),
                (["lease", "acquire", "x", "--ttl", "0s"], "too short"), (["lease", "acquire", "x", "--ttl", "1 day"], "--ttl"),
                (["lease", "acquire", "x", "--priority", "high"], "no whole number"), (["lease", "acquire", "x", "--priority=1.5"], "no whole number"),
                (["lease", "renew", "x", "--token", "0"], "no whole number"), (["lease", "renew", "x", "--token", "12a"], "no whole number"),
                (["lease", "renew", "x", "--token", ""], "--token is empty"), (["lease", "renew", "x", "--wait"], "--wait"),
                (["lease", "release", "x", "y"], "too many arguments"), (["once", "claim", "x", "--hold", "1"], "--hold"),
                (["once", "claim", "x", "--version", "a b"], "--version"), (["once", "run", "x"], 'behind "--"'),
                (["once", "run", "x", "--"], 'behind "--"'), (["once", "run", "x", "--", ""], "program of the command is empty"),
                (["once", "run", "--", "true"], "missing argument"), (["lease", "run", "x", "--run-timeout", "0", "--", "true"], "too short"),
                (["once", "run", "x", "-o", "json", "--", "true"], "must be"), (["status", "x"], "too many arguments")):
            with self.subTest(args):
                self.assertIn(words, self.refused(64, *args))
        for env in ({"KONDUCTOR_TIMEOUT": "soon"}, {"KONDUCTOR_TIMEOUT": "-1s"}):
            self.assertIn("KONDUCTOR_TIMEOUT", self.refused(64, "lease", "acquire", "x", env=env))
        self.assertIn("KONDUCTOR_TOKEN", self.refused(64, "lease", "renew", "x", env={"KONDUCTOR_TOKEN": "mine"}))
        self.assertEqual(self.koncli("status", "-o", "name").stdout, "")

    def test_of_what_was_not_told_is_no_success_and_holds_nothing(self):
        for noun, verb in (("lease", "acquire"), ("once", "claim")):
            with open("/dev/full", "wb") as full:
                done = self.koncli(noun, verb, "x", stdout=full)
            self.assertEqual(done.returncode, 1)
            self.assertIn("No space left", done.stderr)
        self.assertEqual(json.loads(self.ok("lease", "status", "x", "-o", "json"))["status"]["holder"], "")
        self.assertEqual(json.loads(self.ok("once", "status", "x", "-o", "json"))["status"]["executor"], "")


del KoncliTest, LeaseSteps, OnceSteps, StatusSteps

if __name__ == "__main__":
    unittest.main()
