"""One-shot steps of koncli on SQLite, and what only one machine can tell."""

import contextlib
import os
import pty
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

    def test_a_time_to_live_below_a_second_is_refused(self):
        self.assertIn("--ttl", self.refused(64, "lease", "acquire", "db", "--ttl", "999ms"))


class Once(OnceSteps, KoncliTest):
    pass


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


del KoncliTest, LeaseSteps, OnceSteps, StatusSteps

if __name__ == "__main__":
    unittest.main()
