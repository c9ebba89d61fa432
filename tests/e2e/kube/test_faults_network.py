"""Row 9 of the table of faults (docs/testing.md) in a real network: packets vanish, and no end of a connection is told."""

import unittest

from kube.faults import FaultTest
from kube.network import Network
from kube.proxy import Proxy
from lib import wait_for

NOTICED_S = 60  # of 30 that are promised; the kernel itself would keep them for a quarter of an hour


class HalfOpen(FaultTest):
    def setUp(self):
        super().setUp()
        try:
            self.network = Network()
        except PermissionError as why:
            self.skipTest(str(why))
        self.addCleanup(self.network.close)
        proxy = Proxy(self.c.state["ports"][0], host=self.network.here)
        self.addCleanup(proxy.close)
        path = self.c.kubeconfig(url=proxy.url, namespace=self.ns)
        path.write_text(path.read_text().replace("    server:", "    tls-server-name: localhost\n    server:"))
        self.inside = {"kubeconfig": path, "wrapper": self.network.wrapper}

    def cut(self):
        """Returns the connections there are, which are dead from now on."""
        there = self.network.connections()
        self.assertNotEqual(there, [])
        self.network.cut()
        return there

    def test_row_09_dead_connections_are_given_up_long_before_the_kernel_does_and_no_work_ends(self):
        a = self.lease("a", ttl_ms=180000, **self.inside)
        a.wait_event("start")
        b = self.lease("b", ttl_ms=180000, **self.inside)
        b.wait_event("join")
        dead = self.cut()
        wait_for(lambda: not set(dead) & set(self.network.connections()), NOTICED_S, "the end of dead connections",
                 self.cluster.describe)
        self.network.heal()
        a.stop()
        b.wait_event("start", timeout=60)
        self.assertEqual((len(a.events("start")), a.events("lost")), (1, []))

    def test_row_09_work_behind_a_dead_connection_is_dead_before_another_takes_over(self):
        a = self.lease("a", ttl_ms=9000, **self.inside)
        a.wait_event("renew")
        b = self.lease("b", ttl_ms=9000)
        b.wait_event("join")
        self.cut()
        last = self.base_of(a)
        stop = self.assert_dead_in_time(a, 9000)
        taken = self.assert_taken_over(b, last, 9000)
        self.assertLess(stop["ended_us"], taken["t_us"])
        self.network.heal()
        a.wait_event("join", timeout=60)
        self.assertEqual(len(a.events("start")), 1)


if __name__ == "__main__":
    unittest.main()
