"""Kubernetes Events on a real API server: kubectl describe shows what happened to an object; without the right to write
them nothing else changes."""

import unittest

from kube.test_rbac import Rights
from lib import wait_for

ONCE = """
local k = require "konductor"
k.once "page" { run = { "sh", "-c", "exit %d" }, retries = 0 }
"""


class Events(Rights):
    def test_tell_of_grants_ends_and_failures(self):
        script = self.script(ONCE % 0)
        rules = self.printed(script, "--events")
        account = self.account(rules)
        self.assertEqual(self.run_script(script, account).returncode, 0)
        said = self.c.kubectl("describe", "once", "page", "-n", self.ns).stdout
        self.assertIn("Acquired", said)
        self.assertIn("Executed", said)
        self.c.kubectl("delete", "once", "page", "-n", self.ns)
        self.assertEqual(self.run_script(self.script(ONCE % 3), account).returncode, 1)
        said = self.c.kubectl("describe", "once", "page", "-n", self.ns).stdout
        self.assertIn("FailedForGood", said)
        self.assertIn("with exit code 3", said)
        self.assertIn("no attempt is left after 1: exit code 3", said, "the condition's message")

    def test_are_not_tried_without_the_right(self):
        script = self.script(ONCE % 0)
        account = self.account(self.printed(script))
        done = self.run_script(script, account)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("vent", done.stderr)
        user = f"system:serviceaccount:{self.ns}:sa{self.accounts}"
        wait_for(lambda: self.c.audit(user=user, verb="update", resource="onces"), what="the audit log")
        self.assertEqual(self.c.audit(user=user, resource="events"), [])


class EventsOfCoordinationLeases(Rights):
    store = "kube-lease"

    def test_are_about_the_coordination_lease(self):
        script = self.script(ONCE % 0)
        self.assertEqual(self.run_script(script, self.account(self.printed(script, "--events"))).returncode, 0)
        self.assertIn("Executed", self.c.kubectl("describe", "lease", "once.page", "-n", self.ns).stdout)


# The tests of the base class belong to its own file.
del Rights

if __name__ == "__main__":
    unittest.main()
