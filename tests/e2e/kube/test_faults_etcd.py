"""Row 45 of the table of faults (docs/testing.md): members of etcd that end, one of them the leader."""

import unittest

from kube.faults import TTL_MS, FaultTest
from lib import wait_for


class Members(FaultTest):
    own = True
    how = {"members": 3}

    def leader(self):
        return wait_for(lambda: [n for n in [self.c.etcd_leader()] if n is not None], 60, "a leader of etcd")[0]

    def kill_leader(self):
        """Returns which that was, when another leads."""
        old = self.leader()
        self.c.kill_etcd(old)
        self.addCleanup(self.c.start_etcd, old)
        self.assertNotEqual(self.leader(), old)
        return old

    def test_row_45_a_leader_of_etcd_that_dies_costs_no_work_under_a_lease_that_outlives_the_election(self):
        a, b = self.holder_and_waiter(ttl_ms=30000)
        old = self.kill_leader()
        a.wait_event("renew", count=len(a.events("renew")) + 2, timeout=120)
        self.assertEqual((len(self.cluster.events("start")), self.cluster.events("stop")), (1, []))
        self.c.start_etcd(old)
        a.stop()
        b.wait_event("start", timeout=60)

    def test_row_45_under_a_short_lease_the_work_is_dead_in_time_or_goes_on(self):
        a, b = self.holder_and_waiter(ttl_ms=TTL_MS)
        old = self.kill_leader()
        begun = len(self.cluster.events("renew"))
        wait_for(lambda: len(self.cluster.events("renew")) >= begun + 2, 120, "renewals with the new leader",
                 self.cluster.describe)
        if self.cluster.events("lost"):
            self.assert_dead_in_time(a)
        self.c.start_etcd(old)
        self.assertTrue(a.running and b.running)

    def test_row_45_a_once_that_ends_while_etcd_elects_is_recorded_and_was_run_once(self):
        gate = self.cluster.directory / "gate"
        work = ["sh", "-c", f"echo ran >> {self.cluster.directory}/ran; while [ ! -e {gate} ]; do sleep 0.05; done"]
        a = self.once("a", ttl_ms=30000, work=work)
        a.wait_event("start")
        b = self.once("b", ttl_ms=30000, work=work)
        old = self.leader()
        self.c.kill_etcd(old)
        self.addCleanup(self.c.start_etcd, old)
        gate.touch()
        self.assertEqual((a.wait(120), b.wait(120)), (0, 0), self.cluster.describe())
        self.assertEqual((self.cluster.directory / "ran").read_text().split(), ["ran"])
        self.assertTrue(self.status("Once", "page")["executed"])

    def test_row_45_without_a_majority_nothing_starts_and_with_one_again_somebody_does(self):
        a, b = self.holder_and_waiter(ttl_ms=TTL_MS)
        for member in (0, 1):
            self.c.kill_etcd(member)
            self.addCleanup(self.c.start_etcd, member)
        self.assert_dead_in_time(a)
        self.assertEqual(len(self.cluster.events("start")), 1)
        self.c.start_etcd(0)
        wait_for(lambda: self.cluster.events("start")[1:], 120, "a start with two members of three", self.cluster.describe)


if __name__ == "__main__":
    unittest.main()
