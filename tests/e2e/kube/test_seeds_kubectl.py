"""kubectl's lines for a Once, a Lease and a Job, as printed and with the names that reach ours, on a real API server."""

import json
import os
import subprocess
import unittest

from koncli_steps import Steps
from kube.test_koncli_steps import OnServer
from lib import PATIENCE
from seeds.recipes import lines_of, text_of


class Kubectl(Steps, OnServer):
    def setUp(self):
        super().setUp()
        (self.cluster.directory / "bin").mkdir()
        (self.cluster.directory / "bin" / "kubectl").symlink_to(self.c.programs.kubectl)
        self.outside = {**self.c.environment(), "KUBECONFIG": str(self.c.kubeconfig(namespace=self.ns)),
                        "PATH": f"{self.cluster.directory}/bin:{os.environ['PATH']}"}

    def line(self, command, code=0):
        done = subprocess.run(["bash", "-c", command], cwd=self.cluster.directory, env=self.environment(self.outside),
                              text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120 * PATIENCE, check=False)
        self.assertEqual(done.returncode, code, (command, done.stderr))
        return done.stdout if code == 0 else done.stderr

    def object(self, resource, name="my-lease"):
        return json.loads(self.line(f"kubectl get {resource} {name} -o json"))

    # Onces.

    def test_each_line_of_a_once_shows_what_it_asks_for(self):
        whole, phase, executed, executor, executed_at, described = lines_of("once/kubectl.bash")
        self.ok("once", "create", "my-once")
        self.assertIn("phase: Pending\n", self.line(whole))
        self.assertEqual([self.line(line) for line in (phase, executed, executor)], ["Pending", "", ""])
        self.assertEqual(self.koncli("once", "run", "my-once", "--holder", "pod-1", "--", "true").returncode, 0)
        self.assertIn("executed: true\n", self.line(whole))
        self.assertEqual([self.line(line) for line in (phase, executed, executor)], ["Executed", "true", "pod-1"])
        self.assertRegex(self.line(executed_at), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
        self.assertRegex(self.line(described), r"Executor: +pod-1\n")

    # Leases.

    def test_no_printed_line_of_a_lease_finds_ours(self):
        self.taken("lease", "acquire", "my-lease", "--holder", "a")
        before = self.object("leases.konductor.io")
        for command in lines_of("lease/kubectl.bash"):
            with self.subTest(command):
                self.assertIn('leases.coordination.k8s.io "my-lease" not found', self.line(command, 1))
        self.assertEqual(self.object("leases.konductor.io"), before)

    def test_on_the_other_kind_the_printed_lines_show_nothing_and_change_nothing(self):
        self.ok("lease", "create", "my-lease", "--store", "kube-lease")
        before = self.object("lease")
        holder, expires, free, described, priority, raise_it = lines_of("lease/kubectl.bash")
        for command in (holder, expires, priority):
            self.assertEqual(self.line(command), "")
        for command in (free, raise_it):
            self.assertIn("patched (no change)", self.line(command))
        self.assertIn("coordination.k8s.io/v1", self.line(described))
        self.assertEqual(self.object("lease"), before)

    def test_each_line_with_the_name_of_our_kind_does_what_it_says(self):
        token = self.taken("lease", "acquire", "my-lease", "--holder", "a")
        holder, expires, free, described, priority, raise_it = lines_of("safe/kubectl-lease.bash")
        self.assertEqual(self.line(holder), "a")
        self.assertRegex(self.line(expires), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
        self.assertRegex(self.line(described), r"Phase: +Held\n")
        self.line(raise_it)
        self.assertEqual(self.line(priority), "50")
        self.line(free)
        self.assertEqual((self.line(holder), self.object("leases.konductor.io")["status"]["phase"]), ("", "Available"))
        self.refused(5, "lease", "renew", "my-lease", "--holder", "a")
        self.assertGreater(self.taken("lease", "acquire", "my-lease", "--holder", "b"), token)

    def test_a_patch_of_the_status_that_does_not_name_it_changes_nothing(self):
        self.taken("lease", "acquire", "my-lease", "--holder", "a")
        free = lines_of("safe/kubectl-lease.bash")[2].replace(" --subresource=status", "")
        self.assertIn("patched (no change)", self.line(free))
        self.assertEqual(self.status("lease", "my-lease")["holder"], "a")

    def test_a_leader_whose_lease_is_freed_by_kubectl_stops(self):
        leader = self.leader("boss-1")
        fence = leader.wait_event("start")["fence"]
        self.line(lines_of("safe/kubectl-lease.bash")[2].replace("my-lease", "boss"))
        self.assertEqual(leader.wait_event("stop")["fence"], fence)

    def test_a_holder_that_is_a_pod_is_found_among_the_pods(self):
        core = f"/api/v1/namespaces/{self.ns}"
        self.c.ask_ok("POST", f"{core}/serviceaccounts", {"metadata": {"name": "default"}})
        self.c.ask_ok("POST", f"{core}/pods", {"metadata": {"name": "pod-1"}, "spec": {
            "automountServiceAccountToken": False, "containers": [{"name": "app", "image": "app"}]}})
        self.taken("lease", "acquire", "my-lease", "--holder", "pod-1")
        holder = lines_of("safe/kubectl-lease.bash")[0]
        self.assertIn("pod-1 ", self.line(f'kubectl get pods | grep "$({holder})"'))

    # Jobs.

    def test_a_job_is_made_again_by_deleting_it_and_not_from_itself(self):
        (self.cluster.directory / "my-job.yaml").write_text(text_of("job/run-once.yaml"), encoding="utf-8")
        make, remove, again, copy = lines_of("job/kubectl.bash")
        for command, said in ((make, "created"), (make, "unchanged"), (remove, "deleted"), (again, "created")):
            self.assertIn(said, self.line(command))
        self.assertIn("unknown object type *v1.Job", self.line(copy, 1))


del OnServer, Steps

if __name__ == "__main__":
    unittest.main()
