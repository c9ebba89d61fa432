"""One-shot steps of koncli on a real API server, as custom resources and as Leases alone, and what they cost there."""

import collections
import datetime
import subprocess
import unittest

from koncli_steps import LEADER, LeaseSteps, OnceSteps, StatusSteps
from kube.cluster import shared_cluster
from kube.test_crds import install
from test_koncli import KoncliTest


class OnServer(KoncliTest):
    store, brief = "kube", "5s"

    @classmethod
    def setUpClass(cls):
        cls.c = shared_cluster()
        install(cls.c)

    def setUp(self):
        super().setUp()
        self.ns = self.c.namespace()
        self.extra = {"KONDUCTOR_STORE": self.store, "KONDUCTOR_NAMESPACE": self.ns, "KUBECONFIG": self.c.kubeconfig()}

    def environment(self, more=None):
        return self.cluster.env({**self.extra, **(more or {})})

    def leader(self, name):
        return self.cluster.start(self.cluster.script(LEADER), name=name, env=self.extra)


class Lease(LeaseSteps, OnServer):
    def make_unrenewable(self, name):
        self.c.kubectl("patch", "leases.konductor.io", name, "-n", self.ns, "--type=merge", "-p", '{"spec":{"renewable":false}}')

    def test_a_time_to_live_that_the_store_does_not_grant_is_refused(self):
        self.assertIn("the shortest is 3s", self.refused(64, "lease", "acquire", "db", "--ttl", "2s"))
        self.assertIn("the shortest is 3s", self.refused(64, "once", "claim", "db", "--hold", "2s"))


class LeaseAlone(LeaseSteps, OnServer):
    store = "kube-lease"

    def make_unrenewable(self, name):
        self.c.kubectl("annotate", "leases.coordination.k8s.io", name, "-n", self.ns, "--overwrite",
                       'konductor.io/spec={"ttl":"10m","renewable":false}')


    def coordination(self, name):
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.ns}/leases/{name}".removesuffix("/")

    def test_a_hold_of_another_program_is_waited_for_and_taken_by_force_alone(self):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.c.ask_ok("POST", self.coordination(""), {"metadata": {"name": "db"}, "spec": {
            "holderIdentity": "other", "leaseDurationSeconds": 3600, "acquireTime": now, "renewTime": now}})
        self.assertIn("held by other", self.refused(5, "lease", "acquire", "db", "--holder", "a"))
        for verb in ("renew", "release"):
            self.assertIn("another program's", self.refused(5, "lease", verb, "db", "--holder", "other"))
        self.assertIn('taken from "other"', self.ok("lease", "release", "db", "--force"))
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        spec = self.c.ask_ok("GET", self.coordination("db"))["spec"]
        self.assertEqual((spec["holderIdentity"], spec["leaseDurationSeconds"]), (f"a_{token}", 600))
        self.ok("lease", "release", "db", "--holder", "a", "--token", token)
        self.assertEqual(self.c.ask_ok("GET", self.coordination("db"))["spec"]["holderIdentity"], "")


class Once(OnceSteps, OnServer):
    pass


class OnceAlone(OnceSteps, OnServer):
    store = "kube-lease"


class Status(StatusSteps, OnServer):
    def test_kubectl_finds_it_as_a_plugin(self):
        (self.cluster.directory / "kubectl-konductor").symlink_to(self.path.resolve())
        done = subprocess.run([self.c.programs.kubectl, "konductor", "once", "create", "init"], text=True, capture_output=True,
                              env=self.environment({"PATH": self.cluster.directory, "HOME": self.cluster.directory}), check=False)
        self.assertEqual((done.returncode, done.stdout), (0, 'Once "init" created\n'), done.stderr)


class StatusAlone(StatusSteps, OnServer):
    store = "kube-lease"


class Costs(OnServer):
    def setUp(self):
        super().setUp()
        rules = [{"apiGroups": ["konductor.io"], "resources": ["leases", "onces"], "verbs": ["get", "create"]},
                 {"apiGroups": ["konductor.io"], "resources": ["leases/status", "onces/status"], "verbs": ["update"]}]
        token = self.c.service_account(self.ns, "shell", rules)
        self.user = f"system:serviceaccount:{self.ns}:shell"
        self.extra["KUBECONFIG"] = self.c.kubeconfig(user=f"{self.ns}-shell", token=token, namespace=self.ns)

    def of(self, *args):
        """What a command sends."""
        mark = self.c.audit_mark()
        done = self.koncli(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        verbs = (event["verb"] for event in self.c.audit(mark, stage="RequestReceived", user=self.user))
        return dict(collections.Counter(verbs))

    def test_of_acquiring_are_two_requests_and_three_where_the_lease_is_to_be_made(self):
        self.assertEqual(self.of("lease", "acquire", "db"), {"get": 1, "create": 1, "update": 1})
        self.assertEqual(self.of("lease", "renew", "db"), {"get": 1, "update": 1})
        self.assertEqual(self.of("lease", "release", "db"), {"get": 1, "update": 1})
        self.assertEqual(self.of("lease", "acquire", "db"), {"get": 1, "update": 1})

    def test_of_claiming_are_as_many_and_of_a_check_is_one(self):
        self.assertEqual(self.of("once", "claim", "init"), {"get": 1, "create": 1, "update": 1})
        self.assertEqual(self.of("once", "done", "init"), {"get": 1, "update": 1})
        self.assertEqual(self.of("once", "check", "init"), {"get": 1})


del KoncliTest, LeaseSteps, OnceSteps, StatusSteps

if __name__ == "__main__":
    unittest.main()
