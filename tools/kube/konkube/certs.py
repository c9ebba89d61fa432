"""Certificates and keys of one cluster, made with the openssl command: two authorities, one for the servers and one
for clients, so that a mix-up shows; and the key that signs service account tokens.

Everything is valid since two days ago, so that a server whose clock is set wrong still takes it.
"""

import datetime
import subprocess
import tempfile
from pathlib import Path

SERVER_NAMES = ("DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
                "DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1")
CONFIG = """\
[req]
distinguished_name = dn
prompt = no
[dn]
[ca]
default_ca = own
[own]
database = database
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
[any]
organizationName = optional
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = {names}
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
"""


def openssl(directory, *arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=directory, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise OSError(f"openssl {' '.join(map(str, arguments))} failed: {done.stderr}")


def key(directory, name):
    openssl(directory, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
    (directory / f"{name}.key").chmod(0o600)


def issue(directory, name, subject, section, authority=None, names=SERVER_NAMES, days=365, start=-2):
    """Makes NAME.key and NAME.crt in directory, signed by the authority or by itself.
    section: authority, server or client. start and days count from now, in days; negative days: it has expired."""
    key(directory, name)
    own = directory.resolve() / name
    signer = ["-selfsign", "-keyfile", f"{own}.key"]
    if authority:
        signer = ["-cert", own.with_name(f"{authority}.crt"), "-keyfile", own.with_name(f"{authority}.key")]
    now = datetime.datetime.now(datetime.timezone.utc)
    start, end = ((now + datetime.timedelta(days=d)).strftime("%Y%m%d%H%M%SZ") for d in (start, days))
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "database").touch()
        Path(scratch, "config").write_text(CONFIG.format(names=names), encoding="ascii")
        openssl(scratch, "req", "-new", "-config", "config", "-key", f"{own}.key", "-subj", subject, "-out", "request")
        openssl(scratch, "ca", "-batch", "-notext", "-config", "config", "-extensions", section, "-startdate", start,
                "-enddate", end, *signer, "-in", "request", "-out", f"{own}.crt")


def make(directory):
    """server-ca, client-ca, server, service-accounts (.key and .pub) in the directory."""
    issue(directory, "server-ca", "/CN=konductor test servers", "authority")
    issue(directory, "client-ca", "/CN=konductor test clients", "authority")
    issue(directory, "server", "/CN=kube-apiserver", "server", "server-ca")
    key(directory, "service-accounts")
    openssl(directory, "pkey", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub")


def client(directory, user, groups=(), days=365):
    """Makes client-USER.crt and .key: the user is its common name, the groups its organizations. Returns both paths."""
    subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
    issue(directory, f"client-{user}", subject, "client", "client-ca", days=days)
    return directory / f"client-{user}.crt", directory / f"client-{user}.key"
