"""koncli: every command that there is, its answers and its exit codes."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import unittest

from lib import PATIENCE, ClusterTest, binary, check_sanitizers, wait_for

HEAD = 'local k = require "konductor"\n'
DONE = HEAD + 'k.flow "shop" { k.stage "migrate" { run = { "true" }, version = "v1" } }\n'
FAILED = HEAD + 'k.flow "shop" { k.stage "seed" { run = { "sh", "-c", "echo >>tries; [ -e mended ]" }, retries = 0 } }\n'
RUNNING = HEAD + 'k.once "job" { run = { "sleep", "1000" }, hold = "1h" }\n'
# Longer than any test waits: who sees a dead executor in time was told by the kernel, not by the clock.
CHARGE = HEAD + ('k.once "charge" { run = { "sh", "-c", "echo >>tries; [ -e ok ] || sleep 1000" }, hold = "30m", '
                 'mode = "AtMostOnce" }\n')
LEASE = HEAD + 'k.lease "boss" { ttl = "5m", priority = 7, main = { "sleep", "1000" } }\n'


class KoncliTest(ClusterTest):
    # A wait that is to end by itself, and within which the store is asked at least once even by a busy machine.
    brief = "1s"

    def setUp(self):
        super().setUp()
        self.path = self.cluster.directory / "koncli"
        self.path.symlink_to(binary())

    def environment(self, more=None):
        """Of what runs on the store of this test."""
        return self.cluster.env(more)

    def koncli(self, *args, env=None, stdout=subprocess.PIPE):
        done = subprocess.run([self.path, *map(str, args)], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                              text=True, env=self.environment(env), cwd=self.cluster.directory, timeout=60 * PATIENCE,
                              check=False)
        check_sanitizers("koncli " + " ".join(map(str, args)), done.stderr)
        self.assertNotIn("traceback", done.stderr)
        return done

    def ok(self, *args, **how):
        done = self.koncli(*args, **how)
        self.assertEqual((done.returncode, done.stderr), (0, ""), args)
        return done.stdout

    def assert_empty(self, noun, namespace="default", **how):
        """A list without objects says so to a person, not to a script."""
        done = self.koncli(noun, "list", **how)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", f"no {noun}s in namespace {namespace}\n"))
        for form in (["-o", "name"], ["-q"]):
            self.assertEqual(self.ok(noun, "list", *form, **how), "")

    def refused(self, code, *args, **how):
        """Says why on standard error and nothing on standard output that a script could mistake for an answer."""
        done = self.koncli(*args, **how)
        self.assertEqual((done.returncode, done.stdout), (code, ""), (args, done.stderr))
        self.assertNotEqual(done.stderr, "")
        return done.stderr

    def code(self, *args, **how):
        done = self.koncli(*args, **how)
        self.assertEqual(done.stdout, "")
        return done.returncode

    def run_script(self, text, code=0, **how):
        replica = self.cluster.start(self.cluster.script(text), **how)
        self.assertEqual(replica.wait(), code, replica.describe())
        return replica

    def tries(self):
        return (self.cluster.directory / "tries").read_text().count("\n")


class Done(KoncliTest):
    def setUp(self):
        super().setUp()
        self.run_script(DONE, name="pod-a")

    def test_check_says_so_and_exits_0_for_yes_no_and_absent(self):
        yes = 'version v1 of Once "shop.migrate" has been executed by pod-a, '
        self.assertTrue(self.ok("once", "check", "shop.migrate").startswith(yes))
        self.assertTrue(self.ok("once", "check", "shop.migrate", "--version", "v1").startswith(yes))
        for args in (["shop.migrate", "--version", "v2"], ["nothing"]):
            text = self.ok("once", "check", *args)
            self.assertIn("has not been executed", text)
            self.assertNotIn("has been executed", text)
        self.assertIn('did you mean "shop.migrate"?', self.ok("once", "check", "shop.migrat"))

    def test_check_quietly_answers_by_its_exit_code(self):
        self.assertEqual(self.code("once", "check", "shop.migrate", "-q"), 0)
        self.assertEqual(self.code("once", "check", "shop.migrate", "-q", "--version", "v2"), 5)
        self.assertEqual(self.code("once", "check", "nothing", "-q"), 2)

    def test_check_in_json_is_the_object_or_null(self):
        self.assertTrue(json.loads(self.ok("once", "check", "shop.migrate", "-o", "json"))["status"]["executed"])
        self.assertIsNone(json.loads(self.ok("once", "check", "nothing", "-o", "json")))

    def test_a_reset_version_runs_again_and_others_do_not(self):
        self.run_script(DONE.replace("v1", "v2"))
        self.assertIn("version v1", self.ok("once", "reset", "shop.migrate", "--version", "v1"))
        self.assertEqual(self.code("once", "check", "shop.migrate", "-q", "--version", "v1"), 5)
        self.assertEqual(self.code("once", "check", "shop.migrate", "-q", "--version", "v2"), 0)
        again, other = self.run_script(DONE), self.run_script(DONE.replace("v1", "v2"))
        self.assertEqual((len(again.events("start")), len(other.events("start"))), (1, 0))

    def test_reset_without_a_version_is_of_the_one_claimed_last(self):
        self.ok("once", "reset", "shop.migrate", "-q")
        self.assertEqual(len(self.run_script(DONE).events("start")), 1)

    def test_a_version_without_a_trace_is_not_reset(self):
        self.assertIn('did you mean "v1"?', self.refused(2, "once", "reset", "shop.migrate", "--version", "v11"))
        self.assertEqual(self.code("once", "check", "shop.migrate", "-q"), 0)

    def test_status_in_json_is_the_object_of_the_api(self):
        one = json.loads(self.ok("once", "status", "shop.migrate", "-o", "json"))
        self.assertEqual((one["apiVersion"], one["kind"]), ("konductor.io/v1", "Once"))
        self.assertEqual((one["metadata"]["name"], one["metadata"]["namespace"]), ("shop.migrate", "default"))
        self.assertEqual(set(one["metadata"]), {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
        self.assertEqual((one["status"]["phase"], one["status"]["executor"]), ("Executed", "pod-a"))
        row = self.cluster.store_rows()[0]
        self.assertEqual((one["spec"], one["status"]), (json.loads(row["spec"]), json.loads(row["status"])))
        self.assertEqual(one["metadata"]["resourceVersion"], str(row["rev"]))

    def test_list_has_every_object_in_each_form(self):
        self.run_script(DONE.replace("migrate", "warm"))
        text = self.ok("once", "list").splitlines()
        self.assertEqual(text[0].split(), ["NAME", "STATE", "VERSION", "EXECUTOR", "AGE", "LAST", "ERROR"])
        self.assertEqual([line.split()[:4] for line in text[1:]], [
            ["shop.migrate", "Executed", "v1", "pod-a"], ["shop.warm", "Executed", "v1", "replica2"]])
        self.assertEqual(self.ok("once", "list", "-o", "name"), "once.konductor.io/shop.migrate\nonce.konductor.io/shop.warm\n")
        items = json.loads(self.ok("once", "list", "-o", "json"))
        self.assertEqual((items["kind"], [i["metadata"]["name"] for i in items["items"]]), ("OnceList", ["shop.migrate", "shop.warm"]))

    def test_another_namespace_is_another_world_wherever_it_is_named(self):
        empty = {"apiVersion": "konductor.io/v1", "kind": "OnceList", "metadata": {}, "items": []}
        for args in (["-n", "prod", "once", "list"], ["once", "--namespace=prod", "list"], ["once", "list", "-n", "prod"]):
            self.assertEqual(json.loads(self.ok(*args, "-o", "json")), empty)
        self.assert_empty("once", env={"KONDUCTOR_NAMESPACE": "prod"}, namespace="prod")
        self.refused(2, "once", "status", "shop.migrate", "-n", "prod")

    def test_store_option_counts_before_the_environment(self):
        here = f"sqlite:{self.cluster.store_path}"
        other = {"KONDUCTOR_STORE": f"sqlite:{self.cluster.directory}/other.db"}
        self.assert_empty("once", env=other)
        self.assert_empty("lease", env=other)
        self.assertIn("shop.migrate", self.ok("--store", here, "once", "list", env=other))

    def many(self, *args, count=8):
        """Exit codes of as many koncli at once, sorted."""
        started = [subprocess.Popen([self.path, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    env=self.cluster.env()) for _ in range(count)]
        return sorted(process.wait(60 * PATIENCE) for process in started)

    def test_who_comes_between_spoils_no_change(self):
        before = self.cluster.store_rows()[0]["rev"]
        self.assertEqual(self.many("once", "reset", "shop.migrate"), [0] * 8)
        self.assertEqual(self.cluster.store_rows()[0]["rev"], before + 8)
        self.assertEqual(self.many("once", "delete", "shop.migrate"), [0] + [2] * 7)

    def test_delete_forgets(self):
        self.assertEqual(self.ok("once", "delete", "shop.migrate"), 'Once "shop.migrate" deleted\n')
        self.refused(2, "once", "delete", "shop.migrate")
        self.assertEqual(len(self.run_script(DONE).events("start")), 1)

    def test_a_mark_whose_time_is_over_is_not_done(self):
        self.run_script(HEAD + 'k.once "brief" { run = { "true" }, ttl = "1s" }\n')
        wait_for(lambda: self.code("once", "check", "brief", "-q") == 5, what="the end of the time of the record")
        self.assertIn("has not been executed: the time of its record is over", self.ok("once", "check", "brief"))
        self.assertIn("Expired", self.ok("once", "status", "brief"))

    def test_an_answer_that_cannot_be_written_is_no_success(self):
        with open("/dev/full", "wb") as full:
            done = self.koncli("once", "check", "shop.migrate", stdout=full)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left", done.stderr)
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as closed:
            done = self.koncli("once", "list", stdout=closed)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1)


class Failed(KoncliTest):
    def test_what_the_log_tells_to_type_lets_it_run_again(self):
        failed = self.run_script(FAILED, code=1)
        told = failed.stderr.rsplit("when mended: ", 1)[1].split()
        self.assertEqual(told[:4], ["koncli", "once", "reset", "shop.seed"])
        status = self.ok("once", "status", "shop.seed")
        self.assertIn("Failed", status)
        self.assertIn("exit code 1", status)
        self.assertIn("koncli once reset shop.seed", status)
        self.assertIn("failed for good after 1 attempt\n", self.ok("once", "check", "shop.seed"))
        self.run_script(FAILED, code=1)
        self.assertEqual(self.tries(), 1)
        (self.cluster.directory / "mended").touch()
        self.ok(*told[1:4])
        self.assertIn("Pending", self.ok("once", "status", "shop.seed"))
        self.run_script(FAILED)
        self.assertEqual(self.tries(), 2)

    def test_a_reset_told_in_json_is_the_new_object(self):
        self.run_script(FAILED, code=1)
        new = json.loads(self.ok("once", "reset", "shop.seed", "-o", "json"))
        self.assertEqual((new["status"]["attempts"], new["status"]["phase"]), (0, "Pending"))
        self.assertNotIn("lastError", new["status"])


class Running(KoncliTest):
    def setUp(self):
        super().setUp()
        self.runner = self.cluster.start(self.cluster.script(RUNNING), name="pod-a")
        self.fence = self.runner.wait_event("start")["fence"]

    def test_it_is_shown_with_its_executor(self):
        self.assertRegex(self.ok("once", "status", "job"), rf"State +Running\n(.*\n)*  Claimed by +pod-a, fence {self.fence}, free within ")
        self.assertIn("has not been executed: it is being run by pod-a", self.ok("once", "check", "job"))
        self.assertEqual(self.code("once", "check", "job", "-q"), 5)

    def test_it_is_not_reset_nor_resolved_nor_deleted(self):
        for args in (["reset", "job"], ["resolve", "job", "--ran"], ["resolve", "job", "--not-run"], ["delete", "job"]):
            with self.subTest(args=args):
                before = self.cluster.store_rows()
                self.assertRegex(self.refused(5, "once", *args), f'"?pod-a"?, fence {self.fence}')
                self.assertEqual(self.cluster.store_rows(), before)
        self.assertTrue(self.runner.running)

    def test_delete_by_force_says_who_lost_it_and_the_work_is_stopped(self):
        self.assertEqual(self.ok("once", "delete", "job", "--force"), 'Once "job" deleted; taken from "pod-a"\n')
        self.runner.wait_event("stop", fence=self.fence)
        self.assertGreater(self.runner.wait_event("start", count=2)["fence"], self.fence)

    def test_resolve_checks_version_and_token(self):
        self.assertIn("the claim has the token", self.refused(5, "once", "resolve", "job", "--ran", "--token", self.fence + 1))
        self.assertIn("the claim is for version", self.refused(5, "once", "resolve", "job", "--ran", "--version", "v9"))


class InDoubt(KoncliTest):
    def crash(self):
        script = self.cluster.script(CHARGE)
        first = self.cluster.start(script, name="pod-a")
        first.wait_event("start")
        wait_for((self.cluster.directory / "tries").exists, what="the work")
        first.kill()
        return script

    def doubt(self):
        script = self.crash()
        second = self.cluster.start(script)
        self.assertEqual(second.wait(), 77, second.describe())
        return script, second

    def test_what_the_log_tells_to_type_settles_that_it_ran(self):
        script, second = self.doubt()
        self.assertIn("koncli once resolve charge --ran or --not-run", second.stderr)
        self.assertIn("koncli once resolve charge --ran or --not-run", self.ok("once", "status", "charge"))
        self.assertIn("may or may not have run", self.ok("once", "check", "charge"))
        self.assertIn("--ran or --not-run", self.refused(5, "once", "reset", "charge"))
        self.assertIn("--ran or --not-run", self.refused(64, "once", "resolve", "charge"))
        self.ok("once", "resolve", "charge", "--ran")
        self.assertEqual(self.code("once", "check", "charge", "-q"), 0)
        self.assertEqual(self.cluster.start(script).wait(), 0)
        self.assertEqual(self.tries(), 1)
        self.assertIn("no claim to settle", self.refused(2, "once", "resolve", "charge", "--ran"))

    def test_what_did_not_run_runs(self):
        script, _ = self.doubt()
        (self.cluster.directory / "ok").touch()
        self.ok("once", "resolve", "charge", "--not-run")
        self.assertEqual(self.cluster.start(script).wait(), 0)
        self.assertEqual(self.tries(), 2)

    def test_what_a_replica_has_found_in_doubt_is_settled_though_the_executor_still_stands_there(self):
        script = self.cluster.script(CHARGE.replace('hold = "30m"', 'hold = "5s"'))
        first = self.cluster.start(script, name="pod-a")
        first.wait_event("start")
        first.signal(signal.SIGSTOP)
        self.assertEqual(self.cluster.start(script).wait(), 77)
        self.assertTrue(first.running)
        self.ok("once", "resolve", "charge", "--ran")
        first.signal(signal.SIGCONT)
        first.wait()
        self.assertEqual((self.code("once", "check", "charge", "-q"), self.tries()), (0, 1))

    def test_a_dead_executor_is_seen_before_another_replica_came(self):
        self.crash()
        told = "koncli once resolve charge --ran or --not-run"
        wait_for(lambda: told in self.ok("once", "status", "charge"), what="the end of the crashed work")
        self.assertRegex(self.ok("once", "status", "charge"), r"State +InDoubt\n(.*\n)*  Claimed by +pod-a, fence \d+, which is gone\n")

    def test_a_dead_executor_can_be_settled_before_another_replica_came(self):
        self.crash()
        wait_for(lambda: self.koncli("once", "resolve", "charge", "--ran").returncode == 0, what="the end of the crashed work")
        self.assertEqual(self.code("once", "check", "charge", "-q"), 0)


class Leases(KoncliTest):
    def test_status_and_list_show_who_holds_and_who_waits(self):
        script = self.cluster.script(LEASE)
        holder = self.cluster.start(script, name="pod-a")
        fence = holder.wait_event("start")["fence"]
        waiter = self.cluster.start(script, name="pod-b")
        waiter.wait_event("join")
        text = self.ok("lease", "status", "boss")
        self.assertRegex(text, rf"State +Held\n  Holder +pod-a, fence {fence}, free within ")
        self.assertRegex(text, r"Waiting +1\n +pod-b, priority 7\n")
        self.assertEqual(self.ok("lease", "list").splitlines()[1].split()[:6], ["boss", "Held", "pod-a", str(fence), "1", "5m"])
        one = json.loads(self.ok("lease", "status", "boss", "-o", "json"))
        self.assertEqual((one["kind"], one["status"]["holder"], one["status"]["phase"]), ("Lease", "pod-a", "Held"))
        self.assertEqual(self.ok("lease", "list", "-o", "name"), "lease.konductor.io/boss\n")
        waiter.stop()
        holder.stop()
        self.assertRegex(self.ok("lease", "status", "boss"), r"State +Available\n")
        self.assertEqual(self.code("lease", "status", "boss", "-q"), 0)
        self.refused(2, "lease", "status", "bos")


class Damaged(KoncliTest):
    def test_a_damaged_once_hides_no_other_and_goes_by_force_only(self):
        self.run_script(DONE)
        self.run_script(DONE.replace("migrate", "warm"))
        db = sqlite3.connect(self.cluster.store_path, timeout=10)
        with db:
            db.execute("UPDATE records SET status = json_set(status, '$.history', 5) WHERE name = 'shop.warm'")
        db.close()
        listed = self.koncli("once", "list")
        self.assertEqual(listed.returncode, 1)
        self.assertIn("shop.migrate", listed.stdout)
        self.assertIn("status.history is 5", listed.stderr)
        for verb in ("status", "check", "reset", "delete"):
            self.assertIn("status.history is 5", self.refused(1, "once", verb, "shop.warm"))
        self.ok("once", "delete", "shop.warm", "--force")
        self.assertEqual(self.koncli("once", "list").returncode, 0)


class Misuse(KoncliTest):
    def test_every_mistake_is_64_with_a_sentence(self):
        for args, words in (
                ([], "koncli once status NAME"), (["onec"], 'did you mean "once"?'), (["once"], "koncli once needs a verb"),
                (["once", "reste", "x"], 'did you mean "reset"?'), (["once", "status"], "missing argument 'name'"),
                (["once", "status", "a", "b"], "too many arguments"), (["once", "list", "a"], "too many arguments"),
                (["once", "status", "Shop"], 'write "s"'), (["once", "status", "a/b"], '"/" at place 2'), (["once", "status", ""], "a name is empty"),
                (["once", "status", "a", "--force"], "unknown option '--force'"), (["once", "delete", "a", "--forse"], "--force"),
                (["once", "reset", "a", "--version", "a b"], "--version: bad version"), (["once", "status", "a", "-o", "xml"], "must be one of"),
                (["once", "list", "-n", "Prod"], "namespace"), (["once", "list", "--store", ""], "--store is empty"),
                (["once", "resolve", "a", "--ran", "--not-run"], "together"), (["once", "resolve", "a", "--ran", "--token", "x"], "--token"),
                (["version", "x"], "no argument"), (["help", "once", "x"], "has no verb"), (["-n"], "no command")):
            with self.subTest(args=args):
                self.assertIn(words, self.refused(64, *args))

    def test_words_of_other_programs_lead_to_the_verb(self):
        for args, words in ((["once", "get", "x"], '"status"'), (["lease", "get"], '"status"'), (["lease", "describe", "x"], '"status"'),
                            (["lease", "ls"], '"list"'), (["once", "rm", "x"], '"delete"'), (["get"], '"status"')):
            with self.subTest(args=args):
                self.assertIn(f"did you mean {words}?", self.refused(64, *args))

    def test_a_store_that_cannot_be_opened_is_1(self):
        self.assertIn("not built into", self.refused(1, "once", "list", "--store", "etcd://e:2379"))
        self.assertIn("/proc/none", self.refused(1, "once", "check", "x", "--store", "sqlite:/proc/none/state.db"))
        self.cluster.store_path.write_bytes(b"this is no database, and long enough to be told from an empty one " * 20)
        self.refused(1, "once", "check", "x")

    def test_a_missing_right_is_4(self):
        closed = self.cluster.directory / "closed"
        closed.mkdir(mode=0o700)
        as_nobody = ["setpriv", "--reuid=65534", "--clear-groups", self.path, "once", "check", "x", "--store", f"sqlite:{closed}/state.db"]
        if os.geteuid() != 0:
            closed.chmod(0)
            as_nobody = as_nobody[3:]
        self.cluster.directory.chmod(0o755)
        done = subprocess.run(as_nobody, env=self.cluster.env(), capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stdout), (4, ""), done.stderr)


class Program(KoncliTest):
    def test_it_is_konductor_under_another_name(self):
        konductor = self.cluster.run("version", "-o", "json").stdout
        self.assertEqual(self.ok("version", "-o", "json"), konductor)
        self.assertEqual(self.ok("version"), f"koncli {json.loads(konductor)['konductor']}\n")

    def test_help_shows_the_commands_and_each_has_its_own_with_an_example(self):
        text = self.ok("help")
        self.assertEqual((self.ok("--help"), self.ok("help", "once"), self.ok("once", "--help")), (text,) * 3)
        for noun, verbs in (("once", "create check status list run claim done fail reset resolve delete"),
                            ("lease", "create acquire renew release run status list delete")):
            for verb in verbs.split():
                self.assertIn(f"koncli {noun} {verb}", text)
                own = self.ok("help", noun, verb)
                self.assertEqual(self.ok(noun, verb, "--help"), own)
                self.assertIn(f"Examples:\n  koncli {noun} {verb}", own)
                self.assertLessEqual(max(map(len, own.splitlines())), 110)

    def test_completions_are_taken_by_their_shells_and_know_each_verb(self):
        for shell in ("bash", "zsh", "fish"):
            text = self.ok("completion", shell)
            for word in ("once", "lease", "resolve", "--not-run", "--namespace"):
                self.assertIn(word.lstrip("-"), text)
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=text, text=True, check=True)
        self.assertEqual(self.code("completion", "tcsh"), 64)
        self.assertEqual(self.code("completion"), 64)
        asked = 'COMP_WORDS=(koncli once re); COMP_CWORD=2; _koncli; echo "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", f"{self.ok('completion', 'bash')}\n{asked}"], capture_output=True, text=True,
                              check=True)
        self.assertEqual(sorted(done.stdout.split()), ["reset", "resolve"])

    def test_konductor_install_brings_it_along(self):
        target = self.cluster.directory / "shared"
        target.mkdir()
        self.assertEqual(self.cluster.run("install", target).returncode, 0)
        copy = subprocess.run([target / "koncli", "version"], capture_output=True, text=True, check=True)
        self.assertEqual(copy.stdout, self.ok("version"))


if __name__ == "__main__":
    unittest.main()
