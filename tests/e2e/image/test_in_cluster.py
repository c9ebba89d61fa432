"""Containers of the image in pods' places on a real API server: all that they know is what a pod gives them."""

import json
import unittest

from image.test_image import ImageTest
from kube.cluster import shared_cluster, wait_for

SCRIPT = """
local k = require "konductor"
k.flow "shop" {
  k.stage "migrate" { version = "1", run = { "konductor", "version" } },
  k.main { "koncli", "once", "check", "shop.migrate" },
}
"""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class InCluster(ImageTest):
    def setUp(self):
        super().setUp()
        self.api = shared_cluster()
        self.namespace = self.api.namespace()
        self.scripts = self.volume("scripts")
        (self.scripts / "init.lua").write_text(SCRIPT, encoding="utf-8")

    def apply(self, text):
        path = self.directory / "manifest"
        path.write_text(text, encoding="utf-8")
        self.api.kubectl("apply", "-n", self.namespace, "-f", str(path))

    def account(self):
        """A service account with the rights that the image itself printed, and a directory as a pod has it mounted."""
        self.api.kubectl("create", "serviceaccount", "shop", "-n", self.namespace)
        self.apply(self.run_well("rbac", "/etc/konductor/init.lua", "-n", self.namespace, "--name", "shop", "--service-account",
                                 "shop", "--store", "kube", volumes={"/etc/konductor": (self.scripts, "ro")}))
        token = self.api.service_account_token(self.namespace, "shop")
        role = self.api.kubectl("get", "role", "shop", "-n", self.namespace, "-o", "json").stdout
        for rule in json.loads(role)["rules"]:
            self.api.wait_allowed(self.namespace, token, rule)
        return self.api.in_cluster_dir(self.namespace, token)

    def pod(self, name, account):
        volumes = {"/etc/konductor": (self.scripts, "ro"), ACCOUNT: (account, "ro")}
        env = {**self.api.pod_env(), "KONDUCTOR_HOLDER_ID": name}
        container = self.image.start("run", "/etc/konductor/init.lua", "--listen", "127.0.0.1:0", env=env, volumes=volumes,
                                     host_network=True)
        self.addCleanup(container.__exit__)
        return container

    def test_three_pods_migrate_once(self):
        self.apply(self.run_well("crds"))
        wait_for(lambda: self.api.request("GET", "/apis/konductor.io/v1/onces").status == 200, "onces to be served")
        account = self.account()
        pods = [self.pod(f"shop-{number}", account) for number in range(3)]
        said = []
        for pod in pods:
            done = pod.wait()
            self.assertEqual(0, done.returncode, done.stdout)
            self.assertIn("has been executed", done.stdout)
            said.append(done.stdout)
        self.assertEqual(1, sum("LuaJIT" in text for text in said), said)


if __name__ == "__main__":
    unittest.main()
