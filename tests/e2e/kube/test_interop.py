"""konductor beside other leader elections on one coordination Lease, on a real API server: client-go itself
(bench/client_go), and the writes of just-one-init's lock, which are merge patches without a version."""

import datetime
import json
import os
import sys
import unittest

from kube.cluster import shared_cluster
from lib import ROOT, PATIENCE, boot_ms, wait_for

sys.path.append(str(ROOT / "bench"))  # last: its kube.py is another one
import kube_mixed  # noqa: E402
from kube_stage import Party, began, ended  # noqa: E402

SEED = int(os.environ.get("KONDUCTOR_TEST_SEED", "4"))
COORDINATION = "/apis/coordination.k8s.io/v1"


class OnOneLease(unittest.TestCase):
    def setUp(self):
        self.c = shared_cluster()
        self.party = Party(self.c, "kube-lease")
        self.path = f"{COORDINATION}/namespaces/{self.party.namespace}/leases"
        self.mixed = kube_mixed.Mixed(self.party)
        self.addCleanup(self.mixed.__exit__)

    def spec(self):
        return self.c.ask_ok("GET", f"{self.path}/boss").get("spec", {})

    def kubectl_holder(self):
        return self.c.kubectl("get", "lease", "boss", "-n", self.party.namespace, "--no-headers").stdout.split()[1]

    def holder(self, kind):
        """A candidate of that kind that works."""
        candidate = self.mixed.start(kind)
        candidate.wait_event("start")
        return candidate

    def waiter(self, kind):
        candidate = self.mixed.start(kind)
        self.mixed.stand_by(candidate)
        return candidate

    def assert_no_overlap(self):
        self.assertEqual([], self.mixed.overlaps())


class BesideClientGo(OnOneLease):
    def test_each_reads_who_holds_in_the_record_of_the_other_and_so_does_kubectl(self):
        ours = self.holder("konductor")
        theirs = self.waiter("client-go")
        identity = self.spec()["holderIdentity"]
        self.assertTrue(identity.startswith(f"{ours.name}_"), identity)
        self.assertEqual(identity, theirs.events("leader")[0]["leader"])
        self.assertEqual(identity, self.kubectl_holder())
        ours.stop()
        theirs.wait_event("start")
        again = self.mixed.start("konductor")
        again.wait_stderr(f"held by {theirs.name}")
        self.assertEqual(theirs.name, self.kubectl_holder())
        self.assertEqual([], again.events("join"), "a hold of another program has no queue")
        self.assert_no_overlap()

    def test_what_client_go_releases_konductor_takes_at_once(self):
        theirs = self.holder("client-go")
        ours = self.waiter("konductor")
        theirs.stop()
        ours.wait_event("start")
        # Less than its lease would have lasted: it was the release, not the time, that freed it.
        self.assertLess(began(ours) - ended(theirs), kube_mixed.TTL_S * 1e6)
        self.assert_no_overlap()

    def test_what_konductor_releases_client_go_takes_at_its_next_try(self):
        ours = self.holder("konductor")
        theirs = self.waiter("client-go")
        self.assertEqual(143, ours.stop())
        theirs.wait_event("start")
        self.assertLess(began(theirs) - ended(ours), kube_mixed.TTL_S * 1e6)
        self.assert_no_overlap()

    def test_a_dead_konductor_is_replaced_by_client_go_when_its_time_is_over(self):
        ours = self.holder("konductor")
        theirs = self.waiter("client-go")
        before = self.spec()
        self.mixed.end(ours, "kill")
        theirs.wait_event("start")
        self.assertGreater(began(theirs), self.mixed.killed[ours.name])
        after = self.spec()
        self.assertEqual(theirs.name, after["holderIdentity"])
        self.assertEqual(before.get("leaseTransitions", 0) + 1, after["leaseTransitions"])
        self.assert_no_overlap()

    def test_a_dead_client_go_is_waited_for_by_its_own_duration_and_replaced_by_konductor(self):
        theirs = self.holder("client-go")
        ours = self.waiter("konductor")
        mark = self.c.audit_mark()
        self.mixed.end(theirs, "kill")
        # Not one request until the time is over: it is counted here, from the last change that was seen.
        ours.wait_event("start")
        renewed = self.last_write_us(theirs)
        self.assertGreaterEqual(began(ours) - renewed, kube_mixed.TTL_S * 1e6)
        updates = self.c.audit(mark, user=self.party.user, name="boss", verb="update")
        managers = [event["requestURI"] for event in updates]
        self.assertTrue(any("konductor-holder" in uri for uri in managers), managers)
        self.assertTrue(ours.events("claim", takeover=True))
        self.assert_no_overlap()

    def last_write_us(self, candidate):
        """When the newest write of client-go's was answered, on the boot clock."""
        offset_us = datetime.datetime.now(datetime.timezone.utc).timestamp() * 1e6 - boot_ms() * 1000
        writes = [e for e in self.c.audit(user=self.party.user, name="boss")
                  if e["verb"] in ("create", "update") and "konductor" not in e["requestURI"]]
        self.assertTrue(writes, candidate.describe())
        newest = datetime.datetime.fromisoformat(writes[-1]["requestReceivedTimestamp"].replace("Z", "+00:00"))
        return newest.timestamp() * 1e6 - offset_us

    def test_konductor_hands_over_to_its_own_queue_and_client_go_stands_by(self):
        first = self.holder("konductor")
        theirs = self.waiter("client-go")
        second = self.waiter("konductor")
        second.wait_event("join")
        first.stop()
        second.wait_event("start")
        granted = self.spec()["holderIdentity"]
        self.assertTrue(granted.startswith(f"{second.name}_"), granted)
        wait_for(lambda: granted in [e["leader"] for e in theirs.events("leader")], what="client-go to see it")
        self.assertEqual([], theirs.events("start"))
        self.assert_no_overlap()

    def test_what_client_go_leaves_of_our_record_does_not_count_while_it_holds(self):
        ours = self.holder("konductor")
        fence = ours.events("claim")[0]["fence"]
        theirs = self.waiter("client-go")
        ours.stop()
        theirs.wait_event("start")
        annotations = self.c.ask_ok("GET", f"{self.path}/boss")["metadata"]["annotations"]
        self.assertIn("konductor.io/status", annotations)
        next_one = self.waiter("konductor")
        theirs.stop()
        next_one.wait_event("start")
        self.assertGreater(next_one.events("claim")[0]["fence"], fence, "the fence goes on growing past a foreign hold")
        self.assert_no_overlap()

    def test_mixed_elections_never_overlap_and_give_both_their_turn(self):
        history = kube_mixed.elections(self.mixed, 16, SEED)
        self.assertEqual([], self.mixed.overlaps(), f"seed {SEED}: {history}")
        self.assertEqual({"konductor", "client-go"}, {h[2] for h in history}, f"seed {SEED}: {history}")


class BesideJustOneInit(OnOneLease):
    """Its lock gets the Lease, and patches it when it thinks that it may; a patch names no version, so with it among the
    candidates exclusion cannot be promised by anybody. What can be is that each understands the other."""

    ME = "just-one-init-0"

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")

    def patch(self, **spec):
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "boss"}, "spec": spec}
        return self.c.ask_ok("PATCH", f"{self.path}/boss?fieldManager={self.ME}", body,
                             headers={"Content-Type": "application/merge-patch+json"})

    def create(self):
        now = self.now()
        self.c.ask_ok("POST", self.path, {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "boss"},
            "spec": {"acquireTime": now, "renewTime": now, "holderIdentity": self.ME, "leaseDurationSeconds": 3,
                     "leaseTransitions": 0}})

    def acquire(self):
        now = self.now()
        self.patch(acquireTime=now, renewTime=now, leaseTransitions=self.spec()["leaseTransitions"] + 1,
                   holderIdentity=self.ME, leaseDurationSeconds=3)

    def renew(self):
        self.patch(renewTime=self.now(), leaseDurationSeconds=3)

    def release(self):
        now = self.now()
        self.patch(acquireTime=now, renewTime=now, leaseDurationSeconds=1, holderIdentity="")

    def expired(self):
        """As it judges: by its own wall clock. It fails on a Lease that lacks any of these."""
        spec = self.spec()
        for name in ("holderIdentity", "renewTime", "leaseDurationSeconds", "leaseTransitions"):
            self.assertIn(name, spec)
        renewed = datetime.datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
        return datetime.datetime.now(datetime.timezone.utc) > renewed + datetime.timedelta(
            seconds=spec["leaseDurationSeconds"])

    def test_its_hold_is_waited_for_and_its_renewals_count(self):
        self.create()
        ours = self.mixed.start("konductor")
        ours.wait_stderr(f"held by {self.ME}")
        renewed = boot_ms()
        while boot_ms() - renewed < 2 * kube_mixed.TTL_S * 1000:  # twice as long as a hold that is not renewed
            self.renew()
            last = boot_ms()
            self.assertEqual([], ours.events("start"))
            wait_for(lambda: boot_ms() - last > 900, what="the time of its next renewal")
        ours.wait_event("start")
        self.assertGreaterEqual(began(ours) / 1000 - last, (kube_mixed.TTL_S - 0.5) * 1000)
        self.assertTrue(self.spec()["holderIdentity"].startswith(f"{ours.name}_"))

    def test_its_release_is_taken_at_once(self):
        self.create()
        ours = self.waiter("konductor")
        released = boot_ms()
        self.release()
        ours.wait_event("start")
        self.assertLess(began(ours) / 1000 - released, kube_mixed.TTL_S * 1000)

    def test_our_hold_reads_as_one_to_it_and_a_release_as_its_end(self):
        ours = self.holder("konductor")
        self.assertFalse(self.expired())
        self.assertTrue(self.spec()["holderIdentity"].startswith(f"{ours.name}_"))
        self.assertEqual(143, ours.stop())
        self.assertEqual("", self.spec()["holderIdentity"])
        began_ms = boot_ms()
        wait_for(self.expired, what="the end of a released Lease in its eyes")
        self.assertLess(boot_ms() - began_ms, (kube_mixed.TTL_S - 0.5) * 1000 * PATIENCE, "as client-go's and its own")
        self.acquire()
        self.assertEqual(self.ME, self.kubectl_holder())

    def test_a_hold_that_its_patch_takes_away_ends_our_work_at_once(self):
        ours = self.holder("konductor")
        self.acquire()
        self.assertEqual("taken", ours.wait_event("lost")["why"])
        ours.wait_event("stop")
        self.assertEqual(self.ME, self.spec()["holderIdentity"], "nothing of it was overwritten")
        self.assertEqual([], ours.events("release"))


del OnOneLease  # has no tests of its own


if __name__ == "__main__":
    unittest.main()
