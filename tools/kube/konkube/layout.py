"""Where the files of a cluster are, and the command lines of its servers.

    DIRECTORY/cluster.json     what a later process needs to find the servers (Cluster.attach)
    DIRECTORY/keeper.sock      keeper.py
    DIRECTORY/pki/             certs.py
    DIRECTORY/etcd/            data; etcd.log; of further members etcd1/, etcd1.log ...
    DIRECTORY/apiserverN.log, audit-N.log, clock-N
    DIRECTORY/kubeconfig-USER  written on demand
"""

import json

SERVICE_RANGE = "10.96.0.0/16"
ISSUER = "https://kubernetes.default.svc"
ADMIN = "admin"
# Bearer tokens of users; alice, bob and cert-user may do nothing until a test grants it.
TOKEN_USERS = (ADMIN, "alice", "bob")
CERT_USER = "cert-user"
CERT_GROUPS = ("konductor-testers",)
# Every request but the servers' own to themselves, at both ends: a request that was received and not answered shows.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]},
        {"level": "Metadata"},
    ],
}


def write_static(directory, tokens):
    """Files that never change: users and audit policy."""
    lines = [f'{tokens[user]},{user},{user}' + (',"system:masters"' if user == ADMIN else "") for user in TOKEN_USERS]
    users = directory / "tokens.csv"
    users.touch(mode=0o600)
    users.write_text("\n".join(lines) + "\n", encoding="ascii")
    (directory / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY), encoding="ascii")


def etcd_name(member):
    """Of its process, its log and its data."""
    return f"etcd{member or ''}"


def etcd_member(name):
    return int(name.removeprefix("etcd") or 0)


def etcd_url(port):
    return f"http://127.0.0.1:{port}"


def etcd(programs, directory, member, ports):
    """One member; ports: for clients and for its peers, of each member."""
    client, peer = (etcd_url(port) for port in ports[2 * member:2 * member + 2])
    name = etcd_name(member)
    everybody = ",".join(f"{etcd_name(n)}={etcd_url(port)}" for n, port in enumerate(ports[1::2]))
    return [programs.etcd, "--name", name, "--data-dir", f"{directory}/{name}", "--unsafe-no-fsync", "--log-level=warn",
            "--logger=zap", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster={everybody}"]


def apiserver(programs, directory, number, port, etcd_ports, extra):
    pki = f"{directory}/pki"
    flags = {
        "etcd-servers": ",".join(map(etcd_url, etcd_ports[::2])),
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "endpoint-reconciler-type": "none",
        "secure-port": port,
        "tls-cert-file": f"{pki}/server.crt",
        "tls-private-key-file": f"{pki}/server.key",
        "client-ca-file": f"{pki}/client-ca.crt",
        "token-auth-file": f"{directory}/tokens.csv",
        "authorization-mode": "RBAC",
        "service-account-issuer": ISSUER,
        "service-account-key-file": f"{pki}/service-accounts.pub",
        "service-account-signing-key-file": f"{pki}/service-accounts.key",
        "service-cluster-ip-range": SERVICE_RANGE,
        "audit-policy-file": f"{directory}/audit-policy.json",
        "audit-log-path": f"{directory}/audit-{number}.log",
        "audit-log-mode": "blocking",
        "audit-log-maxsize": 100000,  # MB: never a second file
    }
    return [programs.apiserver, *[f"--{name}={value}" for name, value in flags.items()], *extra]
