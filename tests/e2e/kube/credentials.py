"""What tests of credentials share: kubeconfigs written by hand, koncli and replicas that use them, and the server's own
word on who came."""

import base64
import subprocess

import lib
from kube.cluster import shared_cluster
from lib import ClusterTest, binary, wait_for

LEASES = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
           "verbs": ["get", "list", "watch", "create", "update", "delete"]}]
LEADER = '''
    local k = require "konductor"
    k.lease "boss" { ttl = "3s", main = { "sleep", "1000" } }
'''


def encoded(path):
    with open(path, "rb") as file:
        return base64.b64encode(file.read()).decode()


class CredentialsTest(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.c = shared_cluster()

    def setUp(self):
        super().setUp()
        self.ns = self.c.namespace()
        self.directory = self.cluster.directory
        self.ca = f"certificate-authority: {self.c.ca_file}"

    def kubeconfig(self, user, cluster=None, server=None, name="config"):
        """A kubeconfig whose user has these fields (lines of YAML), and whose cluster has those besides the server."""
        def indented(text):
            return "".join(f"    {line}\n" for line in text.strip("\n").splitlines())
        text = (f"apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters:\n- name: c\n  cluster:\n"
                f"    server: {server or self.c.url}\n{indented(cluster or self.ca)}users:\n- name: u\n  user:\n"
                f"{indented(user)}contexts:\n- name: x\n  context: {{cluster: c, user: u, namespace: {self.ns}}}\n")
        path = self.directory / name
        path.write_text(text)
        return path

    def env(self, path, **more):
        return {"KONDUCTOR_STORE": "kube-lease", "KUBECONFIG": path, "HTTPS_PROXY": None, "https_proxy": None,
                "NO_PROXY": None, "no_proxy": None, **more}

    def koncli(self, path, *args, env=None):
        """`koncli once list -o name`, or these arguments, with that kubeconfig."""
        koncli = self.directory / "koncli"
        if not koncli.exists():
            koncli.symlink_to(binary())
        done = subprocess.run([str(koncli), *(args or ("once", "list", "-o", "name"))], capture_output=True, text=True,
                              env=self.cluster.env(self.env(path, **(env or {}))), timeout=60 * lib.PATIENCE,
                              stdin=subprocess.DEVNULL)
        lib.check_sanitizers("koncli", done.stderr)
        return done

    def works(self, path, user=None, env=None):
        """The list comes; with user: as that one, by the server's own audit log."""
        mark = self.c.audit_mark()
        done = self.koncli(path, env=env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        if user:
            self.assertTrue(self.c.audit(mark, user=user, verb="list", resource="leases", namespace=self.ns))

    def fails(self, path, *words, code=1, env=None):
        done = self.koncli(path, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def account(self, name="sa"):
        """A service account that may use Leases; its token and its name for the server."""
        return self.c.service_account(self.ns, name, LEASES), f"system:serviceaccount:{self.ns}:{name}"

    def lead(self, path, **env):
        replica = self.cluster.start(self.cluster.script(LEADER), env=self.env(path, **env), options=["--log-level", "debug"])
        replica.wait_event("start")
        return replica

    def renew_account(self, name="sa"):
        """The service account anew: tokens of before are refused. The new one's token."""
        self.c.kubectl("delete", "serviceaccount", name, "-n", self.ns)
        self.c.kubectl("create", "serviceaccount", name, "-n", self.ns)
        return self.c.service_account_token(self.ns, name)

    def renewals(self):
        return self.c.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{self.ns}/leases/boss").json["spec"]["renewTime"]

    def still_leads(self, replica):
        """Renews from now on, and has never stopped working."""
        before = self.renewals()
        wait_for(lambda: self.renewals() > before, 20, "a renewal", self.cluster.describe)
        self.assertEqual([e["event"] for e in replica.events() if e["event"] in ("start", "lost", "stop")], ["start"])
