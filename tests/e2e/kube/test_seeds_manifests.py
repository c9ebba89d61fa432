"""Manifests of recipes, as printed and made safe, on a real API server.

There is no kubelet and no controller: a pod is a process with the command, environment and service account of the container
as the server has it, with no more rights than seeds/safe/rights.yaml gives."""

import json
import re
import unittest

from kube.test_koncli_steps import OnServer
from lib import wait_for
from seeds.recipes import HERE, Pods, script_of, text_of

RESTART = r'restartPolicy: Required value: valid values: "OnFailure", "Never"'
REFUSED = {"lease/cron-job.yaml": RESTART, "lease/migration-job.yaml": RESTART, "once/config-job.yaml": RESTART,
           "once/provision-job.yaml": RESTART, "once/init-container.yaml": r"spec\.selector: Required value"}
OURS = "leases.konductor.io,onces.konductor.io"
WORKLOADS = "cronjobs.batch,jobs.batch,deployments.apps"


def mended(name):
    """A printed manifest with the lines that the server demands, and the service account."""
    text = re.sub(r"^( +)((?:initC|c)ontainers:)", r"\1serviceAccountName: koncli\n\1\2", text_of(name), count=1,
                  flags=re.MULTILINE)
    if "kind: Deployment" in text:
        text = text.replace("  template:\n", "  selector: {matchLabels: {app: app}}\n  template:\n"
                            "    metadata: {labels: {app: app}}\n")
    else:
        text = text.replace("serviceAccountName:", "restartPolicy: Never\nserviceAccountName:")
        text = re.sub(r"^( +)(restartPolicy: Never)\n(service)", r"\1\2\n\1\3", text, flags=re.MULTILINE)
    return text


class Manifests(Pods, OnServer):
    def kubectl(self, *args, **how):
        return self.c.kubectl("-n", self.ns, *args, **how)

    def apply(self, text):
        self.kubectl("apply", "--validate=strict", "-f", "-", input=text.replace("namespace: default", f"namespace: {self.ns}"))

    def items(self, kinds):
        return json.loads(self.kubectl("get", kinds, "-o", "json").stdout)["items"]


class AsPrinted(Manifests):
    def test_each_of_our_objects_is_taken_and_begins_free_whatever_status_it_is_written_with(self):
        taken = 0
        for path in sorted([*HERE.glob("once/*.yaml"), *HERE.glob("lease/*.yaml")]):
            with self.subTest(path.name):
                text = path.read_text(encoding="utf-8").replace("namespace: default", f"namespace: {self.ns}")
                self.kubectl("apply", "-f", "-", input=text, check=str(path.relative_to(HERE)) not in REFUSED)
                objects = self.items(OURS)
                self.assertEqual(len(objects), text.count("apiVersion: konductor.io/v1"))
                for one in objects:
                    phase = {"Lease": "Available", "Once": "Pending"}[one["kind"]]
                    self.assertEqual(one["status"], {"phase": phase}, one["metadata"]["name"])
                    self.assertIn(phase, self.koncli(one["kind"].lower(), "status", one["metadata"]["name"]).stdout)
                taken += len(objects)
                self.kubectl("delete", OURS, "--all")
        self.assertEqual(taken, 19)

    def test_workloads_are_refused_for_the_lines_that_they_leave_out(self):
        for name, message in REFUSED.items():
            with self.subTest(name):
                done = self.kubectl("apply", "-f", "-", input=text_of(name), check=False)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, message)
        self.assertEqual(self.items(WORKLOADS), [])

    def test_the_job_without_koncli_is_taken(self):
        self.apply(text_of("job/run-once.yaml"))
        job, = self.items(WORKLOADS)
        self.assertEqual(job["spec"]["backoffLimit"], 0)
        container, = job["spec"]["template"]["spec"]["containers"]
        self.ends(self.start(None, argv=container["command"]))
        self.assertEqual(self.said_by("pod-1"), "Hello, run once.\n")

    def test_stages_whose_objects_were_made_before_run_in_their_order(self):
        self.apply(text_of("once/stages.yaml"))
        self.many(3, script_of("safe/stages.bash"))
        self.assertEqual(self.done(), ["run-migrations", "write-default-config", "initialize-app"] + ["start-app"] * 3)
        self.assertEqual([one["status"]["phase"] for one in self.items(OURS)], ["Executed"] * 3)

    def test_a_lease_that_is_not_renewable_is_not_renewed(self):
        self.apply(text_of("lease/objects.yaml"))
        self.taken("lease", "acquire", "app-init", "--holder", "a")
        self.assertIn("renewable: false", self.refused(5, "lease", "renew", "app-init", "--holder", "a"))
        self.taken("lease", "acquire", "service-leader", "--holder", "a")
        self.ok("lease", "renew", "service-leader", "--holder", "a")
        status = self.status("lease", "schema-migration") | self.json("lease", "schema-migration")["spec"]
        self.assertEqual((status["priority"], status["ttl"]), (100, "30m"))


class InPods(Manifests):
    def setUp(self):
        super().setUp()
        self.apply(text_of("safe/rights.yaml"))
        token = self.c.service_account_token(self.ns, "koncli")
        for rule in json.loads(self.kubectl("get", "role", "koncli", "-o", "json").stdout)["rules"]:
            self.c.wait_allowed(self.ns, token, rule)
        self.mounted = self.c.in_cluster_dir(self.ns, token)

    def make(self, text):
        """Applies it; the first container of its pods as the server has it, and how many pods there are at once."""
        self.apply(text)
        workload, = self.items(WORKLOADS)
        spec = workload["spec"]
        spec = spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec
        pod = spec["template"]["spec"]
        self.assertEqual(pod["serviceAccountName"], "koncli")
        return (pod.get("initContainers") or pod["containers"])[0], spec.get("parallelism") or spec.get("replicas") or 1

    def pod(self, container, name, mounted=None):
        env = {each["name"]: each["value"] for each in container.get("env", [])} | self.c.pod_env()
        outside = {"KONDUCTOR_STORE": None, "KONDUCTOR_NAMESPACE": None}
        return self.start(None, name, [*self.c.pod_argv(mounted or self.mounted), *container["command"]], **(outside | env))

    def all_pods(self, text):
        """Makes it and runs its pods at the same time, all of which end well."""
        container, count = self.make(text)
        for process in [self.pod(container, f"pod-{number}") for number in range(1, count + 1)]:
            self.ends(process)
        return count

    def test_what_the_server_has_is_what_is_printed(self):
        for name in REFUSED:
            with self.subTest(name):
                container, _ = self.make(mended(name))
                self.assertEqual(container["command"], ["/bin/sh", "-c", script_of(name)])
                self.kubectl("delete", WORKLOADS, "--all")

    def test_the_printed_migration_job_migrates_three_times_one_after_the_other(self):
        self.assertEqual(self.all_pods(mended("lease/migration-job.yaml")), 3)
        self.assertEqual(self.done(), ["run-migrations"] * 3)
        self.assert_never_two_at_once()
        self.assertEqual(self.status("lease", "db-migration")["holder"], "")

    def test_the_safe_migration_job_migrates_once(self):
        self.assertEqual(self.all_pods(text_of("safe/migration-job.yaml")), 3)
        self.assertEqual(self.done(), ["run-migrations"])
        self.assertEqual(self.status("once", "db-migration")["version"], "1.4.2")

    def test_the_safe_migration_job_goes_on_in_another_pod_when_one_fails_or_dies(self):
        container, _ = self.make(text_of("safe/migration-job.yaml"))
        self.broken.touch()
        self.ends(self.pod(container, "pod-1"), 3)
        self.broken.unlink()
        self.stay.touch()
        second = self.pod(container, "pod-2")
        self.wait_done(2)
        third = self.pod(container, "pod-3")
        second.kill()
        (self.cluster.directory / "busy").rmdir()
        self.stay.unlink()
        self.ends(third)
        self.assertEqual(self.done(), ["run-migrations"] * 3)
        self.assertEqual(self.status("once", "db-migration")["attempts"], 3)

    def test_the_printed_cron_job_skips_while_its_last_run_is_at_work(self):
        container, _ = self.make(mended("lease/cron-job.yaml"))
        self.skips(container)
        self.assertIn("Previous job still running", self.said_by("pod-2"))

    def test_the_safe_cron_job_skips_while_its_last_run_is_at_work(self):
        container, _ = self.make(text_of("safe/cron-job.yaml"))
        self.skips(container)

    def skips(self, container):
        self.stay.touch()
        first = self.pod(container, "pod-1")
        self.wait_done(1)
        self.ends(self.pod(container, "pod-2"))
        self.stay.unlink()
        self.ends(first)
        self.ends(self.pod(container, "pod-3"))
        self.assertEqual(self.done(), ["generate-report"] * 2)
        self.assert_never_two_at_once()

    def test_the_printed_init_container_migrates_in_each_replica(self):
        container, count = self.make(mended("once/init-container.yaml"))
        for number in range(1, count + 1):
            self.ends(self.pod(container, f"pod-{number}"))
        self.assertEqual(self.done(), ["run-migrations"] * 3)

    def test_the_printed_configuration_job_writes_in_each_of_its_five_pods(self):
        self.stay.touch()
        container, count = self.make(mended("once/config-job.yaml"))
        pods = [self.pod(container, f"pod-{number}") for number in range(1, count + 1)]
        self.wait_done(count)
        self.stay.unlink()
        for pod in pods:
            wait_for(lambda one=pod: one.poll() is not None, what="the end of a pod")
        self.assertEqual((self.done(), self.overlap.exists()), (["write-default-config"] * 5, True))

    def test_the_printed_provisioning_makes_a_bucket_in_each_run(self):
        container, _ = self.make(mended("once/provision-job.yaml"))
        for number in (1, 2):
            self.ends(self.pod(container, f"pod-{number}"))
        self.assertEqual(self.done(), ["aws"] * 2)

    def test_the_safe_init_containers_migrate_once_a_tag(self):
        for name, command, tag in (("safe/init-container.yaml", "run-migrations", "1.4.2"),
                                   ("safe/superset.yaml", "superset", "4.1.1")):
            with self.subTest(name):
                for text in (text_of(name), text_of(name), text_of(name).replace(tag, "9.0.0")):
                    self.assertGreater(self.all_pods(text), 1)
                self.assertEqual(self.done().count(command), 2)
                self.kubectl("delete", WORKLOADS, "--all")

    def test_the_safe_job_does_its_work_once_however_often_it_is_made_and_again_after_a_reset(self):
        for runs, before in ((1, None), (1, None), (2, ["once", "reset", "my-run-once-job"])):
            if before:
                self.ok(*before)
            self.all_pods(text_of("safe/run-once.yaml"))
            self.kubectl("delete", "job", "my-run-once-job")
            self.assertEqual(self.done(), ["generate-report"] * runs)

    def test_on_leases_alone_the_safe_job_needs_rights_to_leases_alone(self):
        rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "verbs": ["get", "list", "watch", "create", "update"]}
        mounted = self.c.in_cluster_dir(self.ns, self.c.service_account(self.ns, "alone", [rule]))
        container, count = self.make(text_of("safe/migration-job.yaml"))
        container["env"] = [{"name": "KONDUCTOR_STORE", "value": "kube-lease"}]
        for process in [self.pod(container, f"pod-{number}", mounted) for number in range(count)]:
            self.ends(process)
        self.assertEqual(self.done(), ["run-migrations"])
        self.assertEqual(self.items(OURS), [])

    def test_without_rights_the_printed_init_container_migrates_and_the_safe_one_says_why_not(self):
        powerless = self.c.in_cluster_dir(self.ns, self.c.service_account(self.ns, "powerless"))
        container, _ = self.make(mended("once/init-container.yaml"))
        self.ends(self.pod(container, "pod-1", powerless))
        self.assertEqual(self.done(), ["run-migrations"])
        self.kubectl("delete", WORKLOADS, "--all")
        container, _ = self.make(text_of("safe/init-container.yaml"))
        self.ends(self.pod(container, "pod-2", powerless), 4)
        self.assertEqual(self.done(), ["run-migrations"])
        self.assertIn("a right is missing: ", self.said_by("pod-2"))


del OnServer, Pods

if __name__ == "__main__":
    unittest.main()
