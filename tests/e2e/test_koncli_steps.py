"""One-shot steps of koncli on SQLite, and what only one machine can tell."""

import sqlite3
import unittest

from koncli_steps import LEADER, LeaseSteps, OnceSteps
from lib import wait_for
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


del KoncliTest, LeaseSteps, OnceSteps

if __name__ == "__main__":
    unittest.main()
