"""deploy/examples on a real API server: each is taken in a restricted namespace, has the rights that konductor prints for it
and no others, and does what its head says.

There is no kubelet: a container is a process with the command, environment and service account that the server has."""

import json
import os
import re
import subprocess
import unittest

import just_one_init as joi
from kube.cluster import shared_cluster
from kube.test_crds import install
from lib import ROOT, ClusterTest, binary, wait_for

EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
OURS = [path for path in EXAMPLES if path.name != "just-one-init.yaml"]  # which test_just_one_init.py runs
WORKLOADS = "deployments.apps,jobs.batch,cronjobs.batch"
LABEL = "konductor.io/leader=ledger"
# A program that says that it has begun and goes on; one that says so and ends; one that ends as it is told.
SERVER = "#!/bin/sh\necho \"$(basename $0) $KONDUCTOR_HOLDER\" >> {0}/begun\nexec sleep 1000\n"
STEP = "#!/bin/sh\necho \"$(basename $0) $*\" >> {0}/steps\n[ ! -e {0}/broken ]\n"


class Examples(ClusterTest):
    def setUp(self):
        super().setUp()
        self.api = shared_cluster()
        install(self.api)
        self.namespace = self.api.namespace()

    def kubectl(self, *argv, **how):
        return self.api.kubectl("-n", self.namespace, *argv, **how)

    def items(self, kinds, *more):
        return json.loads(self.kubectl("get", kinds, "-o", "json", *more).stdout)["items"]


class Manifests(Examples):
    def test_each_is_taken_by_the_server_in_a_restricted_namespace(self):
        self.assertGreaterEqual(len(OURS), 8)
        self.kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/warn=restricted")
        for path in EXAMPLES:
            with self.subTest(path.name):
                said = self.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(path))
                self.assertEqual(said.stderr, "")

    def test_the_rights_of_each_are_those_that_its_line_prints(self):
        env = {"PATH": f"{self.cluster.directory}:{os.environ['PATH']}", "HOME": "/nonexistent"}
        (self.cluster.directory / "konductor").symlink_to(binary())
        for path in OURS:
            with self.subTest(path.name):
                line, = re.findall(r"^# (.*konductor rbac .*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
                line = line.replace("@", "-o json @", 1)
                said = json.loads(subprocess.run(["sh", "-c", line], env=env, check=True, capture_output=True).stdout)
                made = self.kubectl("create", "--dry-run=client", "-o", "json", "-f", str(path)).stdout
                made = [each for each in json.loads("[" + made.replace("}\n{", "},\n{") + "]") if "Role" in each["kind"]]
                self.assertEqual([self.essence(each) for each in made], [self.essence(each) for each in said["items"]])

    @staticmethod
    def essence(role):
        subjects = [{key: value for key, value in each.items() if key != "namespace"} for each in role.get("subjects", [])]
        return role["kind"], role["metadata"]["name"], role.get("rules"), role.get("roleRef"), subjects


class InPods(Examples):
    how = {}

    def apply(self, name):
        """Makes an example; its pod and how many of them there are at once, as the server has it."""
        self.kubectl("apply", "-f", str(ROOT / "deploy" / "examples" / f"{name}.yaml"))
        workload, = self.items(WORKLOADS)
        spec = workload["spec"]
        self.workload = workload
        self.template = (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]
        self.pod = self.template["spec"]
        account = self.pod["serviceAccountName"]
        self.token = self.api.service_account_token(self.namespace, account)
        for rule in self.items("roles")[0]["rules"]:
            self.api.wait_allowed(self.namespace, self.token, rule)
        self.mounted = self.api.in_cluster_dir(self.namespace, self.token)
        for program, text in (("gunicorn", SERVER), ("worker", SERVER), ("ledger", SERVER), ("flyway", STEP), ("seed", STEP),
                              ("superset", STEP), ("import-data", STEP), ("backup", SERVER), ("make-report", SERVER)):
            self.cluster.file(f"bin/{program}", text.format(self.cluster.directory), 0o755)
        return spec.get("replicas", 1)

    def start(self, name, container=None, **env):
        container = container or self.pod["containers"][0]
        program, run, script, *words = container["command"]
        self.assertIn((program, run), (("/shared/konductor", "run"), ("/konductor", "run")))
        self.assertEqual(words[:1], ["--"] if words else [])
        given = {each["name"]: each["value"] for each in container.get("env", [])}
        inside = {"KONDUCTOR_STORE": None, "PATH": f"{self.cluster.directory}/bin:{os.environ['PATH']}", **self.api.pod_env()}
        return self.cluster.start(script, command=words[1:], name=name, wrapper=self.api.pod_argv(self.mounted),
                                  env={**inside, **given, **env}, **self.how)

    def start_all(self, count, **env):
        return [self.start(f"pod-{number}", **env) for number in range(count)]

    def lines(self, name):
        path = self.cluster.directory / name
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    def wait_lines(self, name, count):
        wait_for(lambda: len(self.lines(name)) >= count, what=f"{count} lines of {name}", describe=self.cluster.describe)
        return self.lines(name)

    def once(self, name):
        return json.loads(self.kubectl("get", "once", name, "-o", "json").stdout)

    def koncli(self, *argv):
        (self.cluster.directory / "koncli").symlink_to(binary())
        env = self.cluster.env({**self.api.environment(), "KONDUCTOR_STORE": "kube", "KONDUCTOR_NAMESPACE": self.namespace})
        done = subprocess.run([self.cluster.directory / "koncli", *argv], env=env, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def executed(self, name, version, store="kube"):
        env = {**self.api.environment(), "KONDUCTOR_STORE": store, "KONDUCTOR_NAMESPACE": self.namespace}
        script = self.cluster.script(f'local k = require "konductor"\nk.once "{name}" {{ version = "{version}", run = {{ "true" }} }}\n')
        self.assertEqual(self.cluster.start(script, env=env).wait(), 0)


class EachExample(InPods):
    def test_init_stages_runs_each_stage_once_in_order_and_then_all_servers(self):
        count = self.apply("init-stages")
        self.start_all(count)
        self.assertEqual({line.split()[0] for line in self.wait_lines("begun", count)}, {"gunicorn"})
        self.assertEqual(self.lines("steps"), ["flyway migrate", "seed "])
        self.assertEqual([each["status"]["phase"] for each in self.items("onces")], ["Executed"] * 2)

    def test_once_per_version_upgrades_once_for_each_image_tag(self):
        count = self.apply("once-per-version")
        done = ["superset db upgrade", "superset init"]
        for number, tag in enumerate(("4.1.1", "4.1.1", "4.1.2"), 1):
            replicas = self.start_all(count, IMAGE_TAG=tag)
            self.wait_lines("begun", count * number)
            for replica in replicas:
                self.assertEqual(replica.stop(), 143)
            self.assertEqual(self.lines("steps"), done * (2 if tag == "4.1.2" else 1))

    def test_leader_hands_over_when_its_pod_is_stopped(self):
        self.apply("leader")
        a = self.start("pod-0")
        self.wait_lines("begun", 1)
        b = self.start("pod-1")
        b.wait_event("join")
        self.assertEqual(a.stop(), 143)
        self.assertEqual(self.wait_lines("begun", 2), ["worker pod-0", "worker pod-1"])

    def test_leader_label_is_on_the_pod_that_leads_and_on_no_other_and_the_service_selects_it(self):
        self.apply("leader-label")
        service, = self.items("services")
        selector = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
        self.assertIn(LABEL, selector)
        for name in ("pod-0", "pod-1", "pod-2"):
            pod = {"metadata": {"name": name, "labels": self.template["metadata"]["labels"]}, "spec": self.pod}
            self.kubectl("create", "-f", "-", input={"apiVersion": "v1", "kind": "Pod", **pod})

        def wait_selected(*names):
            selected = lambda: tuple(pod["metadata"]["name"] for pod in self.items("pods", "-l", selector))
            wait_for(lambda: selected() == names, what=f"the service to select {names}",
                     describe=lambda: f"it selects {selected()}\n{self.cluster.describe()}")

        self.kubectl("label", "pod", "pod-2", LABEL)  # what a leader that vanished has left
        a = self.start("pod-0", TTL="3s")
        wait_selected("pod-0")
        b = self.start("pod-1", TTL="3s")
        b.wait_event("join")
        self.assertEqual(a.stop(), 143)
        wait_selected("pod-1")
        self.start("pod-2", TTL="3s").wait_event("join")
        b.kill()
        wait_selected("pod-2")

    def test_leader_label_is_taken_off_a_pod_whose_container_starts_again_as_a_standby_and_off_the_last_that_is_stopped(self):
        self.apply("leader-label")
        for name in ("pod-0", "pod-1"):
            labels = {**self.template["metadata"]["labels"], **dict([LABEL.split("=")])}
            pod = {"metadata": {"name": name, "labels": labels}, "spec": self.pod}
            self.kubectl("create", "-f", "-", input={"apiVersion": "v1", "kind": "Pod", **pod})
        labelled = lambda: {pod["metadata"]["name"] for pod in self.items("pods", "-l", LABEL)}
        leader = self.start("pod-0")
        wait_for(lambda: labelled() == {"pod-0"}, what="the label on one", describe=self.cluster.describe)
        self.kubectl("label", "pod", "pod-1", LABEL)
        self.start("pod-1").wait_event("join")
        wait_for(lambda: labelled() == {"pod-0"}, what="the label off the standby", describe=self.cluster.describe)
        self.cluster.replicas[1].stop()
        self.assertEqual(leader.stop(), 143)
        self.assertEqual(labelled(), set())

    def test_without_the_right_on_pods_the_leader_says_so_before_it_leads(self):
        self.apply("leader-label")
        rules = [{"apiGroups": ["konductor.io"], "resources": ["leases", "leases/status"], "verbs": ["*"]}]
        self.mounted = self.api.in_cluster_dir(self.namespace, self.api.service_account(self.namespace, "less", rules))
        replica = self.start("pod-0")
        self.assertEqual(replica.wait(), 78)
        self.assertIn('- {apiGroups: [""], resources: [pods], verbs: [list, patch]}', replica.stderr)
        self.assertEqual(self.lines("begun"), [])

    def test_run_once_runs_once_however_often_the_job_is_made_and_again_after_a_reset(self):
        self.apply("run-once")
        for _ in range(2):
            self.assertEqual(self.start("import").wait(), 0)
        self.assertEqual(len(self.lines("steps")), 1)
        self.assertEqual(self.once("import")["spec"]["ttl"], "720h")
        self.koncli("once", "reset", "import", "--version", "2026-11")
        self.assertEqual(self.start("import").wait(), 0)
        self.assertEqual(len(self.lines("steps")), 2)

    def test_run_once_counts_the_failures_of_all_its_pods_together(self):
        self.apply("run-once")
        self.cluster.file("broken", "")
        for _ in range(2):  # a Pod that fails for good, and the next one that backoffLimit makes
            self.assertEqual(self.start("import", RETRIES="1").wait(), 1)
        self.assertEqual(len(self.lines("steps")), 2)
        self.assertEqual(self.once("import")["status"]["attempts"], 2)

    def test_run_once_runs_again_when_its_record_has_been_kept_for_long_enough(self):
        self.apply("run-once")
        run = lambda: self.start("import", KEEP="3s").wait() == 0 and len(self.lines("steps")) > 1
        self.assertFalse(run())
        wait_for(run, what="a run after the time of the record", describe=self.cluster.describe)

    def test_singleton_does_not_start_while_another_run_is_at_work(self):
        self.apply("singleton")
        first = self.start("report-1")
        self.wait_lines("begun", 1)
        second = self.start("report-2")
        self.assertEqual(second.wait(), 0)
        self.assertIn("not started: ", second.stderr)
        self.assertEqual(first.stop(), 143)
        self.start("report-3")
        self.assertEqual(self.wait_lines("begun", 2), ["make-report report-1", "make-report report-3"])

    def test_singleton_starts_again_when_the_lease_of_a_run_that_vanished_is_over(self):
        self.apply("singleton")
        first = self.start("report-0", TTL="3s")
        self.wait_lines("begun", 1)
        first.kill()

        def started():
            number = len(self.cluster.replicas)
            run = self.start(f"report-{number}", TTL="3s")
            wait_for(lambda: run.process.poll() is not None or len(self.lines("begun")) > 1, what="a run or its end")
            return len(self.lines("begun")) > 1

        wait_for(started, what="a run after the one that vanished", describe=self.cluster.describe)

    def test_flock_waits_for_whoever_has_the_lock(self):
        self.apply("flock")
        first = self.start("backup-1")
        self.wait_lines("begun", 1)
        second = self.start("backup-2")
        second.wait_event("join")
        self.assertEqual(self.lines("begun"), ["backup backup-1"])
        self.assertEqual(first.stop(), 143)
        self.wait_lines("begun", 2)

    def test_wait_for_goes_on_when_another_deployment_has_migrated_and_may_not_do_so_itself(self):
        self.apply("wait-for")
        waiter = self.start("admin", self.pod["initContainers"][0])
        waiter.wait_stderr("there is no record yet")
        for version, code in (("1.4.1", None), ("1.4.2", 0)):
            self.executed("shop.migrate", version)
            self.assertEqual(waiter.wait() if code is not None else waiter.process.poll(), code)
        script = self.cluster.script('local k = require "konductor"\nk.once("shop.migrate"):run({ version = "2" }, function() end)\n')
        own = self.cluster.start(script, env={"KONDUCTOR_STORE": None, **self.api.pod_env()},
                                 wrapper=self.api.pod_argv(self.mounted))
        self.assertEqual(own.wait(), 78)

    def test_wait_for_reads_leases_alone_where_the_kinds_are_not_there(self):
        self.apply("wait-for")
        said = self.cluster.run("rbac", "@wait-for", "--store", "kube-lease", "-o", "json", env={"ONCE": "shop.migrate"})
        role, = json.loads(said.stdout)["items"]
        rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["once.shop.migrate"],
                  "verbs": ["get", "list", "watch"]}]
        self.assertEqual(role["rules"], rules)
        self.mounted = self.api.in_cluster_dir(self.namespace, self.api.service_account(self.namespace, "reads", rules))
        waiter = self.start("admin", self.pod["initContainers"][0], KONDUCTOR_STORE="kube-lease")
        waiter.wait_stderr("there is no record yet")
        self.executed("shop.migrate", "1.4.2", "kube-lease")
        self.assertEqual(waiter.wait(), 0)


class RollingUpdate(InPods):
    """A new Pod gets ready beside the old ones, and only then one of those is stopped."""

    how = {"listen": "127.0.0.1:0", "options": ["--log-level", "debug"]}

    def answers(self, replica, path):
        return joi.ask(replica, path)[0]

    def wait_ready(self, replica):
        wait_for(lambda: self.answers(replica, "/readyz") == 200, what=f"{replica.name} to be ready",
                 describe=self.cluster.describe)

    def test_of_a_leader_does_not_wait_for_itself(self):
        count = self.apply("leader")
        old = self.start_all(count)
        for replica in old:
            self.wait_ready(replica)
        for number, replica in enumerate(old):
            new = self.start(f"new-{number}")
            self.wait_ready(new)  # though another leads
            self.assertEqual(replica.stop(), 143)
        self.wait_lines("begun", 2)
        leads = lambda: sum(self.answers(each, "/leaderz") == 200 for each in self.cluster.replicas if each.running)
        wait_for(lambda: leads() == 1, what="one leader among the new ones", describe=self.cluster.describe)

    def test_of_stages_keeps_the_old_ones_serving_until_the_stages_of_the_new_tag_are_done(self):
        count = self.apply("init-stages")
        old = self.start_all(count)
        self.wait_lines("begun", count)
        slow = "touch migrating; while [ ! -e migrated ]; do sleep 0.01; done"
        new = self.start("new-0", IMAGE_TAG="1.4.3", INIT_1=slow)
        wait_for((self.cluster.directory / "migrating").exists, what="the stage of the new tag", describe=self.cluster.describe)
        self.assertEqual((self.answers(new, "/readyz"), self.answers(new, "/livez")), (503, 200))
        self.assertEqual([self.answers(each, "/readyz") for each in old], [200] * count)
        (self.cluster.directory / "migrated").touch()
        self.wait_ready(new)
        self.assertEqual([each.stop() for each in old], [143] * count)
        back = self.start("back-0", IMAGE_TAG="1.4.2")
        self.wait_ready(back)
        self.assertEqual(self.lines("steps"), ["flyway migrate", "seed ", "seed "])


del Examples, InPods

if __name__ == "__main__":
    unittest.main()
