"""What lies in deploy/ is what konductor prints, is taken by a real API server, and does what it says."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from kube.cluster import shared_cluster, wait_for
from kube.test_crds import install
from lib import ROOT, Cluster as Replicas, binary

DEPLOY = ROOT / "deploy"
PRINTED = {
    "crds.yaml": ["crds"],
    "base/role.yaml": ["rbac", "deploy/base/init.lua", "-n", "shop", "--name", "shop", "--service-account", "shop", "--events"],
    "rbac/leader.yaml": ["rbac", "@leader", "-n", "default", "--name", "leader", "--service-account", "leader", "--", "worker"],
    "rbac/leader-kube-lease.yaml": ["rbac", "@leader", "--store", "kube-lease", "-n", "default", "--name", "leader",
                                    "--service-account", "leader", "--", "worker"],
}


class Deploy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared_cluster()
        install(cls.c)
        cls.c.kubectl("apply", "-f", str(DEPLOY / "rbac" / "people.yaml"))

    def test_each_file_that_konductor_prints_is_what_it_prints(self):
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        for name, argv in PRINTED.items():
            with self.subTest(name):
                said = subprocess.run([binary(), *argv], cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
                self.assertEqual(said, (DEPLOY / name).read_text(encoding="utf-8"))

    def test_each_manifest_is_taken_by_the_server(self):
        self.c.kubectl("create", "namespace", "shop", check=False)
        files = [path for path in DEPLOY.rglob("*.yaml") if path.name != "kustomization.yaml"]
        self.assertGreater(len(files), 7)
        for path in files:
            with self.subTest(path.name):
                self.c.kubectl("apply", "--dry-run=server", "--validate=strict", "-n",
                               "default" if "rbac" in path.parts else "shop", "-f", str(path))
        for directory in (DEPLOY, DEPLOY / "base", DEPLOY / "monitoring"):
            with self.subTest(directory.name):
                said = self.c.kubectl("apply", "--dry-run=server", "--validate=strict", "-k", str(directory)).stdout
                self.assertRegex(said, "created|configured|unchanged")

    def test_three_replicas_of_the_base_migrate_once_and_serve(self):
        """There is no kubelet: its containers are processes with their command, environment and service account."""
        self.c.kubectl("create", "namespace", "shop", check=False)
        self.c.kubectl("apply", "-k", str(DEPLOY / "base"))
        self.c.kubectl("delete", "onces", "--all", "-n", "shop")
        made = json.loads(self.c.kubectl("get", "deployment", "shop", "-n", "shop", "-o", "json").stdout)["spec"]
        pod = made["template"]["spec"]
        container, = pod["containers"]
        token = self.c.service_account_token("shop", pod["serviceAccountName"])
        for role in json.loads(self.c.kubectl("get", "role", "shop", "-n", "shop", "-o", "json").stdout)["rules"]:
            self.c.wait_allowed("shop", token, role)
        with Replicas() as replicas:
            replicas.file("bin/flyway", f"#!/bin/sh\necho migrated >> {replicas.directory}/migrations\n", 0o755)
            replicas.file("bin/gunicorn", "#!/bin/sh\nexec sleep 1000\n", 0o755)
            self.assertEqual(container["command"], ["/shared/konductor", "run", "/etc/konductor/init.lua"])
            mounted = self.c.in_cluster_dir("shop", token)
            started = []
            for number in range(made["replicas"]):
                name = f"shop-{number}"
                env = {each["name"]: each.get("value", name) for each in container["env"]} | self.c.pod_env()
                env["PATH"] = f"{replicas.directory}/bin:{os.environ['PATH']}"
                started.append(replicas.start(DEPLOY / "base" / "init.lua", name=name, env=env,
                                              wrapper=self.c.pod_argv(mounted)))
            for each in started:
                each.wait_stderr("main: started gunicorn")
            self.assertEqual((replicas.directory / "migrations").read_text(encoding="ascii"), "migrated\n")
            shown = self.c.kubectl("get", "onces", "-n", "shop").stdout.splitlines()
            self.assertRegex(shown[0], r"^NAME +PHASE +EXECUTED +EXECUTOR +VERSION +TTL +AGE$")
            self.assertRegex(shown[1], r"^shop.migrate +Executed +true +shop-[012] +dev +\d+s$")
            self.assertEqual(len(shown), 2)
            self.assertIn("Executed", self.c.kubectl("describe", "once", "shop.migrate", "-n", "shop").stdout)

    def test_the_base_can_be_moved_to_another_namespace(self):
        with tempfile.TemporaryDirectory(dir=ROOT / "build") as overlay:
            base = os.path.relpath(DEPLOY / "base", overlay)
            Path(overlay, "kustomization.yaml").write_text(
                f"namespace: other\nresources: [{base}]\nimages: [{{name: shop, newName: example.org/shop}}]\n", encoding="utf-8")
            made = self.c.kubectl("kustomize", overlay).stdout
        self.assertNotIn("namespace: shop", made)
        self.assertEqual(made.count("namespace: other"), 6)  # of five objects, and of the binding's subject

    def test_people_see_by_view_define_by_edit_and_hold_by_admin(self):
        """The controller that adds parts up to view, edit and admin is not here; so each part is looked at."""
        read, define = {"get", "list", "watch"}, {"create", "update", "patch", "delete", "deletecollection"}
        for part, verbs, resources, roles in [
            ("view", read, {"leases", "onces", "records"}, {"view", "edit", "admin"}),
            ("edit", define, {"leases", "onces", "records"}, {"edit", "admin"}),
            ("hold", {"update", "patch"}, {"leases/status", "onces/status", "records/status"}, {"admin"}),
        ]:
            role = self.c.ask_ok("GET", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/konductor-{part}")
            rule, = role["rules"]
            self.assertEqual((rule["apiGroups"], set(rule["verbs"]), set(rule["resources"])),
                             (["konductor.io"], verbs, resources))
            prefix = "rbac.authorization.k8s.io/aggregate-to-"
            labels = {key.removeprefix(prefix) for key in role["metadata"]["labels"] if key.startswith(prefix)}
            self.assertEqual(labels, roles)

    def test_the_flow_schema_takes_our_requests(self):
        self.c.kubectl("apply", "-f", str(DEPLOY / "flowschema.yaml"))
        self.addCleanup(self.c.kubectl, "delete", "-f", str(DEPLOY / "flowschema.yaml"))
        uid = self.c.kubectl("get", "flowschema", "konductor", "-o", "jsonpath={.metadata.uid}").stdout
        ns = self.c.namespace()
        rules = [{"apiGroups": ["konductor.io"], "resources": ["onces"], "verbs": ["list"]}]
        token = self.c.service_account(ns, "sa", rules)
        path = f"/apis/konductor.io/v1/namespaces/{ns}/onces"

        def is_ours():
            return self.c.request("GET", path, token=token).headers["X-Kubernetes-PF-FlowSchema-UID"] == uid

        wait_for(is_ours, "the flow schema to take a request")


if __name__ == "__main__":
    unittest.main()
