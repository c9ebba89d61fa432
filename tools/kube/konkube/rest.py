"""One HTTPS request, and what came back."""

import http.client
import json
import ssl


class Response:
    """status, reason, headers (names in any case), body (bytes)."""

    def __init__(self, answer):
        self.status = answer.status
        self.reason = answer.reason
        self.headers = answer.headers
        self.body = answer.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.reason}: {self.body[:300]!r}>"


def context(ca_file, certificate=None):
    """TLS that trusts one authority. certificate: (certificate file, key file) of a client."""
    made = ssl.create_default_context(cafile=ca_file)
    if certificate:
        made.load_cert_chain(*map(str, certificate))
    return made


def request(port, tls, method, path, body=None, token=None, headers=None, timeout=30):
    """body: bytes, str, or something to write as JSON. Raises OSError and http.client.HTTPException."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=timeout)
    sent = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
        patch = "application/merge-patch+json" if method == "PATCH" else "application/json"
        sent["Content-Type"] = patch
    try:
        connection.request(method, path, body, {**sent, **(headers or {})})
        return Response(connection.getresponse())
    finally:
        connection.close()
