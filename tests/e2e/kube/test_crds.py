"""The kinds of konductor.io/v1 on a real API server: what people may write into them, what is refused and with which
words, and that nothing is refused which a policy writes."""

import json
import os
import subprocess
import unittest
import uuid

from kube.cluster import shared_cluster, wait_for
from lib import ROOT, binary

GROUP = "/apis/konductor.io/v1"
PLURAL = {"Lease": "leases", "Once": "onces", "Record": "records"}

# The objects of the documents that konductor keeps to: names and specs as people have them.
MANIFESTS = {
    "Lease": {
        "db-migration": {"ttl": "10m", "priority": 1}, "singleton-job": {"ttl": "30m"}, "daily-report": {"ttl": "2h"},
        "high-migration": {"ttl": "15m", "priority": 10}, "backup-job": {"ttl": "4h"},
        "schema-migration": {"ttl": "30m", "priority": 100}, "service-leader": {"ttl": "30s", "renewable": True},
        "app-init": {"ttl": "10m", "renewable": False},
    },
    "Once": {
        "app-init": {"ttl": "1h"}, "db-init": {"ttl": "24h"}, "config-setup": {"ttl": "1h"},
        "provision-s3": {"ttl": "24h"}, "stage-1-init": None, "stage-2-init": None, "stage-3-init": None,
    },
}


def crd_list():
    return json.loads(subprocess.run([binary(), "crds", "-o", "json"], check=True, capture_output=True).stdout)


def install(cluster):
    """Applies what `konductor crds` prints and waits until the server serves it."""
    text = subprocess.run([binary(), "crds"], check=True, capture_output=True, text=True).stdout
    cluster.kubectl("apply", "-f", "-", input=text)
    for plural in PLURAL.values():
        wait_for(lambda p=plural: cluster.request("GET", f"{GROUP}/{p}").status == 200, f"{plural} to be served")


class Crds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared_cluster()
        install(cls.c)

    def setUp(self):
        self.ns = self.c.namespace()

    def kubectl(self, *arguments, **how):
        return self.c.kubectl(*arguments, "-n", self.ns, **how)

    def path(self, kind, name=""):
        return f"{GROUP}/namespaces/{self.ns}/{PLURAL[kind]}" + (f"/{name}" if name else "")

    def make(self, kind, spec=None, name=None):
        """Creates an object by the API and returns it."""
        answer = self.post(kind, spec, name)
        self.assertEqual(answer.status, 201, answer)
        return answer.json

    def post(self, kind, spec, name=None):
        body = {"apiVersion": "konductor.io/v1", "kind": kind, "metadata": {"name": name or "x" + uuid.uuid4().hex[:12]}}
        if spec is not None:
            body["spec"] = spec
        return self.c.request("POST", self.path(kind) + "?fieldValidation=Strict", body)

    def put_status(self, obj, status):
        """Replaces the status as the store does; the answer."""
        name = obj["metadata"]["name"]
        body = {**obj, "status": status}
        body["metadata"] = {key: obj["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        return self.c.request("PUT", self.path(obj["kind"], name) + "/status?fieldManager=konductor-holder", body)

    def write(self, obj, status):
        answer = self.put_status(obj, status)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def refused(self, answer, words):
        self.assertEqual(answer.status, 422, answer)
        self.assertIn(words, answer.json["message"])


class TheDefinitions(Crds):
    def test_are_established_and_have_no_complaint(self):
        for crd in crd_list()["items"]:
            got = self.c.ask_ok("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + crd["metadata"]["name"])
            conditions = {each["type"]: each["status"] for each in got["status"]["conditions"]}
            self.assertEqual((conditions["Established"], conditions["NamesAccepted"]), ("True", "True"))
            self.assertNotIn("NonStructuralSchema", conditions)

    def test_are_unchanged_when_they_are_applied_again(self):
        for path in ("deploy/crds.yaml",):
            said = self.c.kubectl("apply", "--dry-run=server", "-f", str(ROOT / path)).stdout
            self.assertEqual(said.count("unchanged"), 3, said)

    def test_have_short_names_and_one_category(self):
        self.make("Lease", {"ttl": "10s"}, "l")
        self.make("Once", None, "o")
        self.make("Record", {"kind": "Semaphore"}, "semaphore.s")
        for short, full in {"klease": "lease.konductor.io/l", "leases.konductor.io": "lease.konductor.io/l",
                            "once": "once.konductor.io/o", "konce": "once.konductor.io/o",
                            "krecord": "record.konductor.io/semaphore.s"}.items():
            self.assertEqual(self.kubectl("get", short, "-o", "name").stdout.split(), [full])
        self.assertEqual(len(self.kubectl("get", "konductor", "-o", "name").stdout.split()), 3)

    def test_explain_every_field(self):
        for field, words in {"klease.spec.ttl": "Go duration", "klease.status.fence": "never goes back",
                             "once.spec.mode": "AtMostOnce", "once.status.history": "Versions executed before",
                             "krecord.spec.kind": "Semaphore"}.items():
            self.assertIn(words, " ".join(self.c.kubectl("explain", field).stdout.split()))


class Manifests(Crds):
    def test_of_the_documents_are_taken_and_read_pending_or_available(self):
        items = [{"apiVersion": "konductor.io/v1", "kind": kind, "metadata": {"name": name}, **({"spec": spec} if spec else {})}
                 for kind, objects in MANIFESTS.items() for name, spec in objects.items()]
        self.kubectl("apply", "-f", "-", input={"apiVersion": "v1", "kind": "List", "items": items})
        for kind, phase in (("Lease", "Available"), ("Once", "Pending")):
            got = self.c.ask_ok("GET", self.path(kind))["items"]
            self.assertEqual({each["metadata"]["name"] for each in got}, set(MANIFESTS[kind]))
            self.assertEqual({json.dumps(each["status"]) for each in got}, {json.dumps({"phase": phase})})

    def test_may_show_a_status_which_is_not_taken(self):
        self.kubectl("apply", "-f", "-", input={
            "apiVersion": "konductor.io/v1", "kind": "Lease", "metadata": {"name": "shown"}, "spec": {"ttl": "10m", "priority": 1},
            "status": {"holder": "pod-xyz-123", "acquired": "2024-01-15T10:30:00Z", "expires": "2024-01-15T10:40:00Z",
                       "phase": "Held", "conditions": [{"type": "Ready", "status": "True", "reason": "LeaseReady"}]}})
        self.kubectl("apply", "-f", "-", input={
            "apiVersion": "konductor.io/v1", "kind": "Once", "metadata": {"name": "shown"}, "spec": {"ttl": "1h"},
            "status": {"executed": True, "executor": "pod-xyz-123", "executedAt": "2024-01-15T10:30:00Z",
                       "phase": "Executed", "conditions": [{"type": "Ready", "status": "True", "reason": "OnceReady"}]}})
        self.assertEqual(self.c.ask_ok("GET", self.path("Lease", "shown"))["status"], {"phase": "Available"})
        self.assertEqual(self.c.ask_ok("GET", self.path("Once", "shown"))["status"], {"phase": "Pending"})

    def test_may_be_applied_again_while_held(self):
        manifest = {"apiVersion": "konductor.io/v1", "kind": "Lease", "metadata": {"name": "again"}, "spec": {"ttl": "10m"}}
        self.kubectl("apply", "-f", "-", input=manifest)
        held = {"phase": "Held", "holder": "a", "session": "s", "fence": 5, "op": "s:1", "ttlMs": 600000}
        self.write(self.c.ask_ok("GET", self.path("Lease", "again")), held)
        self.kubectl("apply", "-f", "-", input={**manifest, "spec": {"ttl": "20m"}})
        got = self.c.ask_ok("GET", self.path("Lease", "again"))
        self.assertEqual((got["spec"]["ttl"], got["status"]), ("20m", held))

    def test_may_be_applied_by_server_side_apply(self):
        manifest = {"apiVersion": "konductor.io/v1", "kind": "Once", "metadata": {"name": "ssa"}, "spec": {"version": "1"}}
        self.kubectl("apply", "--server-side", "-f", "-", input=manifest)

    def test_take_every_spelling_of_a_duration(self):
        for ttl in ("3s", "3000ms", "1h30m", "1.5h", ".5h", "1.h", "+10m", "3000000µs", "3000000us", "2540400h"):
            self.make("Lease", {"ttl": ttl})
        self.make("Once", {"ttl": "1ns", "backoff": "0"})

    def test_with_a_mistake_are_refused_with_what_was_wrong(self):
        for kind, spec, words in [
            ("Lease", None, "spec: Required value"),
            ("Lease", {}, "spec.ttl: Required value"),
            ("Lease", {"ttl": "10 minutes"}, '"10 minutes" is not a duration; write for example 15s'),
            ("Lease", {"ttl": "15"}, '"15" is not a duration'),
            ("Lease", {"ttl": "-5s"}, '"-5s" is not a duration'),
            ("Lease", {"ttl": "1d"}, '"1d" is not a duration'),
            ("Lease", {"ttl": "2.9s"}, '"2.9s" is too short; a lease lasts at least 3s'),
            ("Lease", {"ttl": "0"}, '"0" is too short; a lease lasts at least 3s'),
            ("Lease", {"ttl": "2540401h"}, '"2540401h" is longer than 290 years'),
            ("Lease", {"ttl": "10s", "queueMax": -1}, "spec.queueMax"),
            ("Lease", {"ttl": "10s", "priority": 2 ** 31}, "spec.priority"),
            ("Once", {"ttl": "0s"}, '"0s" is too short; a record is kept for more than 0s'),
            ("Once", {"backoff": "soon"}, '"soon" is not a duration'),
            ("Once", {"maxAttempts": 0}, "spec.maxAttempts"),
            ("Once", {"mode": "ExactlyOnce"}, "spec.mode: Unsupported value"),
            ("Once", {"version": "a b"}, '"a b" has a space or a character that is not printable ASCII'),
            ("Once", {"version": "v" * 129}, "spec.version: Too long"),
            ("Once", {"mode": "AtMostOnce", "ttl": "1h"}, "AtMostOnce work cannot have a ttl"),
            ("Once", {"mode": "AtMostOnce", "maxAttempts": 2}, "maxAttempts can only be 1"),
        ]:
            with self.subTest(kind=kind, spec=spec):
                self.refused(self.post(kind, spec), words)

    def test_with_an_unknown_field_are_refused_by_kubectl_and_cut_by_others(self):
        spec = {"ttl": "10s", "prioritiy": 5}
        answer = self.post("Lease", spec)
        self.assertEqual((answer.status, 'unknown field "spec.prioritiy"' in answer.json["message"]), (400, True), answer)
        body = {"apiVersion": "konductor.io/v1", "kind": "Lease", "metadata": {"name": "cut"}, "spec": spec}
        self.assertEqual(self.c.ask_ok("POST", self.path("Lease"), body)["spec"], {"ttl": "10s", "renewable": True})

    def test_cannot_take_at_most_once_back(self):
        once = self.make("Once", {"mode": "AtMostOnce"})
        path = self.path("Once", once["metadata"]["name"])
        for spec in ({"mode": "AtLeastOnce"}, {"mode": None}):
            self.refused(self.c.request("PATCH", path, {"spec": spec}), "AtMostOnce cannot be taken back")
        self.refused(self.c.request("PATCH", path, {"spec": None}), "AtMostOnce cannot be taken back")
        self.assertEqual(self.c.request("PATCH", path, {"spec": {"version": "2"}}).status, 200)
        weak = self.make("Once", {"mode": "AtLeastOnce"})
        path = self.path("Once", weak["metadata"]["name"])
        self.assertEqual(self.c.request("PATCH", path, {"spec": {"mode": "AtMostOnce"}}).status, 200)


class Records(Crds):
    def test_keep_what_a_policy_writes(self):
        record = self.make("Record", {"kind": "Semaphore", "data": {"permits": 3, "deep": {"er": [1]}}}, "semaphore.reports")
        self.assertEqual(record["spec"]["data"], {"permits": 3, "deep": {"er": [1]}})
        status = {"op": "s:1", "fence": 7, "holders": [{"id": "a", "session": "s", "fence": 7}], "own": {"x": True}}
        self.assertEqual(self.write(record, status)["status"], status)

    def test_have_a_name_that_begins_with_their_kind(self):
        self.refused(self.post("Record", {"kind": "Semaphore"}, "mutex.reports"), "the name of a record is its kind")
        self.refused(self.post("Record", {"kind": "Semaphore"}, "semaphore"), "the name of a record is its kind")

    def test_are_of_one_kind_for_ever(self):
        self.make("Record", {"kind": "Semaphore"}, "semaphore.x")
        path = self.path("Record", "semaphore.x")
        self.refused(self.c.request("PATCH", path, {"spec": {"kind": "SEMAPHORE"}}), "the kind of a record never changes")
        for kind in ("Lease", "Once"):
            self.refused(self.post("Record", {"kind": kind}, kind.lower() + ".x"), "are kinds of their own")
        self.refused(self.post("Record", {"kind": "semaphore"}, "semaphore.y"), "is not a kind")


class WhatPoliciesWrite(Crds):
    def test_is_never_refused_and_never_cut(self):
        walk = subprocess.run(["luajit", "tests/lua/lib/walk.lua", "9", "60"], cwd=ROOT, check=True, capture_output=True,
                              text=True, env={**os.environ, "LUA_PATH": "lua/?.lua;lua/?/init.lua;;"}).stdout
        obj, seen = None, set()
        for line in walk.splitlines():
            step = json.loads(line)
            if "kind" in step:
                obj = self.make(step["kind"], step["spec"] or None)
                continue
            seen.add(step["step"])
            obj = self.write(obj, step["status"])
            kept = {key: obj["status"].get(key) for key in step["status"]}
            self.assertEqual(kept, step["status"], step["step"])
        self.assertEqual(len(seen), 17, seen)  # every write of both policies

    def test_may_have_fields_of_a_newer_konductor(self):
        once = self.write(self.make("Once"), {"op": "s:1", "fence": 3, "novel": {"a": [1, {"b": 2}]}})
        self.assertEqual(once["status"]["novel"], {"a": [1, {"b": 2}]})

    def test_may_fill_a_queue_and_a_history_to_their_limits(self):
        waiters = [{"id": f"pod-{i}", "session": f"{i:032x}", "prio": 0} for i in range(1000)]
        held = {"phase": "Held", "holder": "h" * 253, "session": "s", "fence": 2 ** 53 - 1, "op": "s:1", "waiters": waiters}
        lease = self.write(self.make("Lease", {"ttl": "10s", "queueMax": 1000}), held)
        self.refused(self.put_status(lease, {**held, "waiters": waiters + waiters[:1]}), "status.waiters: Too many")
        history = [{"version": "v" * 128, "executor": "e" * 253, "executedAt": "2026-01-01T00:00:00.000000Z"}] * 32
        once = self.write(self.make("Once"), {"phase": "Pending", "history": history, "lastError": "x" * 256})
        self.refused(self.put_status(once, {"phase": "Pending", "history": history + history[:1]}), "status.history: Too many")

    def test_says_which_version_of_the_spec_was_seen(self):
        env = {**os.environ, **self.c.environment()}
        for generation in (1, 2):
            argv = [binary(), "run", "@leader", "--store", "kube", "-n", self.ns, "--listen", "off", "--", "true"]
            subprocess.run(argv, env=env, check=True, capture_output=True, timeout=60)
            got = self.c.ask_ok("GET", self.path("Lease", "leader"))
            self.assertEqual((got["metadata"]["generation"], got["status"]["observedGeneration"]), (generation, generation))
            self.kubectl("patch", "klease", "leader", "--type=merge", "-p", '{"spec":{"priority":50}}')

    def test_is_served_at_its_phase_by_columns(self):
        self.write(self.make("Lease", {"ttl": "10s", "priority": 4}, "held"), {
            "phase": "Held", "holder": "pod-a", "session": "s", "fence": 9, "op": "s:1", "renewals": 3,
            "expires": "2199-01-01T00:00:00.000000Z"})
        head, row = (line.split() for line in self.kubectl("get", "klease", "-o", "wide").stdout.splitlines())
        self.assertEqual(head, "NAME PHASE HOLDER EXPIRES RENEWALS TTL FENCE PRIORITY AGE".split())
        self.assertEqual(row[:-1], "held Held pod-a 2199-01-01T00:00:00.000000Z 3 10s 9 4".split())
        self.write(self.make("Once", {"ttl": "24h"}, "done"), {
            "phase": "Executed", "executed": True, "executor": "pod-a", "version": "1.2", "fence": 9, "op": "s:1"})
        head, row = (line.split() for line in self.kubectl("get", "once").stdout.splitlines())
        self.assertEqual(head, "NAME PHASE EXECUTED EXECUTOR VERSION TTL AGE".split())
        self.assertEqual(row[:-1], "done Executed true pod-a 1.2 24h".split())


class WhatNobodyMayWrite(Crds):
    def held(self):
        return self.write(self.make("Lease", {"ttl": "10m"}), {
            "phase": "Held", "holder": "pod-a", "session": "sa", "bound": "process", "fence": 9, "op": "sa:1", "ttlMs": 600000})

    def claimed(self):
        return self.write(self.make("Once"), {
            "phase": "Pending", "executed": False, "executor": "pod-a", "session": "sa", "bound": "process", "fence": 9,
            "op": "sa:1", "ttlMs": 15000, "version": "1", "attempts": 1})

    def refuse(self, obj, change, words):
        status = {key: value for key, value in {**obj["status"], **change}.items() if value is not None}
        with self.subTest(kind=obj["kind"], change=change):
            self.refused(self.put_status(obj, status), words)

    def test_a_fence_that_goes_back_or_vanishes(self):
        for obj in (self.held(), self.claimed()):
            self.refuse(obj, {"fence": 8}, "fence never goes back")
            self.refuse(obj, {"fence": None}, "fence never goes back")
            self.refused(self.put_status(obj, None), "fence never goes back")

    def test_a_hold_that_changes_hands_without_a_greater_fence(self):
        for obj, who in ((self.held(), "holder"), (self.claimed(), "executor")):
            self.refuse(obj, {who: "pod-b"}, f"another {who} needs a greater fence")
            self.refuse(obj, {"session": "sb"}, "only with a greater fence")
            self.write(obj, {**obj["status"], who: "pod-b", "session": "sb", "fence": 10})
        self.refuse(self.make("Lease", {"ttl": "10m"}), {"phase": "Held", "holder": "me"}, "another holder needs a greater fence")

    def test_a_status_that_contradicts_itself(self):
        lease = self.held()
        self.refuse(lease, {"holder": ""}, "phase Held needs a holder")
        self.refuse(lease, {"holder": None}, "phase Held needs a holder")
        self.refuse(lease, {"phase": "Available"}, "phase Available contradicts the holder")
        self.refuse(lease, {"phase": "Taken"}, "status.phase: Unsupported value")
        once = self.claimed()
        self.refuse(once, {"executed": True}, "executed and phase contradict each other")
        self.refuse(once, {"phase": "Executed"}, "executed and phase contradict each other")
        self.refuse(once, {"phase": "Executed", "executed": None}, "executed and phase contradict each other")

    def test_conditions_of_one_type_twice(self):
        ready = {"type": "Ready", "status": "True"}
        self.refuse(self.held(), {"conditions": [ready, ready]}, "Duplicate value")

    def test_values_that_no_reader_understands(self):
        lease = self.held()
        for change in ({"fence": 2 ** 53}, {"ttlMs": 0}, {"renewals": -1}, {"bound": "hope"}, {"expires": "tomorrow"},
                       {"holder": "h" * 254}, {"waiters": [{"id": "a"}]}):
            self.refuse(lease, change, "status." + next(iter(change)))


class Operators(Crds):
    """What a person does with kubectl when something is stuck."""

    def test_force_a_lease_free(self):
        lease = self.write(self.make("Lease", {"ttl": "10m"}, "my-lease"), {
            "phase": "Held", "holder": "pod-a", "session": "sa", "fence": 9, "op": "sa:1", "ttlMs": 600000})
        said = self.kubectl("get", "klease", "my-lease", "-o", "jsonpath={.status.holder}").stdout
        self.assertEqual(said, "pod-a")
        patch = '{"status":{"phase":"Available","holder":""}}'
        self.kubectl("patch", "leases.konductor.io", "my-lease", "--subresource=status", "--type=merge", "-p", patch)
        got = self.c.ask_ok("GET", self.path("Lease", "my-lease"))
        self.assertEqual(got["status"], {**lease["status"], "phase": "Available", "holder": ""})
        self.write(got, {"phase": "Held", "holder": "pod-b", "session": "sb", "fence": 10, "op": "sb:1", "ttlMs": 600000})

    def test_change_a_priority(self):
        self.make("Lease", {"ttl": "10m", "priority": 1}, "my-lease")
        self.kubectl("patch", "klease", "my-lease", "--type=merge", "-p", '{"spec":{"priority":50}}')
        self.assertEqual(self.kubectl("get", "klease", "my-lease", "-o", "jsonpath={.spec.priority}").stdout, "50")
        self.assertIn("my-lease", self.kubectl("describe", "klease", "my-lease").stdout)

    def test_look_at_a_once(self):
        self.write(self.make("Once", None, "my-once"), {
            "phase": "Executed", "executed": True, "executor": "pod-a", "executedAt": "2024-01-15T10:30:00Z", "op": "s:1"})
        for field, value in {"phase": "Executed", "executed": "true", "executor": "pod-a",
                             "executedAt": "2024-01-15T10:30:00Z"}.items():
            said = self.kubectl("get", "once", "my-once", "-o", f"jsonpath={{.status.{field}}}").stdout
            self.assertEqual(said, value)
        self.assertIn("pod-a", self.kubectl("describe", "once", "my-once").stdout)

    def test_mark_a_once_executed_or_to_be_done_again(self):
        self.make("Once", None, "my-once")
        for executed, phase in ((True, "Executed"), (False, "Pending")):
            patch = json.dumps({"status": {"executed": executed, "phase": phase, "executor": "a person" if executed else ""}})
            self.kubectl("patch", "once", "my-once", "--subresource=status", "--type=merge", "-p", patch)
            self.assertEqual(self.c.ask_ok("GET", self.path("Once", "my-once"))["status"]["phase"], phase)
            script = 'require("konductor").once "my-once" { run = { "echo", "it runs" } }'
            done = subprocess.run([binary(), "run", "-", "--store", "kube", "-n", self.ns, "--listen", "off"], input=script,
                                  env={**os.environ, **self.c.environment()}, capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout), (0, "" if executed else "it runs\n"), done.stderr)

    def test_cannot_change_a_status_by_the_way_for_specs(self):
        self.make("Lease", {"ttl": "10m"}, "my-lease")
        self.c.request("PATCH", self.path("Lease", "my-lease"), {"status": {"phase": "Held", "holder": "me"}})
        self.assertEqual(self.c.ask_ok("GET", self.path("Lease", "my-lease"))["status"], {"phase": "Available"})


if __name__ == "__main__":
    unittest.main()
