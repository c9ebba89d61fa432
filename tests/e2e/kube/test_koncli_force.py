"""What koncli does by force, on a real API server: what it says of it, and who is told."""

import unittest

from kube.test_badinput_kube import BadInput
from lib import wait_for

FINALIZER = "example.com/backup"


class Force(BadInput):

    def made(self, kind="Lease", name="boss"):
        """An object that nobody has."""
        self.c.ask_ok("POST", self.path(kind, "").rstrip("/"), {
            "apiVersion": "konductor.io/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"ttl": "15s"} if kind == "Lease" else {}})

    def done(self, *args, **how):
        done = self.koncli(*args, **how)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout


class Deleting(Force):
    def test_what_a_finalizer_keeps_is_not_said_to_be_gone(self):
        for kind, name, options in (("Lease", "boss", ()), ("Lease", "boss", ("--force",)), ("Once", "page", ("--force",))):
            with self.subTest((kind, options)):
                self.made(kind, name)
                self.finalizers([FINALIZER], kind, name)
                said = self.done(kind.lower(), "delete", name, *options)
                self.assertEqual(said, f'{kind} "{name}" is to be deleted: it stays until its finalizers are removed\n')
                self.assertIn("deletionTimestamp", self.object(kind, name)["metadata"])
                self.assertEqual(self.done(kind.lower(), "delete", name, "-o", "name"), f"{kind.lower()}.konductor.io/{name}\n")
                self.finalizers([], kind, name)
                self.koncli_says(["there is no"], kind.lower(), "delete", name, code=2)

    def test_what_is_gone_is_said_to_be_deleted(self):
        self.made()
        self.assertEqual(self.done("lease", "delete", "boss"), 'Lease "boss" deleted\n')


class Taking(Force):
    def take(self, **how):
        """From a, by force."""
        self.made()
        self.done("lease", "acquire", "boss", "--holder", "a")
        done = self.koncli("lease", "release", "boss", "--force", "--holder", "operator", **how)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        self.assertIn('Lease "boss" taken from "a"', done.stdout)

    def events(self):
        uid = self.object()["metadata"]["uid"]
        found = self.c.ask_ok("GET", f"/apis/events.k8s.io/v1/namespaces/{self.ns}/events")["items"]
        return [e for e in found if e["regarding"].get("uid") == uid]

    def test_a_release_by_force_is_an_event_of_the_lease(self):
        self.take()
        event, = wait_for(self.events, what="the event")
        self.assertEqual(event["reason"], "Revoked")
        self.assertEqual((event["type"], event["regarding"]["kind"]), ("Warning", "Lease"))
        self.assertRegex(event["note"], r"^operator took it by force from a, who had it under fence \d+$")


    def test_who_may_not_write_events_takes_it_all_the_same(self):
        rules = [{"apiGroups": ["konductor.io"], "resources": ["leases", "leases/status"], "verbs": ["get", "update"]}]
        token = self.c.service_account(self.ns, "operator", rules)
        self.take(kubeconfig=self.c.kubeconfig(user=f"{self.ns}-operator", token=token, namespace=self.ns))
        self.assertEqual(self.events(), [])


# The tests of the base class belong to its own file.
del BadInput, Force

if __name__ == "__main__":
    unittest.main()
