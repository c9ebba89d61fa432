"""What the Kubernetes stores say when a cluster is not as they need it, and how they live with other programs' Leases;
on a real API server."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from kube.cluster import shared_cluster, wait_for
from kube.http_proxy import HttpProxy, drop_answer, refuse, truncate
from kube.lua import crds, install_crds, run_lua
from lib import binary

PRELUDE = 'package.path = "tests/e2e/kube/?.lua;" .. package.path\n' \
          'local t = require "store"; local core, show = t.core, t.show\n'
ONCES = {"apiGroups": ["konductor.io"], "resources": ["onces"]}


class OnServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared_cluster()
        install_crds(cls.c)

    def lua(self, text, namespace=None, token=None, **env):
        """Runs a chunk on a store of this server; the lines that it shows."""
        done = run_lua(PRELUDE + text, {"KUBE_SERVER": self.c.url, "KUBE_CA": self.c.ca_pem,
                                        "KUBE_TOKEN": token or self.c.admin_token,
                                        "KUBE_NAMESPACE": namespace or self.ns, **env})
        self.assertEqual("", done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def setUp(self):
        self.ns = self.c.namespace()

    def says(self, shown, code, *words):
        self.assertEqual(["nil", code], shown[:2], shown)
        for word in words:
            self.assertIn(word, shown[2])


class Refusals(OnServer):
    def test_a_missing_namespace_is_named(self):
        for dialect in ("kube", "kube-lease"):
            (shown,) = self.lua(f'local w = t.world {{ dialect = "{dialect}" }}\n'
                                'show(w.create("Once", "a", { ttl = "1h" }))', namespace="nowhere")
            self.says(shown, "config", "there is no namespace 'nowhere'")

    def test_nothing_is_made_in_a_namespace_that_is_being_deleted(self):
        self.c.kubectl("create", "configmap", "x", "-n", self.ns)
        self.c.kubectl("delete", "namespace", self.ns, "--wait=false")
        for dialect in ("kube", "kube-lease"):
            (shown,) = self.lua(f'local w = t.world {{ dialect = "{dialect}" }}\n'
                                'show(w.create("Once", "a", { ttl = "1h" }))')
            self.says(shown, "config", self.ns, "is being deleted")

    def test_a_missing_right_is_told_as_the_server_words_it(self):
        token = self.c.service_account(self.ns, "poor", [{**ONCES, "verbs": ["get"]}])
        shown = self.lua('local w = t.world()\nshow(w.get("Once", "a"))\nshow(w.create("Once", "a", { ttl = "1h" }))\n'
                         'show(w.list("Lease"))', token=token)
        self.says(shown[0], "absent", "there is no onces a")
        self.says(shown[1], "denied", "cannot create resource", "onces", "system:serviceaccount:" + self.ns)
        self.says(shown[2], "denied", "cannot list resource", "leases")

    def test_a_watch_that_is_not_allowed_warns_once_and_is_silent(self):
        token = self.c.service_account(self.ns, "blind", [{**ONCES, "verbs": ["get"]}])
        shown = self.lua('''
            local inbox, news = core.inbox(), core.inbox()
            local w, store = t.world { inbox = inbox }
            w.watch(news, "Once", "a")
            w.watch(news, "Once", "b")
            show(t.await(inbox, "warning").detail)
            show(select(2, inbox:wait(core.now() + 300)), select(2, news:wait(core.now())))''', token=token)
        self.assertIn("changes of onces are noticed late", shown[0][0])
        self.assertIn("cannot list resource", shown[0][0])
        self.assertEqual(["timeout", "timeout"], shown[1])

    def test_a_value_that_the_definition_refuses_is_told_with_its_field(self):
        (shown,) = self.lua('local w = t.world()\nshow(w.create("Lease", "a", { ttl = 7 }))')
        self.says(shown, "config", "spec.ttl")


class BrokenConnections(OnServer):
    def through(self, *cuts):
        """A proxy that breaks requests off, and its environment for lua()."""
        proxy = HttpProxy(self.c)
        self.addCleanup(proxy.close)
        for action, method, times in cuts:
            proxy.once(action, method, times=times)
        return proxy, {"KUBE_SERVER": proxy.url}

    def test_a_read_that_breaks_off_is_sent_once_more(self):
        for cut in (refuse(), drop_answer(), truncate(10)):
            proxy, env = self.through((cut, "GET", 1))
            (shown,) = self.lua('local w = t.world()\nshow(w.get("Once", "a"))', **env)
            self.says(shown, "absent")
            self.assertEqual(2, len(proxy.seen("GET", "/onces/a")))

    def test_a_read_that_breaks_off_twice_is_told(self):
        proxy, env = self.through((drop_answer(), "GET", 5))
        (shown,) = self.lua('local w = t.world()\nshow(w.get("Once", "a"))', **env)
        self.says(shown, "store", "broken off after it was sent")
        self.assertEqual(2, len(proxy.seen("GET", "/onces/a")))

    def test_a_write_that_breaks_off_is_never_sent_again(self):
        proxy, env = self.through((drop_answer(), "POST", 1))
        (shown,) = self.lua('local w = t.world()\nshow(w.create("Once", "a", { ttl = "1h" }))', **env)
        self.says(shown, "unknown")
        self.assertEqual(1, len(proxy.seen("POST")))


class Credentials(OnServer):
    BAD = "not-a-token-of-this-server"

    def test_a_refused_token_is_denied_and_never_shown(self):
        (shown,) = self.lua('local w = t.world()\nshow(w.get("Once", "a"))', token=self.BAD)
        self.says(shown, "denied", "401")
        self.assertNotIn(self.BAD, json.dumps(shown))

    def test_a_request_waits_for_other_credentials_and_is_sent_once_more(self):
        shown = self.lua('''
            local inbox, done = core.inbox(), core.inbox()
            local w, store = t.world { inbox = inbox }
            for i = 1, 3 do
              w.task(done, function() return { select(2, w.get("Once", "a", { limit_ms = 60000 })) } end)
            end
            show(t.await(inbox, "credentials").type)
            store:credentials { token = t.env.GOOD }
            for i = 1, 3 do
              show(nil, unpack(t.await(done, "done").value))
            end
            show(select(2, inbox:wait(core.now())))''', token=self.BAD, GOOD=self.c.admin_token)
        self.assertEqual(["credentials"], shown[0])
        for answer in shown[1:4]:
            self.says(answer, "absent")
        self.assertEqual(["timeout"], shown[4])

    def test_where_there_are_no_others_the_reason_is_told_at_once(self):
        (shown,) = self.lua('''
            local inbox, done = core.inbox(), core.inbox()
            local w, store = t.world { inbox = inbox }
            w.task(done, function() return { w.get("Once", "a", { limit_ms = 60000 }) } end)
            t.await(inbox, "credentials")
            local began = core.now()
            store:credentials { failed = "the plugin ended with 3" }
            local value = t.await(done, "done").value
            show("nil", value[2], value[3], core.now() - began < 5000)''', token=self.BAD)
        self.says(shown, "denied", "the plugin ended with 3")
        self.assertTrue(shown[3])

    def test_a_token_file_is_read_again_when_its_token_is_refused(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(self.BAD + "\n")
            file.flush()
            (shown,) = self.lua(f'''
                local w = t.world {{ token = false, token_file = "{file.name}" }}
                local new = assert(io.open("{file.name}", "w"))
                new:write(t.env.GOOD, "\\n")
                new:close()
                show(w.get("Once", "a"))''', GOOD=self.c.admin_token)
        self.says(shown, "absent")

    def test_a_token_file_that_is_not_there_is_named(self):
        (shown,) = self.lua('show(t.open { token = false, token_file = "/nonexistent/token" })')
        self.says(shown, "config", "/nonexistent/token")


class ForeignLeases(OnServer):
    THEIRS = {"holderIdentity": "them", "leaseDurationSeconds": 9, "leaseTransitions": 3,
              "acquireTime": "2026-01-02T03:04:05.000000Z", "renewTime": "2026-01-02T03:04:06.000000Z"}

    def lease(self, name, spec, **metadata):
        self.c.kubectl("apply", "-f", "-", input={
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec,
            "metadata": {"name": name, "namespace": self.ns, **metadata}})

    def stored(self, name):
        return json.loads(self.c.kubectl("get", "leases.coordination.k8s.io", name, "-n", self.ns, "-o", "json").stdout)

    def test_one_where_a_once_is_wanted_is_refused_with_its_name(self):
        self.lease("once.x", self.THEIRS)
        (shown,) = self.lua('local w = t.world { dialect = "kube-lease" }\nshow(w.get("Once", "x"))')
        self.says(shown, "corrupt", "once.x", "not made by konductor")

    def test_a_lease_called_as_a_once_is_refused_before_it_is_made(self):
        (shown,) = self.lua('local w = t.world { dialect = "kube-lease" }\nshow(w.create("Lease", "once.x", {}))')
        self.says(shown, "usage", "once.x")

    def test_one_that_is_held_is_seen_taken_over_and_kept_in_what_is_not_ours(self):
        self.lease("x", self.THEIRS, annotations={"their": "note"}, labels={"app": "theirs"})
        shown = self.lua('''
            local w = t.world { dialect = "kube-lease" }
            local lease = assert(w.get("Lease", "x"))
            show(lease.spec, lease.status)
            local new = assert(w.replace(lease, { holder = "me", session = "s", bound = "process", ttlMs = 15000, op = "s:1",
              fence = lease.rev + 1, waiters = { { id = "b", session = "z", prio = 0 } } }))
            show(new.status.holder, new.status.waiters[1].id)
            local other = t.world { dialect = "kube-lease" } -- has not seen the object, and must not lose a thing
            show(assert(other.replace(new, { holder = "me", session = "s", bound = "process", ttlMs = 15000, op = "s:2",
              fence = lease.rev + 1 })).status.op)''')
        self.assertEqual({"ttl": "9s"}, shown[0][0])
        self.assertEqual({"holder": "them", "session": "", "bound": "process", "phase": "Held", "ttlMs": 9000,
                          "foreign": True, "op": "foreign:them:2026-01-02T03:04:06.000000Z:3"}, shown[0][1])
        self.assertEqual([["me", "b"], ["s:2"]], shown[1:])
        stored = self.stored("x")
        self.assertEqual("me_s", stored["spec"]["holderIdentity"])
        self.assertEqual(4, stored["spec"]["leaseTransitions"])
        self.assertEqual(15, stored["spec"]["leaseDurationSeconds"])
        self.assertGreater(stored["spec"]["renewTime"], self.THEIRS["renewTime"])
        self.assertEqual("note", stored["metadata"]["annotations"]["their"])
        self.assertNotIn("konductor.io/waiters", stored["metadata"]["annotations"])
        self.assertEqual("theirs", stored["metadata"]["labels"]["app"])

    def test_a_hold_that_another_program_took_is_theirs_and_freed_is_free(self):
        self.lua('''
            local w = t.world { dialect = "kube-lease" }
            local lease = assert(w.create("Lease", "y", { ttl = "15s" }))
            assert(w.replace(lease, { holder = "me", session = "s", bound = "process", ttlMs = 15000, op = "s:1", fence = 7 }))''')
        chunk = 'local w = t.world { dialect = "kube-lease" }\nshow(assert(w.get("Lease", "y")).status)'
        self.assertEqual("me", self.lua(chunk)[0][0]["holder"])
        patch = ["patch", "leases.coordination.k8s.io", "y", "-n", self.ns, "--type=merge", "-p"]
        self.c.kubectl(*patch, '{"spec":{"holderIdentity":"them"}}')
        status = self.lua(chunk)[0][0]
        self.assertEqual(["them", True, 7], [status["holder"], status["foreign"], status["fence"]])
        self.c.kubectl(*patch, '{"spec":{"holderIdentity":""}}')
        status = self.lua(chunk)[0][0]
        self.assertEqual(["", "", 7], [status["holder"], status["session"], status["fence"]])


class Deletion(OnServer):
    FINALIZED = {"apiVersion": "konductor.io/v1", "kind": "Lease", "spec": {"ttl": "15s"}}

    def test_a_holder_that_is_waited_for_stops_its_work_and_lets_go(self):
        self.c.kubectl("apply", "-f", "-", input={**self.FINALIZED, "metadata": {
            "name": "drained", "namespace": self.ns, "finalizers": ["example.com/wait"]}})
        with tempfile.TemporaryDirectory() as home:
            script = Path(home) / "lead.lua"
            script.write_text('local k = require "konductor"\nk.lease "drained" { ttl = "15s", main = { "sleep", "1000" } }')
            env = {**os.environ, "KUBECONFIG": self.c.kubeconfig(namespace=self.ns), "KONDUCTOR_STORE": "kube"}
            leader = subprocess.Popen([binary(), "run", "--listen", "off", str(script)], env=env, stderr=subprocess.PIPE,
                                      text=True)
            try:
                path = f"/apis/konductor.io/v1/namespaces/{self.ns}/leases/drained"
                wait_for(lambda: self.c.ask_ok("GET", path).get("status", {}).get("phase") == "Held", "a holder")
                self.c.kubectl("delete", "leases.konductor.io", "drained", "-n", self.ns, "--wait=false")
                wait_for(lambda: self.c.ask_ok("GET", path)["status"]["holder"] == "", "the end of the hold")
                leader.terminate() # it stands by for the next lease of that name
                _, said = leader.communicate(timeout=30)
            finally:
                leader.kill()
                leader.wait()
                leader.stderr.close()
        self.assertIn("making way for its deletion", said)
        status = self.c.ask_ok("GET", path)["status"]
        self.assertEqual(["", "Available"], [status["holder"], status["phase"]])
        (shown,) = self.lua('local w = t.world()\nshow(assert(w.get("Lease", "drained")).deleting)')
        self.assertEqual([True], shown)


class WholeApi(OnServer):
    def test_any_request_can_be_made_with_the_same_identity(self):
        shown = self.lua('''
            local _, store = t.world()
            local review = assert(t.answer(store:request {
              method = "POST", path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
              body = { apiVersion = "authorization.k8s.io/v1", kind = "SelfSubjectAccessReview",
                spec = { resourceAttributes = { verb = "get", resource = "pods", namespace = "default" } } },
            }))
            show(review.status, review.body.status.allowed, review.date > 1.7e9)
            local missing = assert(t.answer(store:request { method = "GET", path = "/nothing" , query = "a=b" }))
            show(missing.status, missing.body)
            show(pcall(store.request, store, { method = "GET", path = "x" }))
            show(pcall(store.request, store, { method = "GET" }))''')
        self.assertEqual([201, True, True], shown[0])
        self.assertEqual(404, shown[1][0])
        self.assertFalse(shown[2][0] or shown[3][0])


class Zz_OlderDefinitions(OnServer):
    """Last, because it takes the definitions away for a while."""

    def tearDown(self):
        self.c.kubectl("delete", "crd", "records.konductor.io", "--ignore-not-found")
        self.c.kubectl("apply", "-f", "-", input=crds())

    def test_missing_definitions_and_such_that_drop_fields_are_told_with_the_way_out(self):
        self.c.kubectl("delete", "crd", "records.konductor.io")
        chunk = 'local w = t.world()\nshow(w.get("Mark", "a"))\nshow(w.create("Mark", "a", {}))\nshow(w.list("Mark"))'
        for shown in self.lua(chunk):
            self.says(shown, "config", "records.konductor.io", "konductor crds | kubectl apply -f -", "kube-lease")
        old = {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"kind": {"type": "string"}, "data": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True}}},
            "status": {"type": "object", "properties": {"holder": {"type": "string"}}}}}
        self.c.kubectl("apply", "-f", "-", input={
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "records.konductor.io"}, "spec": {
                "group": "konductor.io", "scope": "Namespaced",
                "names": {"kind": "Record", "plural": "records", "singular": "record"},
                "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                              "schema": {"openAPIV3Schema": old}}]}})
        self.c.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/records.konductor.io")
        shown = self.lua('''
            local w = t.world()
            local record, code, detail
            local limit = core.now() + t.LIMIT_MS
            repeat
              record, code, detail = w.create("Mark", "b", { n = 1 })
            until record or core.now() > limit
            show(record and record.spec or detail)
            show(w.replace(record, { holder = "h", op = "x", fence = 2 }))''')
        self.assertEqual([{"n": 1}], shown[0])
        self.says(shown[1], "version", "fence", "op", "konductor crds | kubectl apply -f -")


if __name__ == "__main__":
    unittest.main()
