"""The real API server that tests run on: what class Cluster promises of users, audit log and pods."""

import base64
import json
import os
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

from kube.cluster import shared_cluster

LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create"]}
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
# Run in a pod: asks the server as a program there would, and prints what it found.
IN_POD = """
import json, os, ssl, urllib.request
d = "/var/run/secrets/kubernetes.io/serviceaccount/"
read = lambda name: open(d + name).read()
url = "https://%s:%s/apis/coordination.k8s.io/v1/namespaces/%s/leases/none" % (
    os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"], read("namespace"))
ask = urllib.request.Request(url, headers={"Authorization": "Bearer " + read("token")})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=d + "ca.crt")))
try:
    opener.open(ask)
except urllib.error.HTTPError as error:
    print(json.dumps([os.getpid(), error.code, sorted(os.listdir(d))]))
"""


def lease(name):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": "me"}}


class SharedTest(unittest.TestCase):
    def setUp(self):
        self.c = shared_cluster()
        self.ns = self.c.namespace()
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.ns}/leases"

    def get(self, name="none", path=None, **how):
        return self.c.request("GET", f"{path or self.leases}/{name}", **how).status


class Objects(SharedTest):
    def test_a_lease_made_with_kubectl_is_read_back_over_http(self):
        self.c.kubectl("create", "-n", self.ns, "-f", "-", input=lease("a"))
        self.assertEqual(self.c.ask_ok("GET", f"{self.leases}/a")["spec"]["holderIdentity"], "me")
        self.assertIn("me", self.c.kubectl("get", "lease", "a", "-n", self.ns, "-o", "yaml").stdout)

    def test_each_namespace_is_new(self):
        other = self.c.namespace("mine")
        self.assertTrue(other.startswith("mine-"))
        self.assertNotEqual(other, self.c.namespace("mine"))

    def test_a_kubectl_that_fails_is_an_assertion_unless_told_otherwise(self):
        with self.assertRaisesRegex(AssertionError, "NotFound"):
            self.c.kubectl("get", "lease", "none", "-n", self.ns)
        self.assertEqual(self.c.kubectl("get", "lease", "none", "-n", self.ns, check=False).returncode, 1)


class AuditLog(SharedTest):
    def test_it_shows_a_request_with_user_verb_object_and_code(self):
        mark = self.c.audit_mark()
        self.c.ask_ok("POST", self.leases, lease("a"))
        self.assertEqual(self.get("a", token=self.c.token("alice")), 403)
        events = self.c.audit(mark, resource="leases", namespace=self.ns)
        self.assertEqual([(e["user"]["username"], e["verb"], e["responseStatus"]["code"]) for e in events],
                         [("admin", "create", 201), ("alice", "get", 403)])
        self.assertEqual(len(self.c.audit(mark, namespace=self.ns, user="alice", code=403, name="a")), 1)

    def test_it_shows_nothing_from_before_the_mark(self):
        self.get()
        mark = self.c.audit_mark()
        self.assertEqual(self.c.audit(mark, namespace=self.ns), [])

    def test_it_has_every_request_that_was_answered_before_it_is_asked(self):
        mark = self.c.audit_mark()
        with ThreadPoolExecutor(8) as pool:
            for number in range(20):
                done = list(pool.map(lambda n: self.get(f"{number}-{n}"), range(8)))
                self.assertEqual(done, [404] * 8)
                self.assertEqual(len(self.c.audit(mark, namespace=self.ns, verb="get")), 8 * (number + 1))


class Users(SharedTest):
    def who(self, **how):
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self.c.request("POST", WHO, review, **how)
        return answer.json["status"]["userInfo"] if answer.status == 201 else answer.status

    def test_a_service_account_may_do_what_its_role_says_and_nothing_else(self):
        token = self.c.service_account(self.ns, "worker", [LEASES])
        self.assertEqual(self.who(token=token)["username"], f"system:serviceaccount:{self.ns}:worker")
        self.assertEqual(self.get(token=token), 404)
        self.assertEqual(self.c.request("POST", self.leases, lease("a"), token=token).status, 201)
        self.assertEqual(self.c.request("DELETE", f"{self.leases}/a", token=token).status, 403)
        self.assertEqual(self.get(token=token, path=f"/api/v1/namespaces/{self.ns}/configmaps"), 403)
        self.assertEqual(self.get(token=token, path=self.leases.replace(self.ns, self.c.namespace())), 403)

    def test_its_token_lasts_as_long_as_asked(self):
        token = self.c.service_account(self.ns, "short", seconds=600)
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        self.assertEqual(claims["exp"] - claims["iat"], 600)

    def test_an_unknown_token_and_none_at_all_are_told_apart(self):
        self.assertEqual(self.get(token="nobody"), 401)
        self.assertEqual(self.get(token=""), 403)  # anonymous

    def test_alice_may_do_nothing_until_it_is_granted(self):
        self.assertEqual(self.get(token=self.c.token("alice")), 403)
        self.c.grant(self.ns, "reader", {"kind": "User", "name": "alice"}, [LEASES])
        self.c.wait_allowed(self.ns, self.c.token("alice"), LEASES)
        self.assertEqual(self.get(token=self.c.token("alice")), 404)
        self.assertEqual(self.get(token=self.c.token("bob")), 403)

    def test_a_client_certificate_is_user_and_groups(self):
        who = self.who(certificate=self.c.client_certificate("cert-user"))
        self.assertEqual(who["username"], "cert-user")
        self.assertIn("konductor-testers", who["groups"])
        who = self.who(certificate=self.c.client_certificate("other", groups=("g1", "g2")))
        self.assertEqual((who["username"], {"g1", "g2"} - set(who["groups"])), ("other", set()))

    def test_an_expired_client_certificate_is_refused(self):
        self.assertEqual(self.who(certificate=self.c.client_certificate("late", days=-1)), 401)

    def test_every_kind_of_kubeconfig_is_taken_by_kubectl(self):
        token = self.c.service_account(self.ns, "worker")
        for name, config in {
            "admin": self.c.kubeconfig(),
            "bob": self.c.kubeconfig("bob", inline=True, namespace=self.ns),
            "cert-user": self.c.kubeconfig("cert-user"),
            "inline-user": self.c.kubeconfig("inline-user", inline=True),
            f"system:serviceaccount:{self.ns}:worker": self.c.kubeconfig("worker", token=token),
        }.items():
            path = "jsonpath={.status.userInfo.username}"
            done = self.c.kubectl("--kubeconfig", config, "auth", "whoami", "-o", path)
            self.assertEqual(done.stdout, name)
            self.assertEqual(config.stat().st_mode & 0o777, 0o600)


class InAPod(SharedTest):
    def test_a_program_finds_its_service_account_where_a_pod_has_it(self):
        token = self.c.service_account(self.ns, "worker", [LEASES])
        directory = self.c.in_cluster_dir(self.ns, token)
        process = subprocess.Popen([*self.c.pod_argv(directory), sys.executable, "-c", IN_POD], stdout=subprocess.PIPE,
                                   text=True, env={**os.environ, **self.c.pod_env()})
        out, _ = process.communicate(timeout=60)
        pid, code, files = json.loads(out)
        self.assertEqual((pid, code), (process.pid, 404))
        self.assertEqual([name for name in files if not name.startswith("..")], ["ca.crt", "namespace", "token"])

    def test_a_rotated_token_shows_inside_at_once(self):
        directory = self.c.in_cluster_dir(self.ns, "first")
        show = "read -r x; cat /var/run/secrets/kubernetes.io/serviceaccount/token"
        process = subprocess.Popen([*self.c.pod_argv(directory), "sh", "-c", "echo up; " + show], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), "up\n")
        self.c.rotate_token(directory, "second")
        self.assertEqual(process.communicate("go\n", timeout=60)[0], "second")
        self.assertEqual((directory / "namespace").read_text(), self.ns)


if __name__ == "__main__":
    unittest.main()
