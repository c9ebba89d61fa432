"""Rows of the table of faults (docs/testing.md): links, watches and processes, on a real API server that works."""

import json
import os
import re
import signal
import threading
import unittest

from kube.faults import RHO, TTL_MS, FaultTest
from lib import PATIENCE, boot_ms, children, wait_for

ANSWER_MS = TTL_MS / 5  # the longest wait for an answer, for who has or wants this Lease


def watches(request):
    return request.method == "GET" and "watch=1" in request.path


def lists(proxy):
    return [r for r in proxy.seen("GET", "/leases\\?") if not watches(r)]


class Links(FaultTest):
    def test_row_09_a_connection_that_died_without_a_word_is_replaced_before_the_hold_lapses(self):
        proxy = self.tcp()
        a = self.lease("a", ttl_ms=9000, url=proxy.url)
        a.wait_event("renew")
        before, at = proxy.connections, boot_ms()
        proxy.strand()
        renewed = a.wait_event("renew", count=2)
        self.assertGreater(proxy.connections, before)
        self.assertLess(renewed["t_us"] / 1000 - at, 9000 * (1 - RHO))
        a.wait_event("renew", count=3)
        self.assertEqual((len(a.events("start")), a.events("stop")), (1, []))

    def test_row_11_who_is_cut_off_has_stopped_before_another_takes_over(self):
        proxy = self.tcp()
        a, b = self.holder_and_waiter(a={"url": proxy.url})
        a.wait_event("renew", count=2)
        proxy.freeze()
        last = self.base_of(a)
        taken = self.assert_taken_over(b, last)
        stop = self.assert_dead_in_time(a)
        self.assertLess(stop["ended_us"], taken["t_us"])
        proxy.heal()
        a.wait_event("join")
        self.assertEqual(len(a.events("start")), 1)


    def test_row_12_work_recorded_behind_a_link_that_gives_no_answers_is_known_whenever_the_link_heals(self):
        """A record's answers are waited for in exchanges of 5 s: the link heals around the end of one."""

        def one(number):
            proxy = self.tcp()
            replica = self.start(f"""
                local k = require "konductor"
                k.once "page-{number}" {{ run = {{ "sleep", "1.7" }}, hold = "{TTL_MS}ms" }}
            """, url=proxy.url)

            def cut_and_heal():
                began = replica.wait_event("start")["t_us"] / 1000
                wait_for(lambda: boot_ms() > began + 1450, what="the end of the work, nearly")
                proxy.hold("down")
                wait_for(lambda: boot_ms() > began + 6400 + number * 130, what="the time to heal")
                proxy.heal()

            thread = threading.Thread(target=cut_and_heal)
            thread.start()
            return replica, thread

        started = [one(number) for number in range(10)]
        for replica, thread in started:
            thread.join()
            self.assertEqual(replica.wait(), 0, replica.describe())
        self.assertEqual(self.cluster.events("superseded"), [])


class Watches(FaultTest):
    def stall(self, proxy):
        """From now on watches give nothing, those that run included: a proxy that swallows them."""
        released = threading.Event()
        self.addCleanup(released.set)

        def nothing(exchange):
            exchange.head(200, [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")])
            released.wait(120)
            exchange.reset()

        proxy.always(nothing, "GET", "watch=1")

    def test_row_26_a_waiter_without_news_takes_over_in_time(self):
        a = self.lease("a")
        a.wait_event("start")
        proxy = self.http()
        self.stall(proxy)
        b = self.lease("b", url=proxy.url)
        b.wait_event("join")
        a.wait_event("renew", count=2)
        a.kill()
        last = self.base_of(a)
        taken = b.wait_event("claim", takeover=True)
        # It may have counted from a renewal that it did not see go stale; then it looks, and counts once more.
        self.assertLessEqual(taken["t_us"] / 1000 - last, 2 * TTL_MS * (1 + RHO) + 1500 * PATIENCE)

    def test_row_26_a_grant_that_is_not_seen_goes_to_the_next(self):
        a = self.lease("a")
        a.wait_event("start")
        proxy = self.http()
        self.stall(proxy)
        b = self.lease("b", url=proxy.url)
        b.wait_event("join")
        c = self.lease("c")
        c.wait_event("join")
        at = boot_ms()
        self.assertEqual(a.stop(), 143)
        first = wait_for(lambda: b.events("start") or c.events("start"), what="a start of b or c")[0]
        self.assertLess(first["t_us"] / 1000 - at, 2 * TTL_MS * (1 + RHO) + 1500 * PATIENCE)

    def test_row_27_a_version_that_is_gone_leads_to_a_list_a_second_and_the_wait_goes_on(self):
        a = self.lease("a")
        a.wait_event("start")
        proxy = self.http()
        gone = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}) + "\n"

        def expired(exchange):
            exchange.reply(200, {"Content-Type": "application/json"}, gone)

        proxy.always(expired, "GET", "watch=1")
        came = []
        proxy.hook = lambda r: came.append(boot_ms()) if r in lists(proxy) else None
        b = self.lease("b", url=proxy.url)
        b.wait_event("join")
        a.wait_event("renew", count=3)
        a.kill()
        self.assert_taken_over(b, self.base_of(a))
        self.assertGreater(len(came), 2)
        self.assertTrue(all(after - before > 900 for before, after in zip(came, came[1:])), came)
        proxy.heal()
        self.delete()
        b.wait_event("lost", why="deleted")


class Processes(FaultTest):
    def test_row_14_a_holder_that_is_killed_is_replaced_when_its_hold_has_lapsed(self):
        a, b = self.holder_and_waiter()
        a.wait_event("renew", count=2)
        a.kill()
        taken = self.assert_taken_over(b, self.base_of(a))
        self.assertGreater(taken["fence"], a.events("claim")[0]["fence"])

    def test_row_18_a_tree_frozen_longer_than_its_hold_acts_no_more_when_it_thaws(self):
        log = self.cluster.directory / "acts"
        act = self.cluster.file("act.py", """
            import os, sys, time
            while True:
                at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                os.write(3, f"{os.environ['KONDUCTOR_TOKEN']} {at}\\n".encode())
                time.sleep(0.005)
        """)
        work = ["sh", "-c", f"exec python3 {act} 3>>{log}"]
        a, b = self.holder_and_waiter(work=work)
        a.wait_event("renew")
        konductor = a.pid
        guard = children(konductor)[0]
        child = children(guard)[0]
        for pid in (konductor, guard, child):
            os.kill(pid, signal.SIGSTOP)
        session = a.events()[-1]["session"]
        frozen = boot_ms()
        b.wait_event("start")
        thawed = boot_ms()
        self.tell("frozen", session=session, t_us=int(frozen * 1000), until_us=int(thawed * 1000))
        for pid in (child, guard, konductor):
            os.kill(pid, signal.SIGCONT)
        a.wait_event("stop")
        acts = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
        fence = a.events("claim")[0]["fence"]
        late = [at / 1e6 - thawed for token, at in acts if token == fence and at / 1e6 > thawed]
        self.assertLess(max(late, default=0), 100 * PATIENCE)
        # The fence tells those apart: what checks it takes nothing of them.
        self.assertTrue(all(token > fence for token in {e["fence"] for e in b.events("start")}))

    def test_row_19_a_frozen_konductor_is_no_frozen_guard(self):
        a, b = self.holder_and_waiter()
        a.wait_event("renew")
        child = children(children(a.pid)[0])[0]
        a.signal(signal.SIGSTOP)
        taken = b.wait_event("start")
        self.assertFalse(alive(child))
        a.signal(signal.SIGCONT)
        stop = self.assert_dead_in_time(a)
        self.assertEqual(stop["by"], "deadman")
        self.assertLess(stop["ended_us"], taken["t_us"])

    def test_row_38_of_a_hundred_waiters_one_starts_by_two_writes(self):
        a = self.lease("a", ttl_ms=30000)
        a.wait_event("start")
        waiters = [self.lease(f"w{i}", ttl_ms=30000) for i in range(100 if PATIENCE == 1 else 40)]  # slow builds are large

        def settled():
            return sum(bool(w.events("join")) for w in waiters) >= 32 and all("held by" in w.stderr or w.events("join")
                                                                               for w in waiters)

        wait_for(settled, 240, "a full queue and everybody else watching", lambda: waiters[-1].describe())
        mark = self.c.audit_mark()
        self.assertEqual(a.stop(), 143)
        start = wait_for(lambda: self.cluster.events("start")[1:2], what="the next")[0]
        writes = [e for e in self.c.audit(mark, namespace=self.ns, verb="update", resource="leases")
                  if "fieldManager=konductor-holder" in e["requestURI"]]
        codes = [e["responseStatus"]["code"] for e in writes]
        self.assertEqual(codes.count(200), 2, writes)
        self.assertLessEqual(codes.count(409), 1, writes)
        starts = [e for e in self.cluster.events("start") if e["t_us"] >= start["t_us"]]
        self.assertEqual(len(starts), 1)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return not re.search(r"\) [ZX] ", file.read())
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
