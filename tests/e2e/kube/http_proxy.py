"""A proxy that sees requests: it ends TLS with a certificate of the cluster's authority, and speaks HTTP/1.1 to both.

    with HttpProxy(c) as p:
        kubeconfig = c.kubeconfig(url=p.url)
        p.once(forward_then(500), method="PUT", path="/leases/")     # applied, and answered with an error
        p.always(answer(429, {"Retry-After": "1"}), method="GET")
        p.seen("PUT")                                                # what came so far

What happens to a request is an action; the first rule that fits decides, newest rules first, and without one it is
forwarded. p.hook may be set to a function(request) that returns an action, or None to leave it to the rules.

    forward(last=False)    as a proxy should; watches are streamed. last: "Connection: close", and so it ends
    drop_answer()          forwarded; the client's connection is reset instead of an answer
    twice(deliver=1)       forwarded two times, one after the other; the client gets answer 0 or 1
    answer(status, ...)    not forwarded
    forward_then(status)   forwarded; the client gets this instead of the server's answer
    late(when, status)     answered at once, forwarded later: after so many seconds, or when a threading.Event is set
    truncate(n)            forwarded; the head of the answer and n bytes of its body, then the connection ends
    refuse()               not forwarded; the connection is reset

Credentials that are headers pass through; a client certificate ends here. HTTP/2 is not offered: h2_proxy.py
has that, and its GOAWAY also comes from the server itself, when it is stopped or with --goaway-chance=0.02.
"""

import contextlib
import http.client
import json
import os
import re
import select
import socket
import ssl
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kube import cluster  # noqa: F401  makes konkube importable
from konkube import rest
from kube.proxy import PORTS

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}


class Request:
    """method, path (with query), headers, body (bytes). Later: status of what the client got, upstream of what the
    server said to each time it was forwarded."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.status = None
        self.upstream = []

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.method} {self.path}: {self.status}, server {self.upstream}>"


# Actions: functions of the exchange.


def forward(last=False):
    def act(exchange):
        exchange.handler.close_connection |= last
        exchange.stream(exchange.send())
    return act


def drop_answer():
    def act(exchange):
        exchange.send_and_read()
        exchange.reset()
    return act


def twice(deliver=1):
    def act(exchange):
        answers = [exchange.send_and_read(), exchange.send_and_read()]
        exchange.reply(answers[deliver].status, dict(answers[deliver].headers), answers[deliver].body)
    return act


def answer(status, headers=None, body=None):
    """body: bytes or text as it is, an object as JSON, None: a Status as the API server would write it."""
    return lambda exchange: exchange.reply(status, headers or {}, body)


def forward_then(status, headers=None, body=None):
    def act(exchange):
        exchange.send_and_read()
        exchange.reply(status, headers or {}, body)
    return act


def late(when, status=504, headers=None, body=None):
    def act(exchange):
        exchange.send_later(when)
        exchange.reply(status, headers or {}, body)
    return act


def truncate(count):
    return lambda exchange: exchange.stream(exchange.send(), count)


def refuse():
    return lambda exchange: exchange.reset()


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, handler, request):
        self.handler, self.request = handler, request
        self.proxy = handler.server.proxy

    def send(self, timeout=None):
        """Sends the request to the server; returns connection, its socket, and the answer, its body not read yet."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.proxy.target, context=self.proxy.upstream_tls,
                                                 timeout=timeout)
        headers = {k: v for k, v in self.request.headers.items() if k.lower() not in HOP_BY_HOP}
        connection.request(self.request.method, self.request.path, self.request.body or None, headers)
        wire = connection.sock
        got = connection.getresponse()
        self.request.upstream.append(got.status)
        return connection, wire, got

    def send_and_read(self):
        connection, _, got = self.send(60)
        try:
            return rest.Response(got)
        finally:
            connection.close()

    def send_later(self, when):
        def wait_and_send():
            if isinstance(when, threading.Event):
                reached = self.proxy.closing.wait_for(when)
            else:
                reached = not self.proxy.closing.event.wait(when)
            if reached:
                with contextlib.suppress(OSError):  # the server is gone: it never lands
                    self.send_and_read()

        thread = threading.Thread(target=wait_and_send, daemon=True)
        self.proxy.late.append(thread)
        thread.start()

    def reply(self, status, headers, body):
        if body is None:
            body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status,
                    "message": "made by a test", "reason": http.client.responses.get(status, "")}
            headers = {"Content-Type": "application/json", **headers}
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        self.head(status, {**headers, "Content-Length": str(len(body))}.items())
        self.handler.wfile.write(body)

    def head(self, status, headers):
        self.request.status = status
        self.handler.send_response_only(status)
        for name, value in headers:
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def stream(self, sent, count=None):
        """Passes the answer on as it comes; only `count` bytes of its body, if given, and then ends the connection."""
        connection, wire, got = sent
        length = got.headers.get("Content-Length")
        headers = [(k, v) for k, v in got.headers.items() if k.lower() not in HOP_BY_HOP]
        if self.handler.close_connection:
            headers.append(("Connection", "close"))
        chunked = length is None and self.request.method != "HEAD" and got.status not in (204, 304)
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        done = threading.Event()
        threading.Thread(target=self.follow_client, args=(wire, done), daemon=True).start()
        try:
            self.head(got.status, headers)
            left = count
            while left is None or left > 0:
                data = got.read1(65536 if left is None else min(left, 65536))
                if not data:
                    break
                left = None if left is None else left - len(data)
                self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            if count is not None:
                self.handler.close_connection = True
            elif chunked:
                self.handler.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            self.handler.close_connection = True
        finally:
            done.set()
            connection.close()

    def follow_client(self, upstream, done):
        """Ends the server's side when the client goes away in the middle of an answer: else a watch would stay."""
        try:
            with socket.socket(fileno=os.dup(self.handler.connection.fileno())) as client:
                gone = select.poll()
                gone.register(client, select.POLLRDHUP)
                while not done.is_set():
                    if gone.poll(50):
                        socket.socket.shutdown(upstream, socket.SHUT_RDWR)  # not ssl's own, which forgets the session
                        return
        except OSError:
            pass

    def reset(self):
        """RST instead of an answer."""
        self.handler.close_connection = True
        self.handler.abort()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def setup(self):
        self.request.do_handshake()
        super().setup()

    def abort(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def any_method(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body)
        proxy = self.server.proxy
        with proxy.lock:
            proxy.requests.append(request)
        try:
            proxy.choose(request)(Exchange(self, request))
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = any_method

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that goes away, or does not trust us, is no error here."""

    def shutdown_request(self, request):
        try:
            super().shutdown_request(request)
        except OSError:
            pass


class HttpProxy:
    def __init__(self, behind, server=0):
        """behind: the Cluster; server: which of its API servers."""
        self.target = behind.state["ports"][server]
        self.upstream_tls = rest.context(behind.ca_file)
        self.requests, self.late, self.rules = [], [], []
        self.hook = None
        self.lock = threading.Lock()
        self.closing = Closing()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(behind.pki / "server.crt", behind.pki / "server.key")
        tls.set_alpn_protocols(["http/1.1"])
        self.port = PORTS.take()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.proxy = self
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def once(self, action, method=None, path=None, times=1):
        """The next so many requests that fit. path: a regular expression, searched in path and query."""
        with self.lock:
            self.rules.insert(0, [action, method, path and re.compile(path), times])

    def always(self, action, method=None, path=None):
        self.once(action, method, path, float("inf"))

    def heal(self):
        """Forgets all rules and the hook."""
        with self.lock:
            self.rules.clear()
        self.hook = None

    def choose(self, request):
        chosen = self.hook and self.hook(request)
        if chosen:
            return chosen
        with self.lock:
            for rule in self.rules:
                action, method, path, times = rule
                if times > 0 and method in (None, request.method) and (path is None or path.search(request.path)):
                    rule[3] -= 1
                    return action
        return forward()

    def seen(self, method=None, path=""):
        """Requests that came so far."""
        with self.lock:
            return [r for r in self.requests if method in (None, r.method) and re.search(path, r.path)]

    def wait_late(self, timeout=30):
        """Waits until everything that late() put off has been sent and answered by the server."""
        for thread in self.late:
            thread.join(timeout)
            if thread.is_alive():
                raise TimeoutError(f"a late request was not sent within {timeout} s")

    def close(self):
        self.closing.event.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        PORTS.release(self.port)


class Closing:
    """That the proxy ends."""

    def __init__(self):
        self.event = threading.Event()

    def wait_for(self, other):
        """True when the other event came first."""
        while not other.wait(0.02):
            if self.event.is_set():
                return False
        return True
