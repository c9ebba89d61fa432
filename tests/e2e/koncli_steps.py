"""One-shot steps of koncli, as claims that hold on every store: test_koncli_steps.py runs them on SQLite,
kube/test_koncli_steps.py on a real API server.

A class here is no test case by itself; it is joined with one whose koncli() runs a command on its store."""

import json
import re
import signal
import subprocess

from lib import wait_for

LEADER = 'local k = require "konductor"\nk.lease "boss" { ttl = "10s", main = { "sleep", "1000" } }\n'


class Steps:
    """What both kinds share."""

    def json(self, noun, name):
        return json.loads(self.ok(noun, "status", name, "-o", "json"))

    def status(self, noun, name):
        return self.json(noun, name)["status"]

    def said(self, *args, **how):
        """Of a command that ends well: what it prints, a remark to people on standard error allowed."""
        done = self.koncli(*args, **how)
        self.assertEqual(done.returncode, 0, (args, done.stderr))
        return done.stdout

    def taken(self, *args, **how):
        """The token that it prints: a whole number on a line of its own, and nothing else."""
        text = self.said(*args, **how)
        self.assertRegex(text, r"\A[1-9]\d*\n\Z")
        return int(text)

    def background(self, *args):
        log = open(self.cluster.directory / "background", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen([self.path, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                   text=True, env=self.environment(), cwd=self.cluster.directory)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.kill()
        process.wait()
        process.stdout.close()

    def code_of(self, process):
        wait_for(lambda: process.poll() is not None, what="the end of koncli")
        return process.returncode

    def queued(self, name, count=1):
        wait_for(lambda: len(self.status("lease", name).get("waiters", [])) == count, what=f"{count} in the queue")


class LeaseSteps(Steps):
    def test_a_free_lease_is_acquired_by_one_who_gets_a_token_and_by_no_other(self):
        self.ok("lease", "create", "db", "--ttl", "5m")
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        status = self.status("lease", "db")
        self.assertEqual((status["holder"], status["bound"], status["session"], status["fence"], status["ttlMs"], status["phase"]),
                         ("a", "time", "", token, 300000, "Held"))
        for more in ([], ["--timeout", "0"], ["--wait", "--timeout", "0"]):
            self.assertIn("held by a", self.refused(5, "lease", "acquire", "db", "--holder", "b", *more))
        self.assertEqual(self.status("lease", "db"), status)

    def test_one_of_the_same_name_does_not_steal_from_itself(self):
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        self.assertIn(f"fence {token}", self.refused(5, "lease", "acquire", "db", "--holder", "a"))
        self.ok("lease", "renew", "db", "--holder", "a")

    def test_a_lease_that_is_not_there_is_made(self):
        self.taken("lease", "acquire", "first", "--holder", "a", "--ttl", "90s")
        self.taken("lease", "acquire", "second", "--holder", "a")
        self.assertEqual([self.json("lease", name)["spec"]["ttl"] for name in ("first", "second")], ["90s", "10m"])
        self.assertEqual(self.status("lease", "first")["ttlMs"], 90000)

    def test_every_token_is_greater_than_the_last_also_after_a_deletion(self):
        tokens = []
        for _ in range(2):
            for force in ([], ["--force"]):
                tokens.append(self.taken("lease", "acquire", "db", "--holder", "a"))
                self.ok("lease", "release", "db", "--holder", "a", *force)
            self.ok("lease", "delete", "db")
        self.assertEqual(tokens, sorted(set(tokens)))

    def test_renew_is_of_its_own_grant_and_counts(self):
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        self.ok("lease", "renew", "db", "--holder", "a")
        self.ok("lease", "renew", "db", "--holder", "a", "--token", token, "--ttl", "7m")
        status = self.status("lease", "db")
        self.assertEqual((status["renewals"], status["ttlMs"], status["fence"]), (2, 420000, token))
        self.ok("lease", "renew", "db", env={"KONDUCTOR_HOLDER_ID": "a", "KONDUCTOR_TOKEN": str(token)})

    def test_what_is_not_ones_own_is_neither_renewed_nor_released(self):
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        before = self.json("lease", "db")
        for verb in ("renew", "release"):
            self.assertIn('held by "a"', self.refused(5, "lease", verb, "db", "--holder", "b"))
            self.assertIn(f"token {token}, not {token + 1}", self.refused(5, "lease", verb, "db", "--holder", "a", "--token", token + 1))
            self.refused(5, "lease", verb, "db", "--holder", "a", env={"KONDUCTOR_TOKEN": str(token - 1)})
            self.refused(2, "lease", verb, "none", "--holder", "a")
        self.assertIn("--force takes it from its holder", self.refused(5, "lease", "release", "db", "--holder", "b"))
        self.assertNotIn("--force", self.refused(5, "lease", "release", "db", "--holder", "b", "--token", token + 1))
        self.assertEqual(self.json("lease", "db"), before)
        self.ok("lease", "release", "db", "--holder", "a")
        for verb in ("renew", "release"):
            self.assertIn("nobody holds it", self.refused(5, "lease", verb, "db", "--holder", "a"))

    def test_a_token_of_the_environment_is_of_the_object_it_names(self):
        self.taken("lease", "acquire", "db", "--holder", "a")
        for env in ({"KONDUCTOR_LEASE": "other"}, {"KONDUCTOR_ONCE": "db"}, {"KONDUCTOR_ONCE": "db", "KONDUCTOR_LEASE": "other"}):
            self.ok("lease", "renew", "db", "--holder", "a", env={"KONDUCTOR_TOKEN": "1", **env})
        self.refused(5, "lease", "renew", "db", "--holder", "a", env={"KONDUCTOR_TOKEN": "1", "KONDUCTOR_LEASE": "db"})

    def test_force_takes_it_from_its_holder_and_says_from_whom(self):
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        self.assertIn(f'taken from "a", fence {token}', self.ok("lease", "release", "db", "--force"))
        self.refused(5, "lease", "renew", "db", "--holder", "a")
        self.refused(2, "lease", "release", "db", "--force")
        self.assertGreater(self.taken("lease", "acquire", "db", "--holder", "b"), token)

    def test_a_hold_whose_time_is_over_goes_to_the_next_and_its_old_holder_is_told(self):
        token = self.taken("lease", "acquire", "db", "--holder", "a", "--ttl", "5s")
        got = []

        def acquired():
            done = self.koncli("lease", "acquire", "db", "--holder", "b", "--ttl", "5m")
            self.assertIn(done.returncode, (0, 5), done.stderr)
            got.append(done.stdout)
            return done.returncode == 0

        wait_for(acquired, what="the end of a hold")
        self.assertGreater(int(got[-1]), token)
        for verb in ("renew", "release"):
            self.refused(5, "lease", verb, "db", "--holder", "a", "--token", token)

    def test_one_who_waits_gets_what_is_released(self):
        self.taken("lease", "acquire", "db", "--holder", "a")
        waiter = self.background("lease", "acquire", "db", "--holder", "b", "--wait", "--ttl", "4m")
        self.queued("db")
        self.assertIn('handed over to "b"', self.ok("lease", "release", "db", "--holder", "a"))
        self.assertEqual(self.code_of(waiter), 0)
        status = self.status("lease", "db")
        self.assertEqual((status["holder"], status["bound"], status["ttlMs"], f"{status['fence']}\n"),
                         ("b", "time", 240000, waiter.stdout.read()))
        self.assertNotIn("waiters", status)
        self.ok("lease", "renew", "db", "--holder", "b")

    def test_one_who_waits_for_a_time_leaves_the_queue_with_3(self):
        self.taken("lease", "acquire", "db", "--holder", "a")
        for how in ({"args": ["--timeout", self.brief]}, {"args": ["--wait", f"--timeout={self.brief}"]},
                    {"args": [], "env": {"KONDUCTOR_TIMEOUT": self.brief}}):
            self.assertIn(f"not available within {self.brief}",
                          self.refused(3, "lease", "acquire", "db", "--holder", "b", *how["args"], env=how.get("env")))
        self.assertNotIn("waiters", self.status("lease", "db"))
        self.refused(5, "lease", "acquire", "db", "--holder", "b", "--timeout", "0", env={"KONDUCTOR_TIMEOUT": "1h"})

    def test_one_who_is_stopped_while_it_waits_leaves_the_queue(self):
        self.taken("lease", "acquire", "db", "--holder", "a")
        waiter = self.background("lease", "acquire", "db", "--holder", "b", "--wait")
        self.queued("db")
        waiter.send_signal(signal.SIGTERM)
        self.assertEqual((self.code_of(waiter), waiter.stdout.read()), (143, ""))
        self.queued("db", 0)

    def test_a_lease_that_cannot_be_renewed_is_not(self):
        self.taken("lease", "acquire", "db", "--holder", "a")
        self.make_unrenewable("db")
        self.assertIn("renewable: false", self.refused(5, "lease", "renew", "db", "--holder", "a"))

    def test_a_running_leader_is_none_of_a_shells_and_stops_when_it_is_taken_away(self):
        leader = self.leader("boss-1")
        fence = leader.wait_event("start")["fence"]
        self.refused(5, "lease", "acquire", "boss", "--holder", "boss-1")
        for verb in ("renew", "release"):
            for token in ([], ["--token", fence]):
                self.assertIn("a process of the name", self.refused(5, "lease", verb, "boss", "--holder", "boss-1", *token))
        self.assertIn("is held by", self.refused(5, "lease", "delete", "boss"))
        self.taken_by_force(leader, fence)

    def taken_by_force(self, leader, fence):
        self.assertIn(f'taken from "boss-1", fence {fence}', self.ok("lease", "release", "boss", "--force"))
        self.assertEqual(leader.wait_event("stop")["fence"], fence)

    def test_a_leader_waits_for_a_shell_and_starts_when_that_releases(self):
        token = self.taken("lease", "acquire", "boss", "--holder", "shell", "--ttl", "10m")
        leader = self.leader("boss-1")
        self.queued("boss")
        self.assertEqual(leader.events("start"), [])
        self.ok("lease", "release", "boss", "--holder", "shell")
        self.assertGreater(leader.wait_event("start")["fence"], token)

    def test_run_holds_while_its_command_runs_and_releases_with_its_code(self):
        script = 'koncli lease status db -o json >seen; echo "$KONDUCTOR_LEASE $KONDUCTOR_HOLDER $KONDUCTOR_TOKEN"; exit 9'
        done = self.koncli("lease", "run", "db", "--holder", "a", "--ttl", "5m", "--", "sh", "-c", script,
                           env={"PATH": f"{self.cluster.directory}:/usr/bin:/bin"})
        self.assertEqual(done.returncode, 9, done.stderr)
        seen = json.loads((self.cluster.directory / "seen").read_text())["status"]
        self.assertEqual(done.stdout, f"db a {seen['fence']}\n")
        self.assertEqual((seen["holder"], seen["bound"], seen["ttlMs"]), ("a", "process", 300000))
        self.assertEqual(self.status("lease", "db")["holder"], "")

    def test_run_waits_only_when_told_to_and_runs_nothing_without_the_hold(self):
        self.taken("lease", "acquire", "db", "--holder", "a")
        touch = ["--", "touch", "ran"]
        self.refused(5, "lease", "run", "db", "--holder", "b", *touch)
        self.refused(3, "lease", "run", "db", "--holder", "b", "--timeout", self.brief, *touch)
        self.assertFalse((self.cluster.directory / "ran").exists())
        waiter = self.background("lease", "run", "db", "--holder", "b", "--wait", *touch)
        self.queued("db")
        self.ok("lease", "release", "db", "--holder", "a")
        self.assertEqual(self.code_of(waiter), 0)
        self.assertTrue((self.cluster.directory / "ran").exists())

    def test_run_stops_its_command_when_the_hold_is_taken_away(self):
        runner = self.background("lease", "run", "db", "--holder", "a", "--ttl", "3s", "--", "sleep", "1000")
        wait_for(lambda: self.koncli("lease", "release", "db", "--force").returncode == 0, what="the hold")
        self.assertEqual(self.code_of(runner), 5)

    def test_run_ends_a_command_that_takes_too_long_with_124(self):
        self.assertEqual(self.koncli("lease", "run", "db", "--run-timeout", "100ms", "--", "sleep", "1000").returncode, 124)
        self.assertEqual(self.status("lease", "db")["holder"], "")

    def test_create_makes_it_once_with_what_was_asked_for(self):
        self.assertEqual(self.ok("lease", "create", "db", "--ttl", "15m", "--priority", "10"), 'Lease "db" created\n')
        spec = self.json("lease", "db")["spec"]
        self.assertEqual((spec["ttl"], spec["priority"]), ("15m", 10))
        self.assertIn("exists already", self.refused(1, "lease", "create", "db"))
        self.assertEqual(self.ok("lease", "create", "e", "-o", "name"), "lease.konductor.io/e\n")
        self.taken("lease", "acquire", "db", "--holder", "a")
        self.assertEqual(self.status("lease", "db")["prio"], 10)

    def test_delete_of_what_is_held_needs_force(self):
        self.taken("lease", "acquire", "db", "--holder", "a")
        self.assertIn('held by "a"', self.refused(5, "lease", "delete", "db"))
        self.assertIn('taken from "a"', self.ok("lease", "delete", "db", "--force"))
        self.refused(2, "lease", "delete", "db")


class OnceSteps(Steps):
    def test_a_claim_is_had_by_one_and_done_makes_it_executed(self):
        token = self.taken("once", "claim", "init", "--holder", "a", "--version", "v1")
        status = self.status("once", "init")
        self.assertEqual((status["executor"], status["bound"], status["session"], status["fence"], status["ttlMs"], status["version"]),
                         ("a", "time", "", token, 600000, "v1"))
        for holder in ("a", "b"):
            self.assertIn("is being run by a", self.refused(5, "once", "claim", "init", "--holder", holder, "--version", "v1"))
        self.assertEqual(self.code("once", "check", "init", "-q"), 5)
        self.ok("once", "done", "init", "--holder", "a")
        self.assertIn("has been executed by a", self.ok("once", "check", "init", "--version", "v1"))
        self.assertIn("has been executed by a", self.refused(5, "once", "claim", "init", "--version", "v1"))
        self.assertGreater(self.taken("once", "claim", "init", "--holder", "b", "--version", "v2", "--hold", "1h"), token)
        self.assertEqual(self.status("once", "init")["ttlMs"], 3600000)

    def test_what_is_not_ones_own_is_neither_done_nor_failed(self):
        token = self.taken("once", "claim", "init", "--holder", "a", "--version", "v1")
        before = self.json("once", "init")
        for verb in ("done", "fail"):
            self.assertIn('held by "a"', self.refused(5, "once", verb, "init", "--holder", "b"))
            self.assertIn(f"token {token}", self.refused(5, "once", verb, "init", "--holder", "a", "--token", token + 1))
            self.assertIn('for version "v1"', self.refused(5, "once", verb, "init", "--holder", "a", "--version", "v2"))
            self.refused(2, "once", verb, "none", "--holder", "a")
        self.assertEqual(self.json("once", "init"), before)
        self.ok("once", "done", "init", "--holder", "a", "--token", token, "--version", "v1")

    def test_done_again_is_done_and_of_another_token_is_not(self):
        token = self.taken("once", "claim", "init", "--holder", "a")
        for _ in range(2):
            self.ok("once", "done", "init", "--holder", "a", "--token", token)
        for end in (["done", "init", "--holder", "a", "--token", token + 1], ["done", "init", "--holder", "b"],
                    ["fail", "init", "--holder", "a"]):
            self.assertIn("has been executed by a", self.refused(5, "once", *end))

    def test_after_a_failure_the_next_one_tries(self):
        token = self.taken("once", "claim", "init", "--holder", "a")
        self.assertIn("failed, attempt 1", self.ok("once", "fail", "init", "--holder", "a", "--reason", "disk full"))
        status = self.status("once", "init")
        self.assertEqual((status["attempts"], status["lastError"], status["executor"]), (1, "disk full", ""))
        self.assertGreater(self.taken("once", "claim", "init", "--holder", "b"), token)
        self.assertEqual(self.status("once", "init")["attempts"], 2)

    def test_a_claim_whose_time_is_over_goes_to_the_next_and_its_old_holder_marks_nothing(self):
        token = self.taken("once", "claim", "init", "--holder", "a", "--hold", "5s")
        wait_for(lambda: self.koncli("once", "claim", "init", "--holder", "b").returncode == 0, what="the end of a claim")
        for verb in ("done", "fail"):
            self.refused(5, "once", verb, "init", "--holder", "a", "--token", token)
        self.assertEqual(self.code("once", "check", "init", "-q"), 5)

    def test_create_check_list_delete_are_those_of_the_api(self):
        self.assertEqual(self.ok("once", "create", "app-init", "--ttl", "1h"), 'Once "app-init" created\n')
        self.assertEqual(self.json("once", "app-init")["spec"], {"ttl": "1h"})
        self.refused(1, "once", "create", "app-init")
        self.assertIn("has not been executed", self.ok("once", "check", "app-init"))
        self.assertEqual(self.ok("once", "list", "-o", "name"), "once.konductor.io/app-init\n")
        self.ok("once", "delete", "app-init")
        self.refused(2, "once", "delete", "app-init")
        self.ok("once", "create", "app-init", "--version", "v3")
        self.taken("once", "claim", "app-init", "--holder", "a")
        self.assertEqual(self.status("once", "app-init")["version"], "v3")
        self.assertIn("--force", self.refused(5, "once", "delete", "app-init"))

    def runs(self):
        path = self.cluster.directory / "runs"
        return path.read_text().count("\n") if path.exists() else 0

    WORK = ["--", "sh", "-c", "echo x >>runs; exit ${CODE:-0}"]

    def test_run_does_it_once_a_version_and_then_has_nothing_to_do(self):
        for version, expected in (("v1", 1), ("v1", 1), ("v2", 2), ("v1", 2)):
            done = self.koncli("once", "run", "init", "--version", version, *self.WORK)
            self.assertEqual((done.returncode, done.stdout, self.runs()), (0, "", expected), done.stderr)

    def test_run_gives_the_code_of_its_command_and_leaves_the_next_try_to_others(self):
        self.assertEqual(self.koncli("once", "run", "init", *self.WORK, env={"CODE": "3"}).returncode, 3)
        self.assertEqual((self.runs(), self.code("once", "check", "init", "-q")), (1, 5))
        self.assertEqual(self.koncli("once", "run", "init", "--", "no-such-command").returncode, 127)
        self.assertEqual(self.koncli("once", "run", "init", "--run-timeout", "100ms", "--", "sleep", "1000").returncode, 124)
        self.assertEqual(self.koncli("once", "run", "init", *self.WORK).returncode, 0)
        self.assertEqual((self.runs(), self.code("once", "check", "init", "-q")), (2, 0))

    def test_run_waits_for_another_and_then_skips(self):
        self.taken("once", "claim", "init", "--holder", "a")
        self.refused(5, "once", "run", "init", "--no-wait", *self.WORK)
        self.refused(5, "once", "run", "init", "--timeout", "0", *self.WORK)
        self.refused(3, "once", "run", "init", "--timeout", self.brief, *self.WORK)
        waiter = self.background("once", "run", "init", "-v", *self.WORK)
        wait_for(lambda: "is being run by a" in (self.cluster.directory / "background").read_text(), what="the wait")
        self.ok("once", "done", "init", "--holder", "a")
        self.assertEqual((self.code_of(waiter), self.runs()), (0, 0))

    def test_run_when_the_time_of_the_record_is_over_leaves_it_declared_as_it_was(self):
        self.ok("once", "create", "daily", "--ttl", "1s", "--version", "v1")
        for runs in (1, 2):
            self.assertEqual(self.koncli("once", "run", "daily", *self.WORK).returncode, 0)
            self.assertEqual((self.runs(), self.json("once", "daily")["spec"]), (runs, {"ttl": "1s", "version": "v1"}))
            wait_for(lambda: self.code("once", "check", "daily", "-q") == 5, what="the end of the record's time")

    def test_run_that_is_stopped_gives_the_claim_back(self):
        runner = self.background("once", "run", "init", "--", "sh", "-c", "echo x >>runs; exec sleep 1000")
        wait_for(self.runs, what="the work")
        runner.send_signal(signal.SIGTERM)
        self.assertEqual(self.code_of(runner), 143)
        status = self.status("once", "init")
        self.assertEqual((status["executor"], status["attempts"], status["phase"]), ("", 0, "Pending"))


class StatusSteps(Steps):
    def test_status_shows_who_holds_who_waits_what_failed_and_what_to_do(self):
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        self.background("lease", "acquire", "db", "--holder", "b", "--wait")
        self.queued("db")
        self.ok("lease", "create", "free")
        self.taken("once", "claim", "init", "--holder", "a", "--version", "v1")
        self.koncli("once", "run", "seed", "--", "sh", "-c", "exit 7")
        text = self.ok("status")
        self.assertRegex(text, rf"(?m)^db +Held +a +{token} +\S+ +b$")
        self.assertRegex(text, r"(?m)^free +Available +- +\d+ +- +-$")
        self.assertRegex(text, r"(?m)^init +Running +v1 +a +\S+ +-$")
        self.assertRegex(text, r"(?m)^seed +Retrying +- +- +- +exit code 7$")
        self.assertNotIn("Next", text)
        self.assertNotIn("\33", text)

    def test_status_for_programs_is_a_list_of_all_objects(self):
        self.ok("lease", "create", "db")
        self.ok("once", "create", "init")
        listed = json.loads(self.ok("status", "-o", "json"))
        self.assertEqual((listed["kind"], [(item["kind"], item["metadata"]["name"]) for item in listed["items"]]),
                         ("List", [("Lease", "db"), ("Once", "init")]))
        self.assertEqual(self.ok("status", "-o", "name"), "lease.konductor.io/db\nonce.konductor.io/init\n")
        self.assertIn("kind: Lease\n", self.ok("status", "-o", "yaml"))
        self.assertIn("kind: OnceList\n", self.ok("once", "list", "-o", "yaml"))
        self.assertIn("kind: Lease\n", self.ok("lease", "status", "db", "-o", "yaml"))

    def test_status_of_nothing_says_so_to_people_alone(self):
        done = self.koncli("status")
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("nothing is coordinated in namespace", done.stderr)

    def test_status_watched_shows_each_state_as_it_comes(self):
        shown = self.cluster.directory / "shown"
        with open(shown, "wb") as out:
            process = subprocess.Popen([self.path, "status", "--watch"], stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.DEVNULL, env=self.environment())
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def showing(pattern):
            wait_for(lambda: re.search(pattern, shown.read_text(encoding="utf-8"), re.MULTILINE), what=pattern)

        token = self.taken("lease", "acquire", "db", "--holder", "a")
        showing(rf"^db +Held +a +{token} ")
        self.ok("lease", "release", "db", "--holder", "a")
        showing(r"^db +Available ")
        self.ok("once", "create", "init")
        showing(r"^init +Pending ")
        self.assertIsNone(process.poll())
