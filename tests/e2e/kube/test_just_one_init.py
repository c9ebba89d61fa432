"""konductor under the name just-one-init, on a real API server: its manifests as they are, the Lease that both programs
read, crash fail-overs, and what it says where something is missing."""

import datetime
import os
import signal
import unittest
from pathlib import Path

import just_one_init as joi
from kube import containers
from kube.cluster import shared_cluster
from lib import ROOT, Cluster, boot_ms, wait_for

MANIFESTS = Path(__file__).parent / "just_one_init"
EXAMPLE = ROOT / "deploy" / "examples" / "just-one-init.yaml"
COORDINATION = "/apis/coordination.k8s.io/v1"
RULES = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}]
# A longer run: KONDUCTOR_TEST_FAILOVERS=100 KONDUCTOR_TEST_LEASE_TTL=15
FAILOVERS = int(os.environ.get("KONDUCTOR_TEST_FAILOVERS", "3"))
TTL = os.environ.get("KONDUCTOR_TEST_LEASE_TTL", "5")
WORK = "#!/bin/sh\n" + joi.WORK + "exec sleep 100000\n"


class OnKubernetes(unittest.TestCase):
    def setUp(self):
        self.api = shared_cluster()
        self.namespace = self.api.namespace()
        self.cluster = Cluster()
        self.addCleanup(self.cluster.close)

    def object(self, name):
        return self.api.ask_ok("GET", f"{COORDINATION}/namespaces/{self.namespace}/leases/{name}")

    def lease(self, name):
        return self.object(name)["spec"]

    def waiters(self, name):
        """Those in the queue of the Lease, as text."""
        return self.object(name)["metadata"].get("annotations", {}).get("konductor.io/waiters", "")

    def assert_no_overlap(self):
        self.assertNotIn("overlap", joi.begun(self.cluster), self.cluster.describe())


@unittest.skipIf(containers.namespaces() is None, "no namespaces here")
class Manifests(OnKubernetes):
    """Its own manifests, as its README prints them, and ours."""

    def pods(self, path, account=True):
        if account:
            self.api.service_account(self.namespace, "just-one-init", RULES)
        self.api.kubectl("apply", "-n", self.namespace, "-f", str(path))
        pods = containers.Pods(self.api, self.cluster, self.namespace, "my-app")
        pods.install("just-one-init", "cp")
        pods.program("whatever-the-original-entrypoint-was", WORK)
        self.token = pods.rules()
        return pods

    def assert_fail_over(self, pods, start, lease):
        """One works, and its probes say so; its node dies, and the other works."""
        a = start("my-app-0")
        joi.wait_begun(self.cluster, 1)
        b = start("my-app-1")
        b.wait_stderr("held by my-app-0")
        self.assertEqual([True, False], [pods.probe(each, "readinessProbe") for each in (a, b)])
        self.assertEqual([True, True], [pods.probe(each, "livenessProbe") for each in (a, b)])
        self.assertTrue(self.lease(lease)["holderIdentity"].startswith("my-app-0_"))
        containers.crash(a)
        self.assertEqual(["my-app-0", "my-app-1"], joi.wait_begun(self.cluster, 2))
        self.assertTrue(self.lease(lease)["holderIdentity"].startswith("my-app-1_"))
        wait_for(lambda: pods.probe(b, "readinessProbe"), what="the other to be ready")
        return b

    def test_its_deployment_with_a_volume_runs_unchanged(self):
        pods = self.pods(MANIFESTS / "volume.yaml")
        self.assertEqual(2, pods.replicas)
        b = self.assert_fail_over(pods, lambda name: pods.start(name, self.token), "the-lease-name")
        self.assertEqual(["'/usr/local/bin/just-one-init' -> '/just-one-init/just-one-init'\n"], b.outputs)

    def test_its_deployment_from_a_dockerfile_runs_unchanged(self):
        pods = self.pods(MANIFESTS / "dockerfile.yaml")
        image = ["/just-one-init", "--", "bash", "-c", joi.WORK + "exec sleep 100000"]
        files = [("/just-one-init", pods.image / "just-one-init")]
        self.assert_fail_over(pods, lambda name: pods.start(name, self.token, image, {"LEASE_NAME": "my-lease"}, files),
                              "my-lease")

    def test_the_example_with_least_rights_does_the_same(self):
        pods = self.pods(EXAMPLE, account=False)
        self.assert_fail_over(pods, lambda name: pods.start(name, self.token), "the-lease-name")

    def test_the_example_is_for_restricted_namespaces(self):
        for path, refused in ((EXAMPLE, False), (MANIFESTS / "volume.yaml", True)):
            with self.subTest(path.name):
                self.api.kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/warn=restricted", "--overwrite")
                said = self.api.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", self.namespace, "-f", str(path))
                self.assertEqual(refused, "would violate PodSecurity" in said.stderr, said.stderr)

    def test_as_pid_1_it_hears_sigterm_and_hands_over_when_the_command_has_ended(self):
        pods = self.pods(MANIFESTS / "volume.yaml")
        pods.program("whatever-the-original-entrypoint-was",
                     "#!/bin/sh\n" + joi.WORK + "trap 'echo ended >> \"$WORK_LOG\"; exit 0' TERM; sleep 100000 & wait\n")
        a = pods.start("my-app-0", self.token)
        joi.wait_begun(self.cluster, 1)
        b = pods.start("my-app-1", self.token)
        b.wait_stderr("held by my-app-0")
        wait_for(lambda: "my-app-1" in self.waiters("the-lease-name"), what="the other to stand in the queue",
                 describe=self.cluster.describe)
        os.kill(containers.first_process(a), signal.SIGTERM)
        self.assertEqual(0, a.wait())
        self.assertEqual(["my-app-0", "ended", "my-app-1"], joi.wait_begun(self.cluster, 3))
        self.assertIn("granted by the last holder", b.stderr)


class Replicas(OnKubernetes):
    """Processes of this machine that know the server by a kubeconfig."""

    def setUp(self):
        super().setUp()
        token = self.api.service_account(self.namespace, "party", RULES)
        self.kubeconfig = self.api.kubeconfig(user=f"{self.namespace}-party", token=token, namespace="default")

    def start(self, name, argv=None, **env):
        made = {"KONDUCTOR_STORE": None, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.cluster.directory),
                "LEASE_NAME": "boss", "POD_NAMESPACE": self.namespace, "LEASE_TTL": "3", **env}
        return joi.start(self.cluster, name, argv or ["--", *joi.work()], env=made)

    def test_twelve_replicas_never_run_two_commands_in_crash_fail_overs(self):
        """The leader is killed without a word, over and over; whoever follows is replaced by a new replica."""
        living = {f"r{number}": None for number in range(12)}
        for name in living:
            living[name] = self.start(name, LEASE_TTL=TTL)
        took_s, count = [], 12
        for _ in range(FAILOVERS):
            for replica in living.values():
                replica.wait_for(lambda replica=replica: "held" in replica.stderr, what="its first look")
            begun = joi.wait_begun(self.cluster, 1)
            killed_ms = living.pop(begun[-1]).kill()
            joi.wait_begun(self.cluster, len(begun) + 1)
            took_s.append((boot_ms() - killed_ms) / 1000)
            living[f"r{count}"] = self.start(f"r{count}", LEASE_TTL=TTL)
            count += 1
        self.assert_no_overlap()
        if FAILOVERS > 3:
            took_s.sort()
            print(f"\n{FAILOVERS} fail-overs at LEASE_TTL={TTL}: p50 {took_s[len(took_s) // 2]:.1f} s, "
                  f"least {took_s[0]:.1f} s, most {took_s[-1]:.1f} s")

    def test_the_namespace_is_the_one_it_is_told_and_not_that_of_the_kubeconfig(self):
        a = self.start("a")
        joi.wait_begun(self.cluster, 1)
        self.assertTrue(self.lease("boss")["holderIdentity"].startswith("a_"))
        self.assertEqual(143, a.stop())
        self.assertEqual("", self.lease("boss")["holderIdentity"])

    def test_its_lease_is_what_just_one_init_reads_and_writes(self):
        """Its lock fails on a Lease that lacks any of these; and it takes the lease for its own by its bare host name."""
        self.start("a")
        joi.wait_begun(self.cluster, 1)
        spec = self.lease("boss")
        self.assertEqual((3, 0), (spec["leaseDurationSeconds"], spec["leaseTransitions"]))
        self.assertNotEqual("a", spec["holderIdentity"])
        for name in ("acquireTime", "renewTime"):
            datetime.datetime.fromisoformat(spec[name].replace("Z", "+00:00"))

    def test_a_lease_of_just_one_init_is_waited_for_and_then_taken(self):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
        self.api.ask_ok("POST", f"{COORDINATION}/namespaces/{self.namespace}/leases", {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "boss"},
            "spec": {"acquireTime": now, "renewTime": now, "holderIdentity": "theirs-0", "leaseDurationSeconds": 3,
                     "leaseTransitions": 0}})
        seen_ms = boot_ms()
        a = self.start("a")
        a.wait_stderr("held by theirs-0")
        joi.wait_begun(self.cluster, 1)
        self.assertGreaterEqual(boot_ms() - seen_ms, 3000)
        spec = self.lease("boss")
        self.assertTrue(spec["holderIdentity"].startswith("a_"))
        self.assertEqual(1, spec["leaseTransitions"])

    def test_after_its_term_it_hands_over_in_turn(self):
        for name in ("a", "b"):
            self.start(name, REELECT_AFTER="1sec", LEASE_TTL="9")
        names = joi.wait_begun(self.cluster, 4)[:4]
        self.assertIn(names, (["a", "b"] * 2, ["b", "a"] * 2))
        self.assert_no_overlap()

    def test_rights_that_are_missing_are_named_and_nothing_runs(self):
        token = self.api.service_account(self.namespace, "nobody")
        config = self.api.kubeconfig(user=f"{self.namespace}-nobody", token=token, namespace="default")
        a = self.start("a", KUBECONFIG=str(config))
        self.assertEqual(78, a.wait())
        self.assertIn("coordination.k8s.io", a.stderr)
        self.assertEqual([], joi.begun(self.cluster))


del OnKubernetes  # has no tests of its own


if __name__ == "__main__":
    unittest.main()
