"""A real API server for tests. The code is in tools/kube/konkube, as tools/cluster uses it, too.

    from kube.cluster import Cluster, shared_cluster      # tests/e2e is on the path of every test

    class Leases(unittest.TestCase):
        def setUp(self):
            self.c = shared_cluster()                     # one for all tests of the process: it takes 4 s to start
            self.ns = self.c.namespace()                  # so each test takes a namespace of its own

A test that stops servers or changes clocks starts its own: `with Cluster(servers=2) as c`. Whatever ends the process
ends its clusters.
"""

import atexit
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools" / "kube"))
from konkube.cluster import Cluster, wait_for  # noqa: E402

__all__ = ["Cluster", "shared_cluster", "wait_for"]
shared = {}


def shared_cluster(servers=1):
    """The cluster of this process with so many API servers, started when it is first asked for. Leave it as it was."""
    if servers not in shared:
        cluster = Cluster(servers).up()
        atexit.register(cluster.down)
        shared[servers] = cluster
    return shared[servers]
