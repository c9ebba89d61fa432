"""Objects that somebody has damaged, on a real API server: a list shows all others, and these as what they are."""

import json
import subprocess
import unittest

import lib
from kube.faults import FaultTest

PATCH = {"Content-Type": "application/merge-patch+json"}


class Damaged(FaultTest):
    def koncli(self, *args):
        koncli = self.cluster.directory / "koncli"
        if not koncli.exists():
            koncli.symlink_to(lib.binary())
        return subprocess.run([koncli, *args], capture_output=True, text=True, timeout=60 * lib.PATIENCE, check=False,
                              env=self.cluster.env(self.env()))

    def done_onces(self, *names):
        script = "".join(f'require "konductor".once "{name}" {{ run = {{ "true" }} }}\n' for name in names)
        self.assertEqual(self.start(script).wait(), 0)

    def leases(self, *names):
        """Leases that were held and given up."""
        script = "".join(f'k.lease("{name}"):with({{ ttl = "3s" }}, function() end)\n' for name in names)
        self.assertEqual(self.start('local k = require "konductor"\n' + script).wait(), 0)

    def damage(self, path, change):
        self.c.ask_ok("PATCH", path, change, headers=PATCH)

    def assert_listed(self, kind, rows, damaged, *words):
        """All of them, in every form; the words are told of the damaged one, and of nothing else."""
        noun = kind.lower()
        text = self.koncli(noun, "list")
        self.assertEqual([line.split()[:2] for line in text.stdout.splitlines()[1:]], rows, text)
        inform = self.koncli(noun, "list", "-o", "json")
        items = json.loads(inform.stdout)["items"]
        self.assertEqual([i["metadata"]["name"] for i in items], [row[0] for row in rows])
        self.assertEqual([i["metadata"]["name"] for i in items if "damage" in i], [damaged])
        names = self.koncli(noun, "list", "-o", "name")
        self.assertEqual(names.stdout.split(), [f"{noun}.konductor.io/{row[0]}" for row in rows])
        for done in (text, inform, names):
            self.assertEqual(done.returncode, 1, done)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            for word in (f"koncli {noun} list: ", damaged, *words, "mend the object or delete it"):
                self.assertIn(word, done.stderr)


    def assert_at_a_glance(self, *rows):
        said = self.koncli("status")
        self.assertEqual([line.split()[:2] for line in said.stdout.splitlines()[1:len(rows) + 1]], list(rows), said)
        self.assertEqual(said.returncode, 0, said)


class CustomResources(Damaged):
    def test_a_once_whose_status_says_what_cannot_be_hides_no_other(self):
        self.done_onces("a", "c")
        self.c.ask_ok("POST", self.path("Once", "").rstrip("/"), {
            "apiVersion": "konductor.io/v1", "kind": "Once", "metadata": {"name": "b"}, "spec": {}})
        self.damage(self.path("Once", "b") + "/status", {"status": {"session": "x", "fence": 7}})
        self.assert_listed("Once", [["a", "Executed"], ["b", "Damaged"], ["c", "Executed"]], "b", "Once b: status.ttlMs")

    def test_a_lease_whose_queue_says_what_cannot_be_is_not_damaged(self):
        self.leases("a", "b")
        self.damage(self.path("Lease", "b") + "/status",
                    {"status": {"waiters": [{"id": "pod", "session": "", "prio": 1}]}})
        said = self.koncli("lease", "list")
        self.assertEqual([line.split()[:2] for line in said.stdout.splitlines()[1:]], [["a", "Available"], ["b", "Available"]])
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        self.assertRegex(self.koncli("lease", "status", "b").stdout, r"Waiting +0, and what is no waiter\n")

    def test_a_nul_in_a_text_of_one_hides_no_other(self):
        self.done_onces("a", "b", "c")
        self.damage(self.path("Once", "b") + "/status", {"status": {"lastError": "x\0y"}})
        self.assert_listed("Once", [["a", "Executed"], ["b", "Damaged"], ["c", "Executed"]], "b", "a NUL character")
        self.assert_at_a_glance(["a", "Executed"], ["b", "Damaged"], ["c", "Executed"])


class LeasesAlone(Damaged):
    store = "kube-lease"

    def test_a_nul_in_an_annotation_of_one_hides_no_other(self):
        self.leases("a", "b", "c")
        self.damage(self.path(name="b"), {"metadata": {"annotations": {"example.org/note": "x\0y"}}})
        self.assert_at_a_glance(["a", "Available"], ["b", "Damaged"], ["c", "Available"])

    def test_a_once_whose_annotation_is_broken_hides_no_other(self):
        self.done_onces("a", "b", "c")
        self.damage(self.path(name="once.b"), {"metadata": {"annotations": {"konductor.io/status": "{{{"}}})
        self.assert_listed("Once", [["a", "Executed"], ["b", "Damaged"], ["c", "Executed"]], "b",
                           "the Lease once.b", "konductor.io/status is damaged: not JSON")

    def test_a_lease_whose_annotation_is_broken_hides_no_other(self):
        self.leases("a", "b", "c")
        self.damage(self.path(name="b"), {"metadata": {"annotations": {"konductor.io/status": "[]"}}})
        self.assert_listed("Lease", [["a", "Available"], ["b", "Damaged"], ["c", "Available"]], "b",
                           "konductor.io/status is damaged: no JSON object")

    def test_a_spec_that_is_not_json_hides_no_other(self):
        self.leases("a", "b", "c")
        self.damage(self.path(name="b"), {"metadata": {"annotations": {"konductor.io/spec": "ttl=3s"}}})
        self.assert_listed("Lease", [["a", "Available"], ["b", "Damaged"], ["c", "Available"]], "b", "the spec of Lease b")

    def test_a_lease_that_borrows_the_label_of_a_once_is_listed_by_the_name_that_it_has(self):
        self.done_onces("a")
        self.c.ask_ok("POST", f"/apis/coordination.k8s.io/v1/namespaces/{self.ns}/leases", {
            "metadata": {"name": "foreign", "labels": {"konductor.io/kind": "Once"}}, "spec": {}})
        self.assert_listed("Once", [["a", "Executed"], ["foreign", "Damaged"]], "foreign", "its name is another's")

    def test_nobody_takes_what_is_damaged(self):
        """A record that a list shows is not for that a free one."""
        self.leases("boss")
        self.damage(self.path(), {"metadata": {"annotations": {"konductor.io/status": "{{{"}}})
        a = self.lease("a")
        self.assertEqual(a.wait(), 78)
        self.assertEqual(a.events("start"), [])


if __name__ == "__main__":
    unittest.main()
