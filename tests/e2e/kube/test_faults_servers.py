"""Rows of the table of faults (docs/testing.md): servers, clocks, rights, tokens and definitions. Each class has servers
of its own; a test leaves them running and right."""

import json
import unittest
import urllib.request

from kube.cluster import wait_for as wait_for_servers
from kube.faults import TTL_MS, FaultTest
from kube.http_proxy import answer
from kube.test_crds import crd_list, install
from lib import boot_ms, wait_for

RULES = [{"apiGroups": ["konductor.io"], "resources": ["*"], "verbs": ["get", "list", "watch", "create", "update"]}]
RBAC = "/apis/rbac.authorization.k8s.io/v1"


class Outages(FaultTest):
    own = True
    how = {"flags": ["--shutdown-delay-duration=1s", "--shutdown-send-retry-after=true"]}

    def test_row_06_a_rolling_restart_ends_no_work(self):
        a = self.lease("a", ttl_ms=30000)
        b = self.lease("b", ttl_ms=30000)
        wait_for(lambda: self.cluster.events("start"), what="a start")
        renewals = len(self.cluster.events("renew"))
        self.c.stop_apiserver()
        self.c.start_apiserver()
        wait_for(lambda: len(self.cluster.events("renew")) >= renewals + 2, what="renewals on the new server")
        self.assertEqual((len(self.cluster.events("start")), self.cluster.events("stop")), (1, []))
        holder, waiter = (a, b) if a.events("start") else (b, a)
        holder.stop()
        waiter.wait_event("start")

    def test_row_07_work_is_dead_before_its_hold_lapses_and_one_starts_when_the_server_is_back(self):
        a, b = self.holder_and_waiter()
        self.c.kill_apiserver()
        self.assert_dead_in_time(a)
        self.assertEqual(b.events("start"), [])
        self.c.start_apiserver()
        starts = wait_for(lambda: self.cluster.events("start")[1:], what="a start after the outage")
        self.assertGreater(starts[0]["fence"], a.events("claim")[0]["fence"])
        wait_for(lambda: self.cluster.events("renew", fence=starts[0]["fence"])[1:], what="renewals")

    def test_row_45_etcd_that_stalls_or_dies_costs_a_hold_at_most(self):
        a, b = self.holder_and_waiter()
        self.c.pause_etcd()
        self.assert_dead_in_time(a)
        self.c.start_etcd()
        wait_for(lambda: self.cluster.events("start")[1:], what="a start after the stall")
        renewals = len(self.cluster.events("renew"))
        self.c.kill_etcd()
        self.c.start_etcd()
        wait_for(lambda: len(self.cluster.events("renew")) > renewals, what="a renewal with the new etcd")
        self.assertTrue(a.running and b.running)

    def test_row_21_wall_clocks_that_jump_decide_nothing(self):
        self.addCleanup(self.c.set_clock, 0, 0)
        a, b = self.holder_and_waiter()
        for seconds in (3600, -3600):
            self.c.set_clock(0, seconds)
            a.wait_event("renew", count=len(a.events("renew")) + 3)
        self.assertEqual((len(a.events("start")), b.events("claim")), (1, []))
        a.kill()
        self.c.set_clock(0, 3600)
        self.assert_taken_over(b, self.base_of(a))

    def test_row_28_a_watch_of_an_idle_object_begins_at_the_version_of_the_list(self):
        a = self.once("a")
        self.assertEqual(a.wait(), 0)
        old = self.object("Once", "page")["metadata"]["resourceVersion"]
        for _ in range(20):
            self.c.ask_ok("POST", f"/api/v1/namespaces/{self.ns}/configmaps", {"metadata": {"generateName": "other-"}})
        newest = int(self.c.ask_ok("GET", f"/api/v1/namespaces/{self.ns}/configmaps")["metadata"]["resourceVersion"])
        compact(self.c, newest)
        self.c.kill_apiserver()
        self.c.start_apiserver()
        path = self.path("Once", "").rstrip("/") + f"?watch=1&timeoutSeconds=1&resourceVersion={old}"
        said = self.c.request("GET", path)
        self.assertIn("410" if said.status == 200 else "", str(said.body))  # the object's own version leads nowhere
        self.mark = self.c.audit_mark()
        b = self.once("b", more=', version = "2"', work=("sleep", "1000"))
        b.wait_event("renew", count=2)
        lists = self.c.audit(self.mark, namespace=self.ns, verb="list", resource="onces")
        watches = self.c.audit(self.mark, namespace=self.ns, verb="watch", resource="onces", stage=None)
        self.assertEqual(len(lists), 1, lists)
        self.assertEqual({e["requestURI"] for e in watches}, {watches[0]["requestURI"]})
        self.assertNotIn(f"resourceVersion={old}&", watches[0]["requestURI"] + "&")


def compact(servers, revision):
    url = f"http://127.0.0.1:{servers.state['etcd_ports'][0]}/v3/kv/compaction"
    body = json.dumps({"revision": str(revision), "physical": True}).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, body, timeout=10) as answer:
        answer.read()


class Starting(FaultTest):
    """A server that has not read its roles yet refuses everybody; what it says then is said by a proxy here."""

    REVIEW, READY = "/selfsubjectrulesreviews", "^/readyz"

    def starting(self, times):
        proxy = self.http()
        proxy.once(answer(403), "POST", self.REVIEW, times=times)
        proxy.once(answer(500, {}, "[-]poststarthook/rbac/bootstrap-roles failed"), "GET", self.READY, times=times)
        return proxy

    def test_row_44_a_refusal_of_a_server_that_is_starting_ends_nobody(self):
        proxy = self.starting(3)
        a = self.lease("a", url=proxy.url)
        a.wait_event("start")
        self.assertEqual([r.status for r in proxy.seen("POST", self.REVIEW)], [403, 403, 403, 201])
        self.assertIn("is starting", a.stderr)

    def test_row_44_a_refusal_of_a_server_that_is_ready_is_asked_for_twice(self):
        token = self.c.service_account(self.ns, "app", [{**RULES[0], "verbs": ["get", "list", "watch"]}])
        proxy = self.http()
        a = self.lease("a", kubeconfig=self.c.kubeconfig("app", token=token, url=proxy.url, namespace=self.ns))
        self.assertEqual(a.wait(), 78)
        self.assertIn("rights are missing", a.stderr)
        self.assertEqual([r.status for r in proxy.seen()], [201, 200, 201])


class Goaway(FaultTest):
    own = True
    how = {"flags": ["--goaway-chance=0.02"]}

    def test_row_08_a_server_that_sends_clients_away_is_asked_again_on_another_connection(self):
        proxy = self.tcp()
        holders = [self.start(f"""
            local k = require "konductor"
            k.lease "boss-{i}" {{ ttl = "3s", main = {{ "sleep", "1000" }} }}
        """, url=proxy.url) for i in range(12)]
        for holder in holders:
            holder.wait_event("start")
        first = proxy.connections
        # Of fifty requests one is answered so, and each holder makes one a second.
        wait_for(lambda: proxy.connections >= first + 4, 240, "more connections", self.cluster.describe)
        self.assertEqual((len(self.cluster.events("start")), self.cluster.events("lost")), (12, []))


class Rights(FaultTest):
    own = True

    def account(self, rules=RULES):
        """A kubeconfig with the token in a file, and the file."""
        token = self.c.service_account(self.ns, "app", rules)
        file = self.cluster.file("token", token)
        path = self.c.kubeconfig(f"app-{self.ns}", token="of-a-file", namespace=self.ns)
        path.write_text(path.read_text().replace("token: of-a-file", f"tokenFile: {file}"))
        return path, file

    def test_row_43_a_token_that_ends_is_read_anew_and_the_work_goes_on(self):
        kubeconfig, file = self.account()
        old = file.read_text()
        a = self.lease("a", ttl_ms=9000, kubeconfig=kubeconfig)
        a.wait_event("renew")
        path = f"/api/v1/namespaces/{self.ns}/serviceaccounts"
        self.c.ask_ok("DELETE", f"{path}/app")
        self.c.ask_ok("POST", path, {"metadata": {"name": "app"}})
        wait_for_servers(lambda: self.c.request("GET", self.path(), token=old).status == 401, "the end of the token")
        new = file.with_name("token.new")
        new.write_text(self.c.service_account_token(self.ns, "app"))
        new.rename(file)
        a.wait_event("renew", count=len(a.events("renew")) + 2)
        self.assertEqual((len(a.events("start")), a.events("stop")), (1, []))

    def test_row_44_without_the_right_nothing_starts_and_the_missing_one_is_named(self):
        kubeconfig, _ = self.account([{**RULES[0], "verbs": ["get", "list", "watch"]}])
        a = self.lease("a", kubeconfig=kubeconfig)
        self.assertEqual(a.wait(), 78)
        self.assertIn("leases", a.stderr)
        self.assertRegex(a.stderr, r"- \{apiGroups: \[konductor.io\], .*verbs: \[update\]\}")

    def test_row_44_a_holder_whose_right_is_taken_runs_to_its_deadline(self):
        kubeconfig, _ = self.account()
        a = self.lease("a", kubeconfig=kubeconfig)
        a.wait_event("renew")
        self.c.ask_ok("DELETE", f"{RBAC}/namespaces/{self.ns}/rolebindings/app")
        stop = self.assert_dead_in_time(a)
        self.assertIn("cannot", a.stderr)
        self.assertGreater(stop["ended_us"] / 1000, self.base_of(a) + TTL_MS / 3)
        b = self.lease("b")
        b.wait_event("start")

    def test_row_44_a_waiter_whose_right_is_taken_waits_on_with_pauses(self):
        kubeconfig, _ = self.account()
        a = self.lease("a")
        a.wait_event("start")
        b = self.lease("b", kubeconfig=kubeconfig)
        b.wait_event("join")
        binding = self.c.ask_ok("GET", f"{RBAC}/namespaces/{self.ns}/rolebindings/app")
        self.c.ask_ok("DELETE", f"{RBAC}/namespaces/{self.ns}/rolebindings/app")
        a.kill()
        b.wait_stderr("missing")
        mark, at = self.c.audit_mark(), boot_ms()
        wait_for(lambda: boot_ms() - at > 3000, what="refusals")
        refused = self.c.audit(mark, namespace=self.ns, code=403)
        self.assertLessEqual(len(refused), 12, refused)
        self.assertTrue(b.running)
        self.c.ask_ok("POST", f"{RBAC}/namespaces/{self.ns}/rolebindings", {**binding, "metadata": {"name": "app"}})
        b.wait_event("start")

    def test_row_44_rights_that_come_back_in_time_cost_nothing(self):
        kubeconfig, _ = self.account()
        a = self.lease("a", ttl_ms=15000, kubeconfig=kubeconfig)
        a.wait_event("renew")
        binding = self.c.ask_ok("GET", f"{RBAC}/namespaces/{self.ns}/rolebindings/app")
        self.c.ask_ok("DELETE", f"{RBAC}/namespaces/{self.ns}/rolebindings/app")
        a.wait_stderr("cannot renew")
        self.c.ask_ok("POST", f"{RBAC}/namespaces/{self.ns}/rolebindings",
                      {**binding, "metadata": {"name": "app"}})
        a.wait_event("renew", count=len(a.events("renew")) + 2)
        self.assertEqual((len(a.events("start")), a.events("stop")), (1, []))

    def test_row_34_a_namespace_that_ends_ends_who_comes_to_it(self):
        self.c.ask_ok("DELETE", f"/api/v1/namespaces/{self.ns}")
        mark = self.c.audit_mark()
        a = self.lease("a")
        self.assertEqual(a.wait(), 78)
        self.assertIn("is being deleted", a.stderr)
        made = self.c.audit(mark, namespace=self.ns, verb="create", resource="leases")
        self.assertLessEqual(len(made), 2, made)


class Backups(FaultTest):
    own = True

    def test_row_46_a_server_that_went_back_in_time_is_refused(self):
        a, b = self.holder_and_waiter(ttl_ms=60000)
        saved = self.c.save_etcd()
        a.wait_event("renew")
        a.wait_event("renew", count=len(a.events("renew")) + 1)
        self.c.restore_etcd(saved)
        self.assertEqual((a.wait(90), b.wait(90)), (79, 79), self.cluster.describe())


class Definitions(FaultTest):
    own = True
    definitions = False

    def test_row_49_definitions_that_are_missing_or_too_old_are_told_and_nothing_runs(self):
        a = self.lease("a")
        self.assertEqual(a.wait(), 78)
        self.assertIn("konductor crds | kubectl apply", a.stderr)
        old = crd_list()
        for crd in old["items"]:
            for version in crd["spec"]["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                version["schema"]["openAPIV3Schema"] = without(schema, ("op", "fence"))
        self.c.kubectl("apply", "-f", "-", input=old)
        wait_for_servers(lambda: self.c.request("GET", self.path("Lease", "").rstrip("/")).status == 200, "the definitions")
        b = self.lease("b")
        self.assertNotEqual(b.wait(), 0)
        self.assertIn("konductor crds | kubectl apply", b.stderr)
        self.assertEqual(self.cluster.events("start"), [])
        install(self.c)
        c = self.lease("c")
        c.wait_event("start")


def without(schema, names):
    """The schema, its status without these fields and without rules that speak of them."""
    status = schema["properties"]["status"]
    status["properties"] = {k: v for k, v in status["properties"].items() if k not in names}
    status.pop("x-kubernetes-validations", None)
    status.pop("x-kubernetes-preserve-unknown-fields", None)
    status["required"] = [name for name in status.get("required", []) if name not in names]
    if not status["required"]:
        del status["required"]
    schema.pop("x-kubernetes-validations", None)
    return schema


if __name__ == "__main__":
    unittest.main()
