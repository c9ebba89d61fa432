"""Every way to say who we are and which server is meant, against a real API server: kubeconfigs with each kind of
credential, exec plugins, proxies, a pod's service account; and what is told when it is wrong."""

import base64
import fcntl
import json
import os
import select
import socket
import ssl
import subprocess
import termios
import threading
import time
import unittest
from pathlib import Path

import lib
from kube.credentials import LEADER, LEASES, CredentialsTest, encoded
from konkube import certs
from lib import wait_for

API = "client.authentication.k8s.io/v1"


class ConnectProxy:
    """An HTTP proxy that knows CONNECT alone, and leads to one port whatever it is asked for."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.lead, args=(client,), daemon=True).start()

    def lead(self, client):
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = client.recv(1)
                if not piece:
                    return
                head += piece
            self.asked.append(head.decode().splitlines())
            with socket.create_connection(self.target) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                pair = {client: server, server: client}
                while True:
                    for ready in select.select(list(pair), [], [])[0]:
                        bytes_ = ready.recv(65536)
                        if not bytes_:
                            return
                        pair[ready].sendall(bytes_)


class Kinds(CredentialsTest):
    def test_a_token(self):
        token, user = self.account()
        self.works(self.kubeconfig(f"token: {token}"), user)

    def test_authority_in_the_file_and_beside_it(self):
        token, user = self.account()
        self.works(self.kubeconfig(f"token: {token}", f"certificate-authority-data: {encoded(self.c.ca_file)}"), user)
        (self.directory / "ca.crt").write_text(self.c.ca_pem)
        self.works(self.kubeconfig(f"token: {token}", "certificate-authority: ca.crt"), user)

    def test_a_client_certificate_in_the_file_and_beside_it(self):
        self.c.grant(self.ns, "role", {"kind": "User", "name": "cert-user"}, LEASES)
        certificate, key = self.c.client_certificate("cert-user")
        self.works(self.kubeconfig(f"client-certificate: {certificate}\nclient-key: {key}"), "cert-user")
        self.works(self.kubeconfig(f"client-certificate-data: {encoded(certificate)}\nclient-key-data: {encoded(key)}"),
                   "cert-user")

    def test_a_token_file_that_is_renewed_while_work_runs(self):
        token, user = self.account()
        (self.directory / "token").write_text(token)
        replica = self.lead(self.kubeconfig("tokenFile: token"))
        (self.directory / "token").write_text(self.renew_account() + "\n")
        self.still_leads(replica)
        self.assertEqual(replica.stop(), 143)

    def test_a_client_certificate_that_is_renewed_while_work_runs(self):
        user = "short-" + self.ns
        self.c.grant(self.ns, "role", {"kind": "User", "name": user}, LEASES)

        def write(seconds):
            pair = certs.client(self.c.pki, user, [], days=seconds / 86400)
            for name, source in zip(("u.crt", "u.key"), pair):
                (self.directory / name).write_text(Path(source).read_text())
        write(8)
        end = time.time() + 8
        replica = self.lead(self.kubeconfig("client-certificate: u.crt\nclient-key: u.key"))
        write(3600)
        wait_for(lambda: time.time() > end + 1, 20, "the end of the first certificate")
        self.still_leads(replica)
        self.assertEqual(replica.stop(), 143)

    def test_the_name_that_the_server_proves(self):
        token, user = self.account()
        self.works(self.kubeconfig(f"token: {token}", self.ca + "\ntls-server-name: kubernetes"), user)
        self.fails(self.kubeconfig(f"token: {token}", self.ca + "\ntls-server-name: other.example"), "other.example")

    def test_an_authority_that_is_not_the_servers(self):
        token, _ = self.account()
        stranger = self.directory / "stranger.pem"
        stranger.write_text(next(iter(ssl_authorities())))
        sentence = self.fails(self.kubeconfig(f"token: {token}", f"certificate-authority: {stranger}"), self.c.url)
        self.assertIn("certificate", sentence)
        self.assertNotIn(token, sentence)

    def test_certificates_that_are_damaged(self):
        certificate, key = self.c.client_certificate("cert-user")
        _, other = self.c.client_certificate("other-user")
        self.cluster.file("junk", "-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n")
        self.cluster.file("junk.key", "-----BEGIN PRIVATE KEY-----\nanVuaw==\n-----END PRIVATE KEY-----\n")
        half = certificate.read_text() + certificate.read_text()[:-200] + "-----END CERTIFICATE-----\n"
        self.cluster.file("half", half)
        subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", self.directory / "locked"],
                       check=True)
        for user, cluster, words in (
                (f"client-certificate: {certificate}\nclient-key: {other}", None, "client-key does not belong to"),
                (f"client-certificate: {certificate}\nclient-key: junk.key", None, "client-key is damaged"),
                (f"client-certificate: {certificate}\nclient-key: locked", None, "client-key is encrypted"),
                (f"client-certificate: junk\nclient-key: {key}", None, "client-certificate is damaged"),
                (f"client-certificate: half\nclient-key: {key}", None, "client-certificate is damaged"),
                ("token: t", "certificate-authority: junk", "certificate-authority is damaged")):
            with self.subTest(user=user, cluster=cluster):
                self.fails(self.kubeconfig(user, cluster), f'context "x" of {self.directory}/config: {words}')

    def test_a_certificate_that_has_ended(self):
        certificate, key = self.c.client_certificate("late-user", days=-1)
        done = self.koncli(self.kubeconfig(f"client-certificate: {certificate}\nclient-key: {key}"))
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("client-certificate has ended at 20", done.stderr)
        self.assertIn("still the one that was refused", done.stderr)

    def test_a_server_that_is_not_there(self):
        self.fails(self.kubeconfig("token: t", server="https://127.0.0.1:1"), "https://127.0.0.1:1", "not sent")

    def test_a_server_that_is_believed_whatever_it_shows(self):
        token, _ = self.account()
        done = self.koncli(self.kubeconfig(f"token: {token}", "insecure-skip-tls-verify: true"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warn", done.stderr)
        self.assertIn("insecure-skip-tls-verify", done.stderr)

    def test_a_token_that_is_refused(self):
        sentence = self.fails(self.kubeconfig("token: not-a-token-of-this-server"), "401", "there are no new ones",
                              'context "x" of', "has no others", code=4)
        self.assertNotIn("not-a-token", sentence)

    def test_a_user_without_rights(self):
        self.fails(self.kubeconfig(f"token: {self.c.token('bob')}"), "bob", "leases", self.ns, code=4)

    def test_no_user_at_all(self):
        self.fails(self.kubeconfig("{}"), code=4)


def ssl_authorities():
    """Some authority that this machine knows, none of which is the cluster's."""
    context = ssl.create_default_context()
    for certificate in context.get_ca_certs(binary_form=True):
        yield ssl.DER_cert_to_PEM_cert(certificate)


class ExecPlugins(CredentialsTest):
    def plugin(self, text, fields="", mode="Never"):
        """A kubeconfig with a plugin, a shell script beside it."""
        path = self.directory / "plugin"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return self.kubeconfig(f"exec:\n  apiVersion: {API}\n  command: ./plugin\n  interactiveMode: {mode}\n{fields}")

    def counting(self, seconds=None):
        """A plugin that writes down each run, and gives the token in the file `token` for so many seconds."""
        expiry = f'"expirationTimestamp":"$(date -u -d "+{seconds} seconds" +%FT%TZ)",' if seconds else ""
        credential = f'{{"kind":"ExecCredential","apiVersion":"{API}","status":{{{expiry}"token":"$(cat {self.directory}/token)"}}}}'
        return self.plugin(f"echo run >>{self.directory}/runs\ncat <<END\n{credential}\nEND\n")

    def runs(self):
        return (self.directory / "runs").read_text().count("\n")

    def test_a_token(self):
        token, user = self.account()
        (self.directory / "token").write_text(token)
        self.works(self.counting(), user)
        self.assertEqual(self.runs(), 1)

    def test_a_certificate(self):
        self.c.grant(self.ns, "role", {"kind": "User", "name": "cert-user"}, LEASES)
        certificate, key = (json.dumps(path.read_text()) for path in self.c.client_certificate("cert-user"))
        answer = f'{{"kind":"ExecCredential","apiVersion":"{API}","status":{{"clientCertificateData":{certificate},"clientKeyData":{key}}}}}'
        self.works(self.plugin(f"cat <<'END'\n{answer}\nEND\n"), "cert-user")

    def test_runs_again_before_its_token_ends_and_nothing_is_lost(self):
        token, _ = self.account()
        (self.directory / "token").write_text(token)
        replica = self.lead(self.counting(seconds=4))
        wait_for(lambda: self.runs() >= 4, 40, "the fourth run of the plugin", self.cluster.describe)
        self.still_leads(replica)
        self.assertEqual(replica.stop(), 143)
        self.assertNotIn(token, replica.stderr)

    def test_runs_again_when_its_token_is_refused_and_nothing_is_lost(self):
        token, _ = self.account()
        (self.directory / "token").write_text(token)
        replica = self.lead(self.counting())
        (self.directory / "token").write_text(self.renew_account())
        wait_for(lambda: self.runs() >= 2, 20, "the second run of the plugin", self.cluster.describe)
        self.still_leads(replica)
        self.assertEqual(replica.stop(), 143)

    def test_that_fails_says_why(self):
        self.fails(self.plugin("echo secret; echo 'please run: aws sso login' >&2; exit 2"),
                   "the exec plugin", "exit code 2: please run: aws sso login", code=4)

    def test_that_is_missing_says_how_to_get_it(self):
        self.fails(self.kubeconfig(f"exec:\n  apiVersion: {API}\n  command: kubelogin-of-mine\n  interactiveMode: Never\n"
                                   "  installHint: apt install kubelogin"),
                   "no such command in PATH; apt install kubelogin")

    def test_that_hangs_does_not_keep_konductor_from_ending(self):
        path = self.plugin(f"touch {self.directory}/asked\nsleep 1000\n")
        replica = self.cluster.start(self.cluster.script(LEADER), env=self.env(path))
        wait_for((self.directory / "asked").exists, 20, "the plugin to run", self.cluster.describe)
        self.assertEqual(replica.stop(), 143)

    def test_may_ask_at_the_terminal(self):
        token, user = self.account()
        path = self.plugin("test -t 0 || exit 9\nprintf 'your token? ' >&2\nread token\n"
                           f"""printf '{{"kind":"ExecCredential","apiVersion":"{API}","status":{{"token":"%s"}}}}' "$token"\n""",
                           mode="Always")
        self.fails(path, "interactiveMode: Always")
        mine, theirs = os.openpty()
        self.addCleanup(os.close, mine)
        attributes = termios.tcgetattr(theirs)
        attributes[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        koncli = subprocess.Popen([self.directory / "koncli", "once", "list", "-o", "name"], stdin=theirs, stderr=theirs,
                                  stdout=subprocess.PIPE, env=self.cluster.env(self.env(path)), start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        mark, said = self.c.audit_mark(), b""
        while b"your token? " not in said:
            said += os.read(mine, 4096)
        os.write(mine, token.encode() + b"\n")
        self.assertEqual(koncli.communicate(timeout=60 * lib.PATIENCE)[0], b"")
        self.assertEqual(koncli.returncode, 0)
        self.assertTrue(self.c.audit(mark, user=user, verb="list", resource="leases", namespace=self.ns))

    def test_that_calls_konductor_with_the_same_kubeconfig_ends(self):
        path = self.plugin(f'echo run >>{self.directory}/runs\nexec {self.directory}/koncli once list\n')
        sentence = self.fails(path, "the exec plugin", code=4)
        self.assertIn("calls konductor with the kubeconfig that names it", sentence)
        self.assertEqual(self.runs(), 2)


class Proxies(CredentialsTest):
    def setUp(self):
        super().setUp()
        self.token, self.user = self.account()
        self.proxy = ConnectProxy(self.c.state["ports"][0])
        self.addCleanup(self.proxy.close)

    def test_proxy_url(self):
        self.works(self.kubeconfig(f"token: {self.token}", f"{self.ca}\nproxy-url: http://127.0.0.1:{self.proxy.port}"), self.user)
        self.assertTrue(self.proxy.asked[0][0].startswith("CONNECT 127.0.0.1:"), self.proxy.asked)

    def test_its_user_and_password_go_to_the_proxy_and_into_no_sentence(self):
        url = f"http://me:verysecret@127.0.0.1:{self.proxy.port}"
        self.works(self.kubeconfig(f"token: {self.token}", f"{self.ca}\nproxy-url: {url}"), self.user)
        self.assertIn("Proxy-Authorization: Basic " + base64.b64encode(b"me:verysecret").decode(), self.proxy.asked[0])
        url = "http://me:verysecret@127.0.0.1:1"
        self.assertNotIn("verysecret", self.fails(self.kubeconfig("token: t", f"{self.ca}\nproxy-url: {url}")))

    def test_of_the_environment_but_never_to_the_machine_itself(self):
        cluster = self.ca + "\ntls-server-name: kubernetes"
        proxy = f"http://127.0.0.1:{self.proxy.port}"
        away = self.kubeconfig(f"token: {self.token}", cluster, "https://k.example:6443", "away")
        self.works(away, self.user, {"HTTPS_PROXY": proxy})
        self.assertEqual(self.proxy.asked[0][0], "CONNECT k.example:6443 HTTP/1.1")
        self.works(away, self.user, {"https_proxy": proxy, "NO_PROXY": "other.example"})
        self.assertEqual(len(self.proxy.asked), 2)
        self.fails(away, env={"HTTPS_PROXY": proxy, "NO_PROXY": ".example"})
        self.works(self.kubeconfig(f"token: {self.token}"), self.user,
                   {"HTTPS_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:1"})
        self.assertEqual(len(self.proxy.asked), 2)


class Pod(CredentialsTest):
    def pod(self, directory, **env):
        return {"env": {"KONDUCTOR_STORE": None, "HOME": str(self.directory), **self.c.pod_env(), **env},
                "wrapper": self.c.pod_argv(directory)}

    SCRIPT = 'local k = require "konductor"\nk.once "x" { run = { "true" } }\n'

    def test_uses_its_service_account_and_its_namespace(self):
        token, user = self.account()
        directory = self.c.in_cluster_dir(self.ns, token)
        mark = self.c.audit_mark()
        replica = self.cluster.start(self.cluster.script(self.SCRIPT), **self.pod(directory, KONDUCTOR_STORE="kube-lease"))
        self.assertEqual(replica.wait(), 0, replica.stderr)
        self.assertTrue(self.c.audit(mark, user=user, verb="create", resource="leases", namespace=self.ns))

    def test_chooses_custom_resources_when_nothing_is_said(self):
        token, _ = self.account()
        replica = self.cluster.start(self.cluster.script(self.SCRIPT), **self.pod(self.c.in_cluster_dir(self.ns, token)))
        self.assertNotEqual(replica.wait(), 0)
        self.assertIn("onces", replica.stderr)
        self.assertNotIn("only processes on this machine", replica.stderr)

    def test_takes_a_token_that_the_kubelet_renews(self):
        token, _ = self.account()
        directory = self.c.in_cluster_dir(self.ns, token)
        replica = self.cluster.start(self.cluster.script(LEADER), **self.pod(directory, KONDUCTOR_STORE="kube-lease"))
        replica.wait_event("start")
        self.c.rotate_token(directory, self.renew_account())
        self.still_leads(replica)
        replica.stop()

    def test_without_a_service_account_is_an_error_and_never_a_local_file(self):
        env = {"KONDUCTOR_STORE": None, "KUBECONFIG": None, "HOME": str(self.directory), "XDG_STATE_HOME": None,
               "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        done = self.cluster.run("run", self.cluster.script(self.SCRIPT), "--listen", "off", env=env)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("automountServiceAccountToken", done.stderr)
        self.assertFalse((self.directory / ".local").exists())


if __name__ == "__main__":
    unittest.main()
