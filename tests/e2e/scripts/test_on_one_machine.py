"""Ready-made scripts with more to them than tests/e2e/test_scripts.py asks of each: run to completion and again, a lock as
flock(1) has it, waiting for what somebody else executes, a label where there are no Pods."""

import subprocess
import unittest

import just_one_init as joi
from lib import ClusterTest, wait_for


class OnOneMachine(ClusterTest):
    def lines(self, name):
        path = self.cluster.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def run_to_end(self, script, *command, **env):
        replica = self.cluster.start(script, command=command, env=env)
        return replica.wait(), replica.stderr

    def koncli(self, *argv):
        done = subprocess.run([joi.link(self.cluster, "koncli"), *argv], env=self.cluster.env(), capture_output=True, text=True,
                              timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class RunOnce(OnOneMachine):
    COUNT = ["sh", "-c", "echo x >> runs; test -e good"]

    def test_it_fails_for_good_when_its_retries_are_used_up_whoever_used_them(self):
        for attempts, retries in ((1, 0), (3, 2), (3, 2)):
            code, said = self.run_to_end("@run-once", *self.COUNT, RETRIES=retries)
            self.assertEqual(code, 1)
            self.assertIn(f"after {attempts} attempt", said)
            self.assertEqual(len(self.lines("runs")), attempts)

    def test_a_reset_by_hand_lets_what_failed_for_good_and_what_was_done_run_again(self):
        self.assertEqual(self.run_to_end("@run-once", *self.COUNT, RETRIES=0)[0], 1)
        self.cluster.file("good", "")
        for runs in (2, 3):
            self.koncli("once", "reset", "job")
            for _ in (1, 2):
                self.assertEqual(self.run_to_end("@run-once", *self.COUNT, RETRIES=0)[0], 0)
            self.assertEqual(len(self.lines("runs")), runs)

    def test_its_record_is_kept_for_as_long_as_was_asked_and_then_it_runs_again(self):
        self.cluster.file("good", "")
        self.assertEqual(self.run_to_end("@run-once", *self.COUNT, KEEP="1h")[0], 0)
        self.assertEqual(self.run_to_end("@run-once", *self.COUNT, KEEP="1h")[0], 0)
        self.assertEqual(len(self.lines("runs")), 1)
        self.assertEqual(self.run_to_end("@run-once", *self.COUNT, NAME="brief", KEEP="1s")[0], 0)

        def again():
            self.assertEqual(self.run_to_end("@run-once", *self.COUNT, NAME="brief", KEEP="1s")[0], 0)
            return len(self.lines("runs")) == 3

        wait_for(again, what="the second run, when the time of the record is over")


class Singleton(OnOneMachine):
    def test_a_run_that_was_killed_keeps_the_next_one_out_no_longer_than_it_lives(self):
        first = self.cluster.start("@singleton", command=["sleep", "1000"], env={"TTL": "1h"})
        first.wait_event("start")
        first.kill()

        def ran():
            code, said = self.run_to_end("@singleton", "touch", "ran", TTL="1h")
            self.assertEqual(code, 0)
            return "not started" not in said

        wait_for(ran, what="a run after the one that was killed")
        self.assertTrue((self.cluster.directory / "ran").exists())


    def test_koncli_that_does_not_wait_takes_over_from_what_was_killed_too(self):
        for kind, words in (("lease", ["--ttl", "1h"]), ("once", ["--no-wait"])):
            script = {"lease": 'k.lease "x" { ttl = "1h", main = { "sleep", "1000" } }',
                      "once": 'k.once "x" { hold = "1h", run = { "sleep", "1000" } }'}[kind]
            first = self.cluster.start(self.cluster.script('local k = require "konductor"\n' + script))
            first.wait_event("start")
            first.kill()
            koncli = joi.link(self.cluster, "koncli")
            run = lambda argv=(koncli, kind, "run", "x", *words, "--", "touch", kind): subprocess.run(
                argv, env=self.cluster.env(), cwd=self.cluster.directory, capture_output=True, check=False).returncode == 0
            wait_for(run, what=f"koncli {kind} run")
            self.assertTrue((self.cluster.directory / kind).exists())


class Flock(OnOneMachine):
    def hold(self, *words):
        holder = self.cluster.start("@flock", command=[*words, "sleep", "1000"])
        holder.wait_event("start")
        return holder

    def test_it_ends_as_its_command_does(self):
        for words, code in ((["sh", "-c", "exit 9"], 9), (["-c", "exit 8"], 8), (["true"], 0), (["no-such-program"], 127)):
            self.assertEqual(self.run_to_end("@flock", "nightly", *words)[0], code)

    def test_at_a_lock_that_is_held_each_of_its_options_does_what_flock_does(self):
        """The same words for flock(1), with a file, and for konductor: exit codes, and whether the command ran."""
        self.hold("nightly")
        path = self.cluster.file("nightly", "")
        theirs = subprocess.Popen(["flock", "-F", path, "sleep", "1000"], env=self.cluster.env())
        self.addCleanup(theirs.wait)
        self.addCleanup(theirs.kill)
        wait_for(lambda: subprocess.run(["flock", "-n", path, "true"], check=False).returncode == 1, what="flock to hold")
        for words in (["-n"], ["-n", "-E", "9"], ["-w", "0.2"], ["-x", "-w", "0.1", "-E", "7"], ["-E", "0", "-n"],
                      ["-w", "0"]):
            with self.subTest(words):
                done = subprocess.run(["flock", *words, path, "touch", "ran"], cwd=self.cluster.directory, check=False)
                code, said = self.run_to_end("@flock", *words, path, "touch", "ran")
                self.assertEqual(code, done.returncode, said)
                self.assertFalse((self.cluster.directory / "ran").exists())

    def test_a_lock_that_is_free_is_had_by_one_who_has_no_time_to_wait(self):
        path = self.cluster.file("nightly", "")
        for words in (["-n"], ["-w", "0"], ["-w", "0.0"]):
            with self.subTest(words):
                self.assertEqual(subprocess.run(["flock", *words, path, "true"], check=False).returncode, 0)
                code, said = self.run_to_end("@flock", *words, path, "true")
                self.assertEqual(code, 0, said)

    def test_without_options_it_waits_for_its_turn(self):
        holder = self.hold("/var/lock/nightly")
        late = self.cluster.start("@flock", command=["nightly", "touch", "ran"])
        late.wait_stderr("held by")
        self.assertEqual(holder.stop(), 143)
        self.assertEqual(late.wait(), 0)
        self.assertTrue((self.cluster.directory / "ran").exists())

    def test_a_command_that_fails_is_not_taken_for_a_lock_that_is_held(self):
        for code in (1, 75):
            self.assertEqual(self.run_to_end("@flock", "-n", "-E", "9", "nightly", "sh", "-c", f"exit {code}")[0], code)

    def test_what_flock_has_and_this_has_not_is_refused_with_a_sentence(self):
        for words, sentence in ((["-s", "x", "true"], "-s is not known here"), (["-n"], "the name of a lock is missing"),
                                (["x"], "a command is expected after the lock"), (["-w", "soon", "x", "true"], "a number"),
                                (["-E", "256", "x", "true"], "-E is 256"), (["-E", "-1", "x", "true"], "-E is -1"),
                                (["x", "-c"], "a command is expected after -c"), (["/var/lock/", "true"], "a name is empty")):
            with self.subTest(words):
                code, said = self.run_to_end("@flock", *words)
                self.assertEqual(code, 65)
                self.assertIn(sentence, said)


class WaitFor(OnOneMachine):
    def test_it_starts_its_command_when_another_has_executed_that_version(self):
        env = {"ONCE": "app.init", "VERSION": "2"}
        waiter = self.cluster.start("@wait-for", command=["touch", "ran"], env=env)
        waiter.wait_stderr("there is no record yet")
        for version in ("1", "2"):
            self.assertFalse((self.cluster.directory / "ran").exists())
            self.assertEqual(self.run_to_end("@once-per-version", "true", INIT="true", IMAGE_TAG=version)[0], 0)
        self.assertEqual(waiter.wait(), 0)
        self.assertTrue((self.cluster.directory / "ran").exists())
        for each in (env, {**env, "VERSION": "1"}):
            self.assertEqual(self.run_to_end("@wait-for", **each)[0], 0)

    def test_it_ends_with_75_when_its_time_is_over_and_1_when_the_work_failed_for_good(self):
        code, said = self.run_to_end("@wait-for", "touch", "ran", ONCE="job", TIMEOUT="100ms")
        self.assertEqual(code, 75)
        self.assertIn('k.once("job"):wait: not executed within 100ms', said)
        waiter = self.cluster.start("@wait-for", command=["touch", "ran"], env={"ONCE": "job"})
        waiter.wait_stderr("there is no record yet")
        self.assertEqual(self.run_to_end("@run-once", "false", RETRIES=0)[0], 1)
        self.assertEqual(waiter.wait(), 1)
        self.assertIn("has failed for good after 1 attempt", waiter.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_it_ends_when_it_is_asked_to_and_leaves_nothing(self):
        waiter = self.cluster.start("@wait-for", env={"ONCE": "job"})
        waiter.wait_stderr("there is no record yet")
        self.assertEqual(waiter.stop(), 143)
        self.assertEqual(self.cluster.store_rows(), [])


class LeaderLabel(OnOneMachine):
    def test_without_pods_it_leads_and_says_that_nothing_is_labelled(self):
        a = self.cluster.start("@leader-label", command=["sleep", "1000"], env={"LEASE": "ledger"})
        a.wait_event("start", name="ledger")
        self.assertIn("there are no Pods here, so none is labelled", a.stderr)
        self.assertEqual(a.stop(), 143)

    def test_a_label_that_kubernetes_would_refuse_is_a_mistake(self):
        code, said = self.run_to_end("@leader-label", "true", LABEL="role=the leader")
        self.assertEqual(code, 65)
        self.assertIn('bad label "role=the leader"', said)


del OnOneMachine

if __name__ == "__main__":
    unittest.main()
