"""What a replica costs the API server, counted in its audit log: exact numbers, so that one request more is seen."""

import collections
import os
import subprocess
import unittest

from kube.test_rbac import Rights
from lib import PATIENCE, binary, wait_for

FLOW = """
local k = require "konductor"
k.flow "shop" {
  k.stage "migrate" { run = { "true" }, version = "1" },
  k.stage "seed" { after = "migrate", run = { "true" }, version = "1" },
  k.stage "warm" { after = "seed", run = { "true" }, version = "1" },
}
"""
ONCE = """
local k = require "konductor"
k.once "page" { run = { "true" }, version = "%s" }
"""
LEADER = """
local k = require "konductor"
k.lease "boss" { ttl = "3s", main = { "sleep", "1000" } }
"""


class Requests(Rights):
    status = "/status"

    def setUp(self):
        super().setUp()
        self.processes = []
        self.addCleanup(self.end_processes)

    def end_processes(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60 * PATIENCE)

    def user(self, number):
        return f"system:serviceaccount:{self.ns}:sa{number}"

    def sent(self, mark, number=1):
        """How often the service account of that number sent what, e.g. {"get onces": 1}."""
        def line(event):
            ref = event["objectRef"]
            return f"{event['verb']} {ref['resource']}" + ("/" + ref["subresource"] if "subresource" in ref else "")
        events = self.c.audit(mark, stage="RequestReceived", user=self.user(number))
        return dict(collections.Counter(map(line, events)))

    def costs(self, script, account):
        """What one run of the script to its end sends."""
        mark = self.c.audit_mark()
        done = self.run_script(script, account)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.sent(mark)

    def candidate(self, script, said):
        """Starts a candidate as a service account of its own and waits until it has said so."""
        account = self.account(self.printed(script))
        log = self.directory / f"log{self.accounts}"
        with open(log, "wb") as err:
            self.processes.append(subprocess.Popen(
                [binary(), "run", str(script), "--store", self.store, "-n", self.ns, "--listen", "off"], stderr=err,
                stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": str(self.directory),
                                               "KUBECONFIG": str(account)}))
        wait_for(lambda: said in log.read_text(encoding="utf-8"), what=said)

    def of(self, kind):
        return kind if self.store == "kube" else "leases"

    def test_of_a_start_with_everything_done_are_one_question_and_one_get_a_stage(self):
        script = self.script(FLOW)
        account = self.account(self.printed(script))
        self.costs(script, account)
        for _ in range(2):
            self.assertEqual(self.costs(script, account),
                             {"create selfsubjectrulesreviews": 1, "get " + self.of("onces"): 3})

    def test_of_a_once_are_a_get_a_claim_and_a_completion(self):
        account = self.account(self.printed(self.script(ONCE % "1")))
        onces = self.of("onces")
        work = {"create selfsubjectrulesreviews": 1, "get " + onces: 1, f"update {onces}{self.status}": 2}
        first = self.claimed(self.script(ONCE % "1"), account)
        self.assertEqual(first, {**work, "create " + onces: 1})
        self.assertEqual(self.claimed(self.script(ONCE % "2"), account), work)

    def claimed(self, script, account):
        """What a run costs, without the one list and watch that it begins when it lasts longer than a moment, and the
        read of what these may have told."""
        costs = self.costs(script, account)
        onces = self.of("onces")
        begun = [costs.pop(verb + onces, 0) for verb in ("list ", "watch ")]
        self.assertLessEqual(max(begun), 1)
        if any(begun) and costs["get " + onces] == 2:
            costs["get " + onces] = 1
        return costs

    def test_of_a_holder_are_one_update_a_renewal_and_of_a_standby_none(self):
        script = self.script(LEADER)
        self.candidate(script, "boss: held, fence")
        self.candidate(script, "boss: held by")
        renewal = f"update leases{self.status}"
        wait_for(lambda: self.sent(None, 2).get("watch leases"), what="the watch of the standby")
        wait_for(lambda: self.sent(None, 2).get(renewal), what="the standby to queue")
        mark = self.c.audit_mark()
        # What the holder reads once because the standby's write came in between is over by its second renewal.
        wait_for(lambda: self.sent(mark).get(renewal, 0) >= 2, what="two renewals")
        mark = self.c.audit_mark()
        wait_for(lambda: self.sent(mark).get(renewal, 0) >= 4, what="four renewals")
        self.assertEqual(set(self.sent(mark)), {renewal})
        self.assertEqual(self.sent(mark, 2), {})


class RequestsOfCoordinationLeases(Requests):
    store = "kube-lease"
    status = ""


# The tests of the base class belong to its own file.
del Rights

if __name__ == "__main__":
    unittest.main()
