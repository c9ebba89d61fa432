"""A proxy that speaks HTTP/2 frames: it ends TLS with a certificate of the cluster's authority, passes frames on as they
are, and sends clients away (GOAWAY) in the middle of a request with a body.

    with H2Proxy(c) as p:
        kubeconfig = c.kubeconfig(url=p.url)
        p.once(unprocessed, rb'"renewals":5\b')   # the next request with this in its body, a regular expression
        p.struck                                 # how many requests have been struck so far

An action is a function of the connection and the stream of the request, whose frames are in the connection's `held`:

    unprocessed      not forwarded; the client is told so, by the number of the last stream that is worked on
    refused          not forwarded; the stream is reset as refused, and the client sent away
    answered         forwarded and answered; the client is sent away before the answer
    unanswered       forwarded; when the server answers, the client is sent away with an error, and the connection ends
    vanished         not forwarded; but told as `unanswered` is
    belied           forwarded; when the server answers, the client is told that it was not, as `unprocessed` is

Headers are not decoded: both directions keep the tables of the two ends, so frames stay in their order, and a connection
that has lost one takes no new stream.
"""

import contextlib
import re
import select
import socket
import ssl
import struct
import threading

from kube import cluster  # noqa: F401  makes konkube importable
from konkube import rest
from kube.proxy import PORTS

PREFACE = 24
DATA, HEADERS, RST_STREAM, GOAWAY = 0, 1, 3, 7
END_STREAM = 1
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM = 0, 2, 7


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def goaway(last, code):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


# Actions.


def unprocessed(connection, stream):
    connection.send_away(stream - 2)
    connection.forward()


def refused(connection, stream):
    connection.to_client(frame(RST_STREAM, 0, stream, struct.pack(">I", REFUSED_STREAM)))
    unprocessed(connection, stream)


def answered(connection, stream):
    connection.send_away(stream)
    connection.forward()


def unanswered(connection, stream):
    connection.at_answer[stream] = lambda: connection.end(stream)
    connection.forward()


def vanished(connection, stream):
    connection.end(stream)


def belied(connection, stream):
    connection.at_answer[stream] = lambda: connection.send_away(stream - 2)
    connection.forward()


class End(Exception):
    """The connection ends."""


class Frames:
    """Whole frames out of what comes: their kind, flags, stream, payload, and all of their bytes."""

    def __init__(self, skip=0):
        self.skip, self.bytes = skip, b""

    def take(self, data):
        """What stands before the first frame, and the frames."""
        self.bytes += data
        before = b""
        if self.skip and len(self.bytes) >= self.skip:
            before, self.bytes, self.skip = self.bytes[:self.skip], self.bytes[self.skip:], 0
        found = []
        while not self.skip and len(self.bytes) >= 9:
            size = int.from_bytes(self.bytes[:3], "big") + 9
            if len(self.bytes) < size:
                break
            one, self.bytes = self.bytes[:size], self.bytes[size:]
            found.append((one[3], one[4], int.from_bytes(one[5:9], "big") & 0x7FFFFFFF, one[9:], one))
        return before, found


class Connection:
    """One of a client, and ours to the server for it."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.sides = {client: Frames(PREFACE), server: Frames()}
        self.held = []  # frames of a request whose body is not complete, and what came after its first
        self.last = None  # the last stream that may be opened, once the client was sent away
        self.at_answer = {}  # stream: what to do instead of passing its answer on
        self.silent = set()  # streams of which the client hears nothing any more

    def to_client(self, data):
        self.client.sendall(data)

    def send_away(self, last, code=NO_ERROR):
        self.last = last
        self.silent.update(s for s in self.at_answer if s > last)
        self.to_client(goaway(last, code))

    def end(self, last):
        self.to_client(goaway(last, INTERNAL_ERROR))
        raise End

    def forward(self):
        """What is held goes on, but for streams that are too late: the server never hears of them."""
        for _, _, stream, _, data in self.held:
            if self.last is None or stream <= self.last:
                self.server.sendall(data)
        self.held = []

    def from_client(self, one):
        kind, flags, stream, _, _ = one
        self.held.append(one)
        first = self.held[0]
        if first[0] != HEADERS or first[1] & END_STREAM:
            self.forward()
        elif stream == first[2] and kind == DATA and flags & END_STREAM:
            body = b"".join(f[3] for f in self.held if f[2] == stream and f[0] == DATA)
            action = self.proxy.choose(body) if self.last is None else None
            if action:
                action(self, stream)
            else:
                self.forward()

    def from_server(self, one):
        kind, _, stream, _, data = one
        if kind == HEADERS and stream in self.at_answer:
            self.silent.add(stream)
            self.at_answer.pop(stream)()
        if stream not in self.silent:
            self.to_client(data)

    def relay(self):
        """Passes on what comes from either, in one thread, because a TLS connection is not for two."""
        take = {self.client: (self.server, self.from_client), self.server: (self.client, self.from_server)}
        while not self.proxy.closing.is_set():
            ready = [s for s in take if s.pending()] or select.select(list(take), [], [], 0.1)[0]
            for side in ready:
                other, each = take[side]
                data = side.recv(65536)
                if not data:
                    return
                before, frames = self.sides[side].take(data)
                if before:
                    other.sendall(before)
                for one in frames:
                    each(one)


class H2Proxy:
    def __init__(self, behind, server=0):
        """behind: the Cluster; server: which of its API servers."""
        self.target = behind.state["ports"][server]
        self.upstream_tls = rest.context(behind.ca_file)
        self.upstream_tls.set_alpn_protocols(["h2"])
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(behind.pki / "server.crt", behind.pki / "server.key")
        self.tls.set_alpn_protocols(["h2"])
        self.rules, self.struck, self.connections = [], 0, 0
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.port = PORTS.take()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def once(self, action, inside=b""):
        """The next request whose body has this in it, a regular expression."""
        with self.lock:
            self.rules.append((action, re.compile(inside)))

    def choose(self, body):
        with self.lock:
            for rule in self.rules:
                if rule[1].search(body):
                    self.rules.remove(rule)
                    self.struck += 1
                    return rule[0]
        return None

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=(client,), daemon=True))
            self.threads[-1].start()

    def serve(self, raw):
        """Both ends of one connection; who does not speak HTTP/2 is an error here, so that a test cannot pass without."""
        with contextlib.suppress(OSError, End), contextlib.ExitStack() as stack:
            stack.enter_context(raw)
            raw.settimeout(60)
            client = stack.enter_context(self.tls.wrap_socket(raw, server_side=True))
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", self.target), 60))
            server = stack.enter_context(self.upstream_tls.wrap_socket(plain, server_hostname="127.0.0.1"))
            if (client.selected_alpn_protocol(), server.selected_alpn_protocol()) == ("h2", "h2"):
                self.connections += 1
                Connection(self, client, server).relay()

    def close(self):
        self.closing.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()
        PORTS.release(self.port)
