"""Rows of the table of faults (docs/testing.md): writes whose fate is uncertain, on a real API server. What happens to a
request is decided by a proxy that reads it; the history of every test is judged when it is over."""

import signal
import threading
import unittest

from kube.faults import FaultTest, Meddler
from kube.http_proxy import answer, drop_answer, forward, forward_then, late, refuse
from lib import PATIENCE, boot_ms, wait_for

STATUS = r"/leases/boss(/status)?\?"


def grants(proxy):
    """The PUTs that took the Lease, as they came to the proxy."""
    return [r for r in proxy.seen("PUT", STATUS) if r.json["status"].get("renewals", 0) == 0]


class Writes(FaultTest):
    """The write that takes the Lease meets a fault; then it is held all the same, once."""

    def taken(self, proxy):
        """Lets a candidate take the Lease through the proxy, whose first PUT came at a time that is returned too."""
        came = []

        def note(request):
            if request.method == "PUT" and not came:
                came.append(boot_ms())

        proxy.hook = note
        a = self.lease("a", url=proxy.url)
        a.wait_event("start")
        a.wait_event("renew")
        self.assertEqual(len(a.events("claim")), 1)
        claim = a.events("claim")[0]
        self.assertEqual(self.status()["fence"], claim["fence"])
        self.assertLessEqual(claim["base"], came[0])
        return a, claim

    def operations(self, proxy):
        return [r.json["status"]["op"] for r in grants(proxy)]

    def test_row_01_a_write_whose_answer_is_lost_counts_from_when_it_was_sent(self):
        proxy = self.http()
        proxy.once(drop_answer(), "PUT", STATUS)
        self.taken(proxy)
        first, *more = grants(proxy)  # the transport may send it once more, when a connection in use ends like that
        self.assertEqual(first.upstream, [200])
        self.assertEqual([r.upstream for r in more], [[409]] * len(more))
        self.assertEqual(len(set(self.operations(proxy))), 1)

    def test_row_02_a_write_that_lands_after_its_504_changes_nothing(self):
        proxy, land = self.http(), threading.Event()
        proxy.once(late(land, 504), "PUT", STATUS)
        a, _ = self.taken(proxy)
        first = grants(proxy)[0]
        land.set()
        proxy.wait_late()
        self.assertEqual(first.upstream, [409])
        a.wait_event("renew", count=2)
        self.assertEqual(len(a.events("start")), 1)
        self.assertEqual(len(set(self.operations(proxy))), 1, "the same write again")

    def test_row_02_a_write_that_lands_between_its_504_and_the_next_look_is_known_by_its_mark(self):
        proxy, land = self.http(), threading.Event()
        proxy.once(late(land, 504), "PUT", STATUS)

        def land_first(exchange):
            land.set()
            proxy.wait_late()
            forward()(exchange)

        def on_look(request):
            if request.method == "GET" and "watch" not in request.path and grants(proxy) and not land.is_set():
                return land_first
            return None

        proxy.hook = on_look
        a = self.lease("a", url=proxy.url)
        a.wait_event("renew")
        self.assertEqual([r.upstream for r in grants(proxy)], [[200]])
        self.assertEqual(len(a.events("start")), 1)

    def test_row_04_a_500_before_the_write_leads_to_the_same_write_again(self):
        proxy = self.http()
        proxy.once(answer(500), "PUT", STATUS)
        self.taken(proxy)
        self.assertEqual([r.upstream for r in grants(proxy)], [[], [200]])
        self.assertEqual(len(set(self.operations(proxy))), 1)

    def test_row_04_a_500_after_the_write_leads_to_no_other(self):
        proxy = self.http()
        proxy.once(forward_then(500), "PUT", STATUS)
        self.taken(proxy)
        self.assertEqual([r.upstream for r in grants(proxy)], [[200]])


class Storms(FaultTest):
    def test_row_05_patience_is_kept_renewals_go_first_and_the_deadman_strikes_all_the_same(self):
        proxy = self.http()
        a = self.lease("a", url=proxy.url)
        a.wait_event("renew")
        refused = []

        def storm(_):
            refused.append(boot_ms())
            return answer(429, {"Retry-After": "1"})

        proxy.hook = storm
        a.wait_event("lost", why="deadline")
        self.assert_dead_in_time(a)
        proxy.heal()
        # Watch and renewal may be on their way at once; then nothing comes for a second.
        rounds = [at for before, at in zip([0.0, *refused], refused) if at - before > 300]
        self.assertTrue(all(after - before >= 900 for before, after in zip(rounds, rounds[1:])), refused)
        self.assertLessEqual(len(refused), 4 * len(rounds), refused)
        again = a.wait_event("start", count=2)
        self.assertGreater(again["fence"], a.events("start")[0]["fence"])


class Executors(FaultTest):
    """A process dies when its work is done, and before that is recorded."""

    def die_before_record(self, mode):
        proxy = self.http()
        died = threading.Event()
        a = None

        def kill(exchange):
            if not died.is_set():
                died.set()
                a.kill()
            refuse()(exchange)

        def on_record(request):
            recorded = request.method == "PUT" and request.json["status"].get("executed")
            return kill if recorded else None

        proxy.hook = on_record
        a = self.once("a", url=proxy.url, more=f', mode = "{mode}"')
        wait_for(died.is_set, what="the death of the executor")
        wait_for(lambda: not a.running, what="its end")
        return a

    def test_row_17_work_that_may_run_again_is_done_by_the_next_as_attempt_two(self):
        self.die_before_record("AtLeastOnce")
        b = self.once("b")
        self.assertEqual(b.wait(), 0, b.stderr)
        self.assertEqual(b.wait_event("claim")["attempt"], 2)
        self.assertEqual(self.status("Once", "page")["attempts"], 2)
        self.assertTrue(self.status("Once", "page")["executed"])

    def test_row_17_work_that_may_run_once_at_most_is_left_to_a_person(self):
        self.die_before_record("AtMostOnce")
        b = self.once("b", more=', mode = "AtMostOnce"')
        self.assertEqual(b.wait(), 77, b.stderr)
        self.assertEqual(b.events("start"), [])
        conditions = {c["type"]: c["status"] for c in self.status("Once", "page")["conditions"]}
        self.assertEqual(conditions.get("Unknown"), "True")


class Records(FaultTest):
    def test_row_01_work_that_is_recorded_though_no_answer_says_so_is_known_by_its_mark(self):
        proxy = self.http()
        since = []

        def silent(request):
            if request.method == "PUT" and request.json["status"].get("executed") and not since:
                since.append(boot_ms())
            if since and boot_ms() < since[0] + 7000 and "watch=1" not in request.path:
                return drop_answer()
            return None

        proxy.hook = silent
        a = self.once("a", url=proxy.url)
        self.assertEqual(a.wait(), 0, a.stderr)
        self.assertEqual((len(a.events("complete")), a.events("superseded")), (1, []))


class Releases(FaultTest):
    def race(self, applied):
        """TERM comes while a renewal is on its way: applied and not answered, or not even there yet. b gets the Lease
        long before it could lapse."""
        proxy, go_on = self.http(), threading.Event()
        self.addCleanup(go_on.set)

        def slow(exchange):
            held.set()
            if applied:
                sent = exchange.send()
                go_on.wait(60)
                exchange.stream(sent)
            else:
                go_on.wait(60)
                forward()(exchange)

        held = threading.Event()
        a, b = self.holder_and_waiter(ttl_ms=9000, a={"url": proxy.url})
        proxy.once(slow, "PUT", STATUS)
        wait_for(held.is_set, what="the renewal")
        at = boot_ms()
        a.signal(signal.SIGTERM)
        start = b.wait_event("start")
        self.assertLess(start["t_us"] / 1000 - at, 4000 * PATIENCE)
        go_on.set()
        self.assertEqual(a.wait(), 143)
        self.assertEqual(len(a.events("release")), 1)

    def test_row_41_a_release_that_overtakes_a_renewal_hands_over(self):
        self.race(applied=False)

    def test_row_41_a_release_that_a_renewal_made_stale_is_written_again(self):
        self.race(applied=True)


class Deletions(FaultTest):
    def test_row_31_an_object_deleted_while_held_ends_the_work_and_the_fence_still_grows(self):
        a = self.lease("a")
        a.wait_event("start")
        self.delete()
        a.wait_event("lost", why="deleted")
        again = a.wait_event("start", count=2)
        self.assertGreater(again["fence"], a.events("start")[0]["fence"])
        stop = a.wait_event("stop")
        self.assertLess(stop.get("ended_us", stop["t_us"]), again["t_us"])

    def test_row_33_what_is_being_deleted_is_granted_to_nobody_and_its_holder_lets_go(self):
        a = self.lease("a")
        a.wait_event("start")
        self.finalizers(["example.org/wait"])
        self.delete()
        a.wait_event("stop")
        b = self.lease("b")
        wait_for(lambda: self.c.audit(self.mark, namespace=self.ns, verb="list", resource="leases")[1:], what="b to look")
        rev = self.object()["metadata"]["resourceVersion"]
        b.wait_stderr("deleted")
        self.assertEqual(self.object()["metadata"]["resourceVersion"], rev)
        self.assertEqual([len(r.events("start")) for r in (a, b)], [1, 0])
        self.finalizers([])
        wait_for(lambda: self.cluster.events("start")[1:], what="a start on the new object")


class CoordinationLeases(FaultTest):
    store = "kube-lease"

    def test_row_32_a_lease_deleted_while_held_is_not_made_again_by_a_renewal(self):
        proxy = self.http()
        stalled = threading.Event()
        self.addCleanup(stalled.set)
        # News of the deletion does not come: the renewal meets it.
        proxy.always(lambda exchange: stalled.wait(60), "GET", "watch=1")
        a = self.lease("a", url=proxy.url)
        a.wait_event("renew")
        old = self.object()["metadata"]["uid"]
        self.delete()
        a.wait_event("lost", why="deleted")
        a.wait_event("start", count=2)
        self.assertNotEqual(self.object()["metadata"]["uid"], old)
        codes = [e["responseStatus"]["code"] for e in self.puts(resource="leases")]
        self.assertIn(409, codes)
        self.assertNotIn(201, codes)


class Edits(FaultTest):
    def test_row_35_somebody_who_edits_annotations_all_the_time_delays_no_takeover(self):
        a, b = self.holder_and_waiter()
        with Meddler(lambda: self.annotate({"now": str(boot_ms())})) as meddler:
            a.wait_event("renew", count=2)
            a.kill()
            self.assert_taken_over(b, self.base_of(a))
            b.wait_event("renew", count=2)
        self.assertGreater(meddler.times, 10)
        self.assertEqual(len(b.events("start")), 1)


if __name__ == "__main__":
    unittest.main()
