"""The store contract (tests/lua/contract/store.lua) on a real API server, for both Kubernetes stores."""

import os
import re
import subprocess
import unittest

from kube.cluster import shared_cluster
from kube.lua import install_crds, lua_tests
from lib import ROOT


class Contract(unittest.TestCase):
    def test_both_kubernetes_stores_keep_the_contract(self):
        cluster = shared_cluster()
        install_crds(cluster)
        env = {**os.environ, "KUBE_SERVER": cluster.url, "KUBE_CA": cluster.ca_pem, "KUBE_TOKEN": cluster.admin_token,
               "KUBE_NAMESPACE": cluster.namespace()}
        argv = [lua_tests(), "tests/lua/core_runner.lua", "--output=TAP", "tests/e2e/kube/contract_spec.lua"]
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=500)
        planned = re.search(r"^1\.\.(\d+)", done.stdout, re.M)
        passed = len(re.findall(r"^ok\b", done.stdout, re.M))
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertEqual(int(planned.group(1)), passed)
        self.assertGreater(passed, 60)


if __name__ == "__main__":
    unittest.main()
