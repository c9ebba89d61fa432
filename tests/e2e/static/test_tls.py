"""What of TLS an API server, a proxy or a kubeconfig may ask for: versions, ciphers, groups, keys. The static binary
carries an OpenSSL of its own that has been made smaller, so each is tried against the machine's `openssl s_server`, which
accepts that one and nothing else.
"""

import re
import shlex
import subprocess

import lib
from lib import PATIENCE, ClusterTest, binary, wait_for

ANSWER = """HTTP/1.1 404 Not Found
Content-Type: application/json
Connection: close

{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,
"message":"onces.konductor.io \\"job\\" not found","details":{"name":"job","group":"konductor.io","kind":"onces"}}
"""
KEYS = {
    "rsa": "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    "p256": "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    "p384": "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
    "p521": "-algorithm EC -pkeyopt ec_paramgen_curve:P-521",
    "ed25519": "-algorithm ED25519",
}
# The server's key, and what else it insists on.
SERVERS = {
    "tls_12_ecdhe_rsa_aes_128_gcm": ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256"),
    "tls_12_ecdhe_rsa_aes_256_gcm": ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384"),
    "tls_12_ecdhe_rsa_chacha20": ("rsa", "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305"),
    "tls_12_ecdhe_rsa_aes_128_cbc": ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA"),
    "tls_12_ecdhe_ecdsa_aes_128_gcm": ("p256", "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256"),
    "tls_12_ecdhe_ecdsa_chacha20": ("p256", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305"),
    "tls_12_dhe_rsa_aes_256_gcm": ("rsa", "-tls1_2 -cipher DHE-RSA-AES256-GCM-SHA384"),
    "tls_12_rsa_aes_256_gcm": ("rsa", "-tls1_2 -cipher AES256-GCM-SHA384"),
    "tls_13_aes_128_gcm": ("rsa", "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256"),
    "tls_13_aes_256_gcm": ("rsa", "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384"),
    "tls_13_chacha20": ("rsa", "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256"),
    "x25519": ("rsa", "-groups X25519"),
    "x448": ("rsa", "-groups X448"),
    "p256": ("rsa", "-groups P-256"),
    "p384": ("rsa", "-groups P-384"),
    "p521": ("rsa", "-groups P-521"),
    "a_key_on_p384": ("p384", ""),
    "a_key_on_p521": ("p521", ""),
    "a_key_of_ed25519": ("ed25519", ""),
}
# A client's key, and how it is written down.
CLIENTS = {
    "rsa_in_pkcs8": ("rsa", "pkey"),
    "rsa_in_pkcs1": ("rsa", "rsa -traditional"),
    "p256_in_pkcs8": ("p256", "pkey"),
    "p256_in_sec1": ("p256", "ec"),
    "p384_in_pkcs8": ("p384", "pkey"),
    "p521_in_sec1": ("p521", "ec"),
    "ed25519_in_pkcs8": ("ed25519", "pkey"),
}
ENCRYPTED = {
    "in_pkcs8": "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:x",
    "as_openssl_once_wrote_it_with_aes": "rsa -traditional -aes128 -passout pass:x",
    "as_openssl_once_wrote_it_with_triple_des": "rsa -traditional -des3 -passout pass:x",
}


class Tls(ClusterTest):
    def setUp(self):
        super().setUp()
        self.dir = self.cluster.directory
        self.certificate("ca", "p256", "/CN=ca", None)
        self.cluster.file("apis/konductor.io/v1/namespaces/default/onces/job", ANSWER.replace("\n", "\r\n"))
        (self.dir / "koncli").symlink_to(binary())

    def openssl(self, line):
        subprocess.run(["openssl", *shlex.split(line)], cwd=self.dir, check=True, capture_output=True, timeout=60 * PATIENCE)

    def certificate(self, name, kind, subject, signer="ca"):
        """name.key and name.pem, signed by that one, or by itself."""
        self.openssl(f"genpkey {KEYS[kind]} -out {name}.key")
        self.openssl(f"req -new -key {name}.key -subj {subject} -out {name}.csr")
        self.cluster.file(f"{name}.ext", "basicConstraints=critical,CA:true" if signer is None else
                          "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth")
        by = f"-CA {signer}.pem -CAkey {signer}.key -CAcreateserial" if signer else f"-key {name}.key"
        self.openssl(f"x509 -req -in {name}.csr {by} -days 2 -extfile {name}.ext -out {name}.pem")

    def serve(self, kind, options):
        """A server with a key of that kind; the port."""
        self.certificate("server", kind, "/CN=server")
        with open(self.dir / "server.log", "wb") as log:
            server = subprocess.Popen(
                ["openssl", "s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cert", "server.pem", "-key", "server.key",
                 "-CAfile", "ca.pem", "-verify_return_error", *shlex.split(options)],
                cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)

        def port():
            found = re.search(r"ACCEPT [0-9.]+:(\d+)", self.said())
            return found and int(found[1])
        return wait_for(port, what="the server's port", describe=self.said)

    def said(self):
        return (self.dir / "server.log").read_text(errors="replace")

    def check(self, port, user=""):
        config = self.cluster.file("config", f"""
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u, namespace: default}}}}]
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: ca.pem}}}}]
users: [{{name: u, user: {{{user}}}}}]
""")
        done = subprocess.run([self.dir / "koncli", "once", "check", "job", "--store", "kube", "--kubeconfig", config],
                              env=self.cluster.env(), capture_output=True, text=True, timeout=60 * PATIENCE,
                              stdin=subprocess.DEVNULL)
        lib.check_sanitizers("koncli", done.stderr)
        return done

    def answered(self, done):
        self.assertEqual((done.returncode, done.stderr), (0, ""), self.said())
        self.assertIn("has not been executed", done.stdout)

    def client(self, kind, form):
        self.certificate("client", kind, "/CN=somebody")
        self.openssl(f"{form} -in client.key -out formed.key")
        return "client-certificate: client.pem, client-key: formed.key"


def speaks(kind, options):
    def test(self):
        self.answered(self.check(self.serve(kind, options)))
    return test


def shows(kind, form):
    def test(self):
        port = self.serve("rsa", "-Verify 1")
        self.answered(self.check(port, self.client(kind, form)))
        self.assertNotEqual(self.check(port).returncode, 0, "the server wants a certificate")
    return test


def refuses(form):
    def test(self):
        done = self.check(self.serve("rsa", "-Verify 1"), self.client("rsa", form))
        self.assertEqual(done.returncode, 1)
        self.assertIn("client-key is encrypted", done.stderr)
    return test


for name, how in SERVERS.items():
    setattr(Tls, f"test_a_server_that_speaks_only_{name}", speaks(*how))
for name, how in CLIENTS.items():
    setattr(Tls, f"test_a_client_certificate_with_a_key_of_{name}", shows(*how))
for name, form in ENCRYPTED.items():
    setattr(Tls, f"test_an_encrypted_key_{name}_is_refused_as_such", refuses(form))
