"""Ways into a cluster: addresses, users, kubeconfigs, namespaces, service accounts, raw requests."""

import base64
import secrets
from pathlib import Path

from . import certs, layout, rest

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: {url}
{authority}
users:
- name: {user}
  user:
{credential}
contexts:
- name: test
  context:
    cluster: test
    user: {user}
    namespace: {namespace}
current-context: test
"""


def base64_of(path):
    return base64.b64encode(Path(path).read_bytes()).decode("ascii")


class Access:
    """Part of Cluster (cluster.py)."""

    # Addresses.

    @property
    def url(self):
        return self.urls[0]

    @property
    def urls(self):
        return [f"https://127.0.0.1:{port}" for port in self.state["ports"]]

    @property
    def pki(self):
        """The directory of certificates and keys."""
        return self.directory / "pki"

    @property
    def ca_file(self):
        return self.pki / "server-ca.crt"

    @property
    def ca_pem(self):
        return self.ca_file.read_text(encoding="ascii")

    # Users.

    @property
    def admin_token(self):
        return self.token(layout.ADMIN)

    def token(self, user):
        """The static token of admin, alice or bob."""
        return self.state["tokens"][user]

    def client_certificate(self, user=layout.CERT_USER, groups=layout.CERT_GROUPS, days=365):
        """Paths of a certificate for that user, which the servers take, and of its key; made once."""
        made = self.pki / f"client-{user}.crt", self.pki / f"client-{user}.key"
        return made if made[0].exists() else certs.client(self.pki, user, groups, days)

    def kubeconfig(self, user=layout.ADMIN, server=0, url=None, ca_file=None, token=None, namespace="default",
                   inline=False):
        """Path of a kubeconfig. user: admin, alice, bob (tokens), or any other name (client certificate), or any name
        with a token of its own. url: instead of the server's, a proxy's. inline: everything as *-data, no paths."""
        ca_file = ca_file or self.ca_file
        authority = f"    certificate-authority{'-data' if inline else ''}: {base64_of(ca_file) if inline else ca_file}"
        token = token or self.state["tokens"].get(user)
        if token:
            credential = f"    token: {token}"
        elif inline:
            certificate, key = map(base64_of, self.client_certificate(user))
            credential = f"    client-certificate-data: {certificate}\n    client-key-data: {key}"
        else:
            certificate, key = self.client_certificate(user)
            credential = f"    client-certificate: {certificate}\n    client-key: {key}"
        plain = (server, url, ca_file, token, namespace, inline) == (
            0, None, self.ca_file, self.state["tokens"].get(user), "default", False)
        path = self.directory / (f"kubeconfig-{user}" + ("" if plain else "-" + secrets.token_hex(4)))
        text = KUBECONFIG.format(url=url or self.urls[server], authority=authority, credential=credential, user=user,
                                 namespace=namespace)
        new = path.with_name(path.name + f".{secrets.token_hex(4)}")
        new.touch(mode=0o600)
        new.write_text(text, encoding="ascii")
        return new.rename(path)

    # Requests.

    def request(self, method, path, body=None, token=None, headers=None, server=0, certificate=None, timeout=30):
        """One request on a connection of its own; rest.Response. token: admin's by default, "" for none.
        certificate: what client_certificate() returns, instead of a token."""
        if token is None and certificate is None:
            token = self.admin_token
        return rest.request(self.state["ports"][server], rest.context(self.ca_file, certificate), method, path, body,
                            token, headers, timeout)

    def ask_ok(self, method, path, body=None, **how):
        """As request(), but the answer as an object, and AssertionError unless it is 2xx."""
        answer = self.request(method, path, body, **how)
        if not 200 <= answer.status < 300:
            raise AssertionError(f"{method} {path}: {answer}")
        return answer.json

    # Things to use.

    def namespace(self, prefix="test"):
        """Makes a namespace and returns its name."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.ask_ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def service_account(self, namespace, name, rules=(), seconds=3600):
        """Makes a service account that may do what the rules say, e.g. [{"apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"], "verbs": ["get", "create", "update"]}], and returns a token of it, valid so many
        seconds (at least 600). Every server that runs knows the rules when this returns."""
        core, rbac = f"/api/v1/namespaces/{namespace}", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.ask_ok("POST", f"{core}/serviceaccounts", {"metadata": {"name": name}})
        if rules:
            self.grant(namespace, name, {"kind": "ServiceAccount", "name": name, "namespace": namespace}, rules)
        token = self.service_account_token(namespace, name, seconds)
        for rule in rules:
            self.wait_allowed(namespace, token, rule)
        return token

    def service_account_token(self, namespace, name, seconds=3600):
        """One more token for it, by TokenRequest."""
        body = {"spec": {"expirationSeconds": seconds}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return self.ask_ok("POST", path, body)["status"]["token"]

    def grant(self, namespace, name, subject, rules):
        """Makes a Role and a RoleBinding, both of that name. subject: {"kind": "User", "name": "alice"} or so."""
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        if subject["kind"] != "ServiceAccount":
            subject = {"apiGroup": "rbac.authorization.k8s.io", **subject}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        self.ask_ok("POST", f"{rbac}/roles", {"metadata": {"name": name}, "rules": list(rules)})
        self.ask_ok("POST", f"{rbac}/rolebindings",
                    {"metadata": {"name": name}, "subjects": [subject], "roleRef": role})

    def wait_allowed(self, namespace, token, rule):
        """Waits until every running server has heard of a rule: they learn of Roles by watches of their own."""
        from .cluster import wait_for

        wanted = {key: sorted(rule.get(key, [])) for key in ("apiGroups", "resources", "verbs")}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                  "spec": {"namespace": namespace}}

        def known(server):
            answer = self.ask_ok("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review, token=token,
                                 server=server)
            return any(all(sorted(found.get(key, [])) == value for key, value in wanted.items())
                       for found in answer["status"]["resourceRules"])

        for server in range(self.servers):
            if self.running(server):
                wait_for(lambda: known(server), f"server {server} to know the rule {rule}", 30)
