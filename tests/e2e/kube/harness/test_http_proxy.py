"""The proxy that sees requests does to each what its action says, and the API server agrees."""

import http.client
import json
import socket
import ssl
import threading
import time
import unittest

from kube.cluster import shared_cluster, wait_for
from kube.http_proxy import (HttpProxy, answer, drop_answer, forward, forward_then, late, refuse, truncate, twice)
from konkube import rest


class Faults(unittest.TestCase):
    def setUp(self):
        self.c = shared_cluster()
        self.ns = self.c.namespace()
        self.maps = f"/api/v1/namespaces/{self.ns}/configmaps"
        self.proxy = HttpProxy(self.c)
        self.addCleanup(self.proxy.close)
        self.tls = rest.context(self.c.ca_file)

    def ask(self, method, path, body=None, token=None):
        return rest.request(self.proxy.port, self.tls, method, path, body, token or self.c.admin_token)

    def create(self, name, text="0"):
        return self.ask("POST", self.maps, {"metadata": {"name": name}, "data": {"x": text}})

    def names(self):
        """What the server has, asked without the proxy."""
        return [item["metadata"]["name"] for item in self.c.ask_ok("GET", self.maps)["items"]]

    def test_a_request_passes_with_its_token_and_its_answer(self):
        self.assertEqual(self.create("a").status, 201)
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(self.ask("GET", self.maps, token=self.c.token("alice")).status, 403)
        self.assertEqual([(r.method, r.status, r.upstream) for r in self.proxy.seen()],
                         [("POST", 201, [201]), ("GET", 403, [403])])

    def test_kubectl_works_through_it(self):
        config = self.c.kubeconfig(url=self.proxy.url)
        self.c.kubectl("--kubeconfig", config, "create", "configmap", "b", "-n", self.ns)
        self.assertEqual(self.names(), ["b"])
        self.assertTrue(self.proxy.seen("POST", "configmaps"))

    def test_one_connection_carries_several_requests(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.proxy.port, context=self.tls, timeout=30)
        self.addCleanup(connection.close)
        local = []
        for _ in range(3):
            connection.request("GET", "/version", headers={"Authorization": f"Bearer {self.c.admin_token}"})
            self.assertEqual(connection.getresponse().read()[:1], b"{")
            local.append(connection.sock.getsockname())
        self.assertEqual(len(set(local)), 1)

    def test_the_last_answer_on_a_connection_says_so_and_ends_it(self):
        self.proxy.once(forward(last=True))
        plain = socket.create_connection(("127.0.0.1", self.proxy.port), 30)
        with self.tls.wrap_socket(plain, server_hostname="127.0.0.1") as wire, wire.makefile("rb") as answers:
            wire.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            text = answers.read()  # ends with the connection
        self.assertIn(b"\r\nConnection: close\r\n", text)

    def test_a_dropped_answer_leaves_the_write_applied(self):
        self.proxy.once(drop_answer(), "POST")
        with self.assertRaises(ConnectionResetError):
            self.create("c")
        self.assertEqual(self.names(), ["c"])
        self.assertEqual(self.create("d").status, 201)

    def test_a_replayed_put_meets_its_own_first_write(self):
        self.create("e")
        made = self.c.ask_ok("GET", f"{self.maps}/e")
        made["data"]["x"] = "1"
        self.proxy.once(twice(), "PUT")
        self.assertEqual(self.ask("PUT", f"{self.maps}/e", made).status, 409)
        self.assertEqual(self.proxy.seen("PUT")[0].upstream, [200, 409])
        self.assertEqual(self.c.ask_ok("GET", f"{self.maps}/e")["data"]["x"], "1")

    def test_a_request_that_is_answered_here_never_reaches_the_server(self):
        self.proxy.once(answer(429, {"Retry-After": "7"}), "POST")
        said = self.create("f")
        self.assertEqual((said.status, said.headers["Retry-After"], said.json["kind"]), (429, "7", "Status"))
        self.proxy.once(answer(200, {"Content-Type": "text/html"}, "<html>login</html>"), "POST")
        said = self.create("f")
        self.assertEqual((said.body, said.headers["Content-Type"]), (b"<html>login</html>", "text/html"))
        self.assertEqual(self.names(), [])

    def test_an_error_can_be_the_answer_to_a_write_that_was_applied(self):
        self.proxy.once(forward_then(500), "POST")
        self.assertEqual(self.create("g").status, 500)
        self.assertEqual(self.names(), ["g"])

    def test_a_late_write_is_applied_after_its_504(self):
        now = threading.Event()
        self.proxy.once(late(now), "POST")
        self.assertEqual(self.create("h").status, 504)
        self.assertEqual(self.names(), [])
        now.set()
        self.proxy.wait_late()
        self.assertEqual(self.names(), ["h"])

    def test_a_late_write_may_be_late_by_a_time(self):
        started = time.monotonic()
        self.proxy.once(late(0.4), "POST")
        self.assertEqual(self.create("i").status, 504)
        self.proxy.wait_late()
        self.assertGreaterEqual(time.monotonic() - started, 0.4)
        self.assertEqual(self.names(), ["i"])

    def test_a_truncated_answer_says_more_than_it_has(self):
        self.create("j", "y" * 1000)
        self.proxy.once(truncate(100), "GET", "configmaps/j")
        with self.assertRaises(http.client.IncompleteRead) as caught:
            self.ask("GET", f"{self.maps}/j")
        self.assertEqual(len(caught.exception.partial), 100)

    def test_a_refused_request_is_reset_and_not_forwarded(self):
        self.proxy.once(refuse(), "POST")
        with self.assertRaises(ConnectionResetError):
            self.create("k")
        self.assertEqual(self.names(), [])

    def test_rules_end_and_can_be_forgotten_and_a_hook_comes_first(self):
        self.proxy.always(answer(503), path="/version")
        self.proxy.once(answer(418), path="/version", times=2)
        self.assertEqual([self.ask("GET", "/version").status for _ in range(3)], [418, 418, 503])
        self.proxy.hook = lambda request: answer(599) if request.method == "GET" else None
        self.assertEqual(self.ask("GET", "/version").status, 599)
        self.proxy.heal()
        self.assertEqual(self.ask("GET", "/version").status, 200)

    def watch(self):
        """An answer that goes on: lines of a watch."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.proxy.port, context=self.tls, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", f"{self.maps}?watch=1", headers={"Authorization": f"Bearer {self.c.admin_token}"})
        return connection, connection.getresponse()

    def test_a_watch_streams_each_event_when_it_comes(self):
        _, events = self.watch()
        for name in ("l", "m"):
            self.c.ask_ok("POST", self.maps, {"metadata": {"name": name}})
            event = json.loads(events.readline())
            self.assertEqual((event["type"], event["object"]["metadata"].get("name")), ("ADDED", name), event)

    def test_a_watch_ends_at_the_server_when_its_client_goes_away(self):
        mark = self.c.audit_mark()
        connection, events = self.watch()
        self.c.ask_ok("POST", self.maps, {"metadata": {"name": "n"}})
        events.readline()
        self.assertEqual(len(self.c.audit(mark, stage="ResponseStarted", verb="watch", namespace=self.ns)), 1)
        events.close()
        connection.close()
        wait_for(lambda: self.c.audit(mark, verb="watch", namespace=self.ns), "the end of the watch", 20)

    def test_a_client_that_does_not_trust_it_gets_no_answer(self):
        with self.assertRaises(ssl.SSLCertVerificationError):
            rest.request(self.proxy.port, ssl.create_default_context(), "GET", "/version")
        self.assertEqual(self.proxy.seen(), [])


if __name__ == "__main__":
    unittest.main()
