"""Servers that stop, die, stand still, go back in time or have a wrong clock."""

import email.utils
import unittest
from pathlib import Path

from kube.cluster import Cluster

MAPS = "/api/v1/namespaces/default/configmaps"


class TwoServers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(servers=2, flags=["--min-request-timeout=300"],
                        server_flags={1: ["--max-requests-inflight=50"]}, clocks={1: 3600}).up()
        cls.addClassCleanup(cls.c.down)

    def create(self, name, server=0):
        return self.c.ask_ok("POST", MAPS, {"metadata": {"name": name}}, server=server)["metadata"]

    def status(self, name, server=0, timeout=30):
        return self.c.request("GET", f"{MAPS}/{name}", server=server, timeout=timeout).status

    def seconds_ahead(self, server):
        """By its own Date header, against this machine."""
        dates = [self.c.request("GET", "/version", server=n).headers["Date"] for n in (server, 0)]
        first, second = map(email.utils.parsedate_to_datetime, dates)
        return (first - second).total_seconds()

    def test_what_one_server_writes_the_other_reads(self):
        self.create("both")
        self.assertEqual(self.status("both", server=1), 200)

    def test_flags_reach_the_servers_that_they_are_for(self):
        lines = [Path(f"/proc/{self.c.pid(n)}/cmdline").read_text(encoding="utf-8").split("\0") for n in (0, 1)]
        flags = ("--min-request-timeout=300", "--max-requests-inflight=50")
        self.assertEqual([[flag in line for flag in flags] for line in lines], [[True, False], [True, True]])

    def test_data_outlive_the_end_of_every_server(self):
        self.create("kept")
        self.c.stop_apiserver(0)
        with self.assertRaises(ConnectionRefusedError):
            self.status("kept")
        self.assertEqual(self.status("kept", server=1), 200)
        self.c.kill_etcd()
        self.c.kill_apiserver(1)
        self.assertFalse(self.c.running("etcd") or self.c.running(0) or self.c.running(1))
        self.c.start_etcd()
        for number in (0, 1):
            self.c.start_apiserver(number)
            self.assertEqual(self.status("kept", server=number), 200)

    def test_a_paused_etcd_answers_nobody_until_it_is_started_again(self):
        self.create("slow")
        self.c.pause_etcd()
        try:
            with self.assertRaises(TimeoutError):
                self.c.request("PUT", f"{MAPS}/slow", {"metadata": {"name": "slow"}}, timeout=1)
        finally:
            self.c.start_etcd()
        self.assertEqual(self.status("slow"), 200)

    def test_a_server_that_says_it_gave_up_is_started_again(self):
        self.c.kill_apiserver(0)
        self.c.spawn(0)
        first = self.c.pid(0)
        with open(self.c.log(0), "a", encoding="ascii") as log:  # what it writes when it lost the race for an address
            log.write('E1121 repairip.go:235] "Unhandled Error" err="ipaddresses \\"10.96.0.1\\" already exists"\n')
        self.c.wait_ready(0)
        self.assertNotEqual(self.c.pid(0), first)
        self.assertEqual(self.status("x"), 404)

    def test_the_audit_log_of_a_server_that_was_killed_while_it_worked_is_read_on(self):
        self.create("cut-off")
        mark = self.c.audit_mark()
        self.c.pause_etcd()
        with self.assertRaises(TimeoutError):
            self.c.request("PUT", f"{MAPS}/cut-off", {"metadata": {"name": "cut-off"}}, timeout=1)
        self.c.kill_apiserver(0)
        with open(self.c.directory / "audit-0.log", "a", encoding="ascii") as log:
            log.write('{"kind":"Event","le')  # as when it is killed in the middle of a line
        self.c.start_etcd()
        self.c.start_apiserver(0)
        self.assertEqual(self.status("cut-off"), 200)
        events = self.c.audit(mark, name="cut-off", stage=None)
        told = [(e["verb"], e["stage"]) for e in events]
        if ("update", "ResponseComplete") in told:  # it noticed before its death that its client had gone
            told.remove(("update", "ResponseComplete"))
        self.assertEqual(told, [("update", "RequestReceived"), ("get", "RequestReceived"), ("get", "ResponseComplete")])

    def test_a_paused_server_stands_alone(self):
        self.c.pause_apiserver(0)
        try:
            with self.assertRaises(TimeoutError):
                self.status("x", timeout=1)
            self.assertEqual(self.status("x", server=1), 404)
        finally:
            self.c.start_apiserver(0)
        self.assertEqual(self.status("x"), 404)

    def test_a_restored_etcd_has_forgotten_what_came_after(self):
        self.create("before")
        saved = self.c.save_etcd()
        version = int(self.create("after")["resourceVersion"])
        self.c.restore_etcd(saved)
        self.assertEqual([self.status("before"), self.status("after")], [200, 404])
        self.assertLessEqual(int(self.create("again")["resourceVersion"]), version + 50)
        self.assertEqual(self.status("again", server=1), 200)

    def test_a_server_s_clock_is_wrong_by_what_was_asked_and_changes_while_it_runs(self):
        self.assertAlmostEqual(self.seconds_ahead(1), 3600, delta=5)
        self.c.set_clock(1, -1800)
        try:
            self.assertAlmostEqual(self.seconds_ahead(1), -1800, delta=5)
            here, there = (self.create(f"clock-{n}", server=n)["creationTimestamp"] for n in (0, 1))
            self.assertLess(there, here)
        finally:
            self.c.set_clock(1, 3600)


if __name__ == "__main__":
    unittest.main()
