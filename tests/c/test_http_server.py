"""The other side of the tests of core/http.c: servers that behave well and badly, over HTTP/1.1, HTTP/2 and TLS.

    test_http_server.py DIRECTORY

Makes its certificates in DIRECTORY, prints "port NAME NUMBER" for each server and then "ready"; from then on a line
for everything that happens: "connect NAME", "accept NAME [CLIENT]", "request NAME METHOD PATH", "gone NAME".  On standard input it is
told "release TOKEN", for which some answers wait.  An "accept" over TLS also says "resumed" or "full".  Ends when standard input does.
"""

import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

SAY = threading.Lock()
TOKENS = {}
TOKENS_LOCK = threading.Lock()
DATE = "Tue, 15 Nov 1994 08:12:31 GMT"


def say(*words):
    with SAY:
        print(*words, flush=True)


def token(name):
    """Set once and for all by "release NAME"."""
    with TOKENS_LOCK:
        return TOKENS.setdefault(name, threading.Event())


# --- certificates ---


def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def write(path, text):
    with open(path, "w") as out:
        out.write(text)


class Authority:
    """A certificate authority with the openssl command: its `ca` can date certificates as it is told."""

    def __init__(self, directory, name):
        self.at = os.path.join(directory, name)
        os.makedirs(self.at)
        self.path = lambda leaf: os.path.join(self.at, leaf)
        write(self.path("index"), "")
        write(self.path("serial"), "01\n")
        write(self.path("config"), f"""
[ca]
default_ca = here
[here]
dir = {self.at}
database = {self.path("index")}
serial = {self.path("serial")}
new_certs_dir = {self.at}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = dn
[dn]
""")
        self.key("ca.key")
        openssl("req", "-x509", "-config", self.path("config"), "-new", "-key", self.path("ca.key"), "-days", "30",
                "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-out", self.path("ca.pem"))

    def key(self, leaf):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path(leaf))

    def issue(self, name, names=None, start=None, end=None):
        """NAME.pem and NAME.key, signed; names as subjectAltName takes them."""
        self.key(f"{name}.key")
        openssl("req", "-new", "-config", self.path("config"), "-key", self.path(f"{name}.key"), "-subj",
                f"/CN={name}", "-out", self.path(f"{name}.csr"))
        extensions = "basicConstraints=CA:FALSE\n" + (f"subjectAltName={names}\n" if names else "")
        write(self.path(f"{name}.ext"), extensions)
        dates = (["-startdate", start] if start else []) + (["-enddate", end] if end else ["-days", "30"])
        openssl("ca", "-batch", "-notext", "-config", self.path("config"), "-cert", self.path("ca.pem"), "-keyfile",
                self.path("ca.key"), "-in", self.path(f"{name}.csr"), "-extfile", self.path(f"{name}.ext"), *dates,
                "-out", self.path(f"{name}.pem"))
        return self.path(f"{name}.pem"), self.path(f"{name}.key")


# --- what is answered: generators of steps, which HTTP/1.1 and HTTP/2 both carry out ---
#   ("head", status, {header: value})   ("data", bytes)   ("wait", token)   ("end",)
#   ("reset",) the connection, or the stream of HTTP/2   ("close",) the connection in the middle of everything
#   ("goaway",) only HTTP/2


def whole(status, body, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers.setdefault("content-type", "application/json")
    yield "head", status, {"date": DATE, "content-length": str(len(body)), **headers}
    yield "data", body
    yield ("end",)


def echo(method, path, headers, body):
    """What arrived, as JSON; headers as a list, so that a second one of a name shows."""
    return whole(200, json.dumps({"method": method, "path": path, "headers": headers,
                                  "body": body.decode("latin-1")}).encode())


def stream(count, waits):
    """Numbered lines, the next one when it is released: l0, l1, ..."""
    yield "head", 200, {"content-type": "application/json"}
    for number in range(count):
        if waits:
            yield "wait", f"l{number}"
        yield "data", b'{"line":%d}\n' % number
    yield ("end",)


def split(sizes):
    """The digits 0 to 9, a thousand times, in pieces of these sizes."""
    text = b"0123456789" * 1000
    yield "head", 200, {"content-type": "text/plain"}
    at = number = 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        yield "data", text[at:at + size]
        at += size
        number += 1
    yield ("end",)


def broken(*steps):
    yield "head", 200, {"content-length": "100"}
    yield "data", b"0123456789"
    yield from steps


def answer(method, path, headers, body):
    """The steps for a request."""
    path, _, query = path.partition("?")
    if path == "/echo":
        return echo(method, path + ("?" + query if query else ""), headers, body)
    if path == "/limited":
        return whole(429, b"{}", retry_after="7")
    if path == "/dated":
        return whole(429, b"{}", retry_after=DATE)
    if path == "/html":
        return whole(200, b"<!DOCTYPE html><title>Sign in</title>", content_type="text/html; charset=utf-8")
    if path == "/elsewhere":
        return whole(302, b"", location="/echo")
    if path == "/never":
        return iter([("wait", "never")])
    if path == "/later":
        return iter([("wait", query), *whole(200, b"late")])
    if path == "/silent":
        return iter([("head", 200, {"content-type": "application/json"}), ("wait", "never")])
    if path == "/half":
        return iter([("head", 200, {"content-length": "10"}), ("data", b"01234"), ("wait", "never")])
    if path == "/lines":
        return stream(int(query), True)
    if path == "/split":
        return split([int(size) for size in query.split(",")])
    if path == "/big":
        return whole(200, b"x" * int(query))
    if path == "/endless":
        return iter([("head", 200, {}), *[("data", b"y" * 16384)] * 64, ("end",)])
    if path == "/denied":
        return whole(403, b'{"message":"no"}')
    if path == "/nothing":
        return iter([("head", 204, {}), ("end",)])
    if path == "/reset":
        return iter([("reset",)])
    if path == "/vanish":
        return iter([("close",)])
    if path == "/cut":
        return broken(("close",))
    if path == "/torn":
        return broken(("reset",))
    if path == "/truncated":
        return iter([("head", 200, {}), ("data", b"0123456789"), ("half-chunk",), ("close",)])
    if path == "/last":
        return iter([*whole(200, b"bye"), ("wait", query), ("close",)])
    if path == "/goaway":
        return iter([("goaway",), *whole(200, b"going")])
    return whole(404, b"404 page not found\n", content_type="text/plain")


# --- HTTP/1.1 ---


class Broken(Exception):
    pass


def read_request(reader):
    """(method, path, headers, body), or None at the end."""
    line = reader.readline()
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split()
    headers = []
    length = 0
    while (line := reader.readline().decode("latin-1").strip()):
        name, _, value = line.partition(":")
        headers.append([name.lower(), value.strip()])
        if name.lower() == "content-length":
            length = int(value)
    return method, path, headers, reader.read(length) if length else b""


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Broken


def write_steps(connection, steps):
    chunked = False
    for step in steps:
        if step[0] == "head":
            _, status, headers = step
            chunked = "content-length" not in headers and status != 204
            head = f"HTTP/1.1 {status} Words\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            connection.sendall((head + ("transfer-encoding: chunked\r\n" if chunked else "") + "\r\n").encode())
        elif step[0] == "data" and step[1]:
            connection.sendall(b"%x\r\n%s\r\n" % (len(step[1]), step[1]) if chunked else step[1])
        elif step[0] == "half-chunk":
            connection.sendall(b"64\r\nnot a hundred")
        elif step[0] == "wait":
            token(step[1]).wait()
        elif step[0] == "end" and chunked:
            connection.sendall(b"0\r\n\r\n")
        elif step[0] == "reset":
            reset(connection)
        elif step[0] == "close":
            raise Broken


def drain(connection):
    """Ends what we say, and waits until the other side has ended: a close before would be a reset."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass


def serve_1(name, connection):
    reader = connection.makefile("rb")
    if reader.peek(1)[:1] == b"\x16":  # somebody speaks TLS
        connection.sendall(b"HTTP/1.1 400 Words\r\ncontent-length: 0\r\n\r\n")
        drain(connection)
        return
    while (request := read_request(reader)) is not None:
        say("request", name, request[0], request[1])
        write_steps(connection, answer(*request))


# --- HTTP/2 ---


class Two:
    """One connection; each request has a thread, and all of them write under one lock."""

    def __init__(self, name, connection):
        self.name = name
        self.socket = connection
        self.lock = threading.Condition(threading.RLock())
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests = {}
        self.ended = set()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def send(self, stream_id, data):
        while data:
            with self.lock:
                while (room := self.room(stream_id)) == 0:
                    self.lock.wait()
                self.h2.send_data(stream_id, data[:room])
                self.flush()
            data = data[room:]

    def room(self, stream_id):
        if stream_id in self.ended:
            raise Broken
        return min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)

    def step(self, stream_id, step):
        if step[0] == "data":
            return self.send(stream_id, step[1])
        if step[0] == "wait":
            return token(step[1]).wait()
        with self.lock:
            if step[0] == "head":
                self.h2.send_headers(stream_id, [(":status", str(step[1])), *step[2].items()])
            elif step[0] == "end":
                self.h2.end_stream(stream_id)
            elif step[0] == "reset":
                self.h2.reset_stream(stream_id, 0x2)
            elif step[0] == "goaway":
                # The frame alone: the library's own call would end everything.
                self.socket.sendall(struct.pack("!I", 8)[1:] + b"\x07\x00" + bytes(4) +
                                    struct.pack("!II", stream_id, 0))
            elif step[0] == "close":
                self.socket.shutdown(socket.SHUT_RDWR)
            return self.flush()

    def carry_out(self, stream_id, steps):
        try:
            for step in steps:
                self.step(stream_id, step)
        except (OSError, Broken, KeyError, h2.exceptions.ProtocolError):  # KeyError: the stream was reset
            pass

    def begin(self, stream_id):
        headers, body = self.requests.pop(stream_id)
        pseudo = dict(headers)
        method, path = pseudo[":method"], pseudo[":path"]
        say("request", self.name, method, path)
        steps = answer(method, path, [list(pair) for pair in headers], body)
        threading.Thread(target=self.carry_out, args=(stream_id, steps), daemon=True).start()

    def on(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = (event.headers, b"")
        elif isinstance(event, h2.events.DataReceived):
            headers, body = self.requests[event.stream_id]
            self.requests[event.stream_id] = (headers, body + event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.begin(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.ended.add(event.stream_id)
            say("cancelled", self.name)

    def serve(self):
        with self.lock:
            self.h2.initiate_connection()
            self.flush()
        while (data := self.socket.recv(65536)):
            with self.lock:
                for event in self.h2.receive_data(data):
                    self.on(event)
                self.flush()
                self.lock.notify_all()


# --- a proxy ---


def pump(source, sink):
    try:
        while (data := source.recv(65536)):
            sink.sendall(data)
    except OSError:
        pass
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def serve_proxy(name, connection):
    """CONNECT for user "ada" with password "pass word" (as the test writes them in its URL)."""
    reader = connection.makefile("rb", buffering=0)
    method, target, headers, _ = read_request(reader)
    say("request", name, method, target)
    authorization = dict(headers).get("proxy-authorization", "")
    if authorization != "Basic YWRhOnBhc3Mgd29yZA==":
        connection.sendall(b"HTTP/1.1 407 No\r\nproxy-authenticate: Basic realm=x\r\ncontent-length: 0\r\n\r\n")
        return
    host, _, port = target.rpartition(":")
    if port == "1":
        connection.sendall(b"HTTP/1.1 502 Unreachable\r\ncontent-length: 0\r\n\r\n")
        return
    with socket.create_connection((host, int(port))) as other:
        connection.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
        threading.Thread(target=pump, args=(other, connection), daemon=True).start()
        pump(connection, other)


def serve_silence(_name, _connection):
    token("never").wait()


# --- the servers ---


def tls_of(connection):
    """What there is to say of a TLS connection: how it was made, and by whom."""
    if not isinstance(connection, ssl.SSLSocket):
        return []
    certificate = connection.getpeercert()
    client = [field[0][1] for field in certificate["subject"]] if certificate else []
    return ["resumed" if connection.session_reused else "full", *client]


def shake_hands(connection, context):
    """When it fails, the client gets to read why: a close before its last words are read would reset it."""
    raw = connection.dup()
    try:
        wrapped = context.wrap_socket(connection, server_side=True)
        raw.close()
        return wrapped
    except ssl.SSLError:
        with raw:
            drain(raw)
        raise


def handle(name, connection, context, serve):
    try:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            say("connect", name)
            if context:
                connection = shake_hands(connection, context)
            say("accept", name, *tls_of(connection))
            if context and connection.selected_alpn_protocol() == "h2":
                Two(name, connection).serve()
            else:
                serve(name, connection)
    except (OSError, Broken, ValueError, TypeError, h2.exceptions.ProtocolError):
        pass
    finally:
        connection.close()
        say("gone", name)


def accept(name, listener, context, serve):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(name, connection, context, serve), daemon=True).start()


def start(name, serve=serve_1, certificate=None, protocols=("http/1.1",), client_ca=None):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.set_alpn_protocols(list(protocols))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=accept, args=(name, listener, context, serve), daemon=True).start()
    say("port", name, listener.getsockname()[1])


def main(directory):
    ours = Authority(directory, "ours")
    theirs = Authority(directory, "theirs")
    good = ours.issue("server", "DNS:localhost,IP:127.0.0.1")
    for user in ("ada", "bob"):
        ours.issue(user)
    theirs.issue("eve")
    start("plain")
    start("tls", certificate=good)
    start("h2", certificate=good, protocols=("h2", "http/1.1"))
    start("mutual", certificate=good, protocols=("h2",), client_ca=ours.path("ca.pem"))
    start("other", certificate=ours.issue("other", "DNS:other.example,DNS:*.other.example,IP:10.1.2.3"))
    start("expired", certificate=ours.issue("expired", "IP:127.0.0.1", "20200101000000Z", "20200201000000Z"))
    start("early", certificate=ours.issue("early", "IP:127.0.0.1", "20980101000000Z", "20990101000000Z"))
    start("foreign", certificate=theirs.issue("foreign", "IP:127.0.0.1"))
    start("selfmade", certificate=(theirs.path("ca.pem"), theirs.path("ca.key")))
    start("proxy", serve=serve_proxy)
    start("silent", serve=serve_silence)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        say("port", "closed", closed.getsockname()[1])
    say("ready")
    for line in sys.stdin:
        word, name = line.split()
        if word == "release":
            token(name).set()


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # threads may wait for ever
