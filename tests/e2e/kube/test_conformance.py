"""What the model of an API server (lua/konductor/sim/apiserver.lua) is held to, asked of kube-apiserver: the claims of
tests/lua/conformance, one test each. Lua runs them in a process of its own and asks this one to send every request."""

import email.utils
import http.client
import json
import queue
import socket
import subprocess
import threading
import time
import unittest
import urllib.parse
import urllib.request

from kube.cluster import Cluster, wait_for
from kube.lua import ROOT, install_crds
from konkube import rest

RELAY = ["luajit", "tests/lua/conformance/relay.lua"]
CLAIMS = subprocess.run([*RELAY, "--list"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def with_query(path, query):
    values = {key: "true" if value is True else str(value) for key, value in (query or {}).items()}
    return path + ("?" + urllib.parse.urlencode(values) if values else "")


class Watch:
    """One watch; what it tells is put into a queue: events, and None at its end."""

    def __init__(self, cluster, path):
        self.connection = http.client.HTTPSConnection("127.0.0.1", cluster.state["ports"][0],
                                                      context=rest.context(cluster.ca_file))
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {cluster.admin_token}"})
        self.wire = self.connection.sock
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.events = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            for line in self.answer:
                self.events.put(json.loads(line))
        except (OSError, http.client.HTTPException):
            pass  # cut off, by close() or by a server that ends
        self.events.put(None)

    def next(self, limit_ms):
        try:
            event = self.events.get(timeout=limit_ms / 1000)
        except queue.Empty:
            return {"why": "timeout"}
        if event is None:
            self.events.put(None)
            return {"why": "ended"}
        return {"event": event}

    def close(self):
        try:
            socket.socket.shutdown(self.wire, socket.SHUT_RDWR)  # not ssl's own; wakes the reader
        except OSError:
            pass
        self.reader.join()
        self.connection.close()


class Relay:
    """Carries out what Lua asks for, until a claim has its verdict."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.watches = []
        self.lua = subprocess.Popen(RELAY, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.expect("claim")

    def read(self):
        line = self.lua.stdout.readline()
        if not line:
            raise EOFError(f"Lua ended with {self.lua.wait()}")
        return json.loads(line)

    def expect(self, what):
        message = self.read()
        assert message["do"] == what, message

    def write(self, answer):
        self.lua.stdin.write(json.dumps(answer) + "\n")
        self.lua.stdin.flush()

    def run(self, number):
        """Runs a claim; None, or what it says."""
        self.write({"number": number})
        while True:
            message = self.read()
            what = message.pop("do")
            if what == "verdict":
                self.write({})
                self.expect("claim")
                self.close_watches()
                return None if message["ok"] else message["why"]
            try:
                answer = getattr(self, "do_" + what)(**message)
            except Exception as failure:  # whatever it is, Lua's claim is what fails
                answer = {"failed": repr(failure)}
            self.write(answer)

    def close_watches(self):
        for watch in self.watches:
            watch.close()
        self.watches.clear()

    def close(self):
        self.write({})
        self.close_watches()
        code = self.lua.wait(30)
        self.lua.stdin.close()
        self.lua.stdout.close()
        return code

    def do_send(self, method, path, query=None, body=None):
        got = self.cluster.request(method, with_query(path, query), body)
        date = email.utils.parsedate_to_datetime(got.headers["Date"]).timestamp()
        is_json = got.body.startswith(b"{")  # a 504 is a Status too, though its type is text/plain
        return {"status": got.status, "body": got.json if is_json else got.body.decode(), "date": date}

    def do_unanswered(self, method, path, query, body):
        """The server gives up while etcd stands still; what it had sent there, etcd finds when it goes on."""
        self.cluster.pause_etcd()
        try:
            return self.do_send(method, path, {**query, "timeout": "1s"}, body)
        finally:
            self.cluster.start_etcd()

    def do_watch(self, path, query):
        watch = Watch(self.cluster, with_query(path, query))
        self.watches.append(watch)
        if watch.status != 200:
            return {"failed": f"a watch was answered with {watch.status}"}
        return {"watch": len(self.watches) - 1}

    def do_next(self, watch, limit_ms):
        return self.watches[watch].next(limit_ms)

    def do_close(self, watch):
        self.watches[watch].close()
        return {}

    def do_namespace(self):
        return {"name": self.cluster.namespace()}

    def do_terminate(self, name):
        self.cluster.ask_ok("DELETE", f"/api/v1/namespaces/{name}")
        return {}

    def do_pause(self):
        time.sleep(0.05)
        return {}

    def do_compact(self):
        """etcd forgets what was, and the API server, which starts anew, begins its memory of events now."""
        self.cluster.stop_apiserver(0)
        etcd = f"http://127.0.0.1:{self.cluster.state['etcd_ports'][0]}"
        revision = self.etcd(etcd + "/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        self.etcd(etcd + "/v3/kv/compaction", {"revision": revision})
        self.cluster.start_apiserver(0)
        for plural in ("onces", "leases", "records"):  # 429 "storage is (re)initializing" at first
            path = f"/apis/konductor.io/v1/{plural}"
            wait_for(lambda path=path: self.cluster.request("GET", path).status == 200, f"{path} to be served")
        return {}

    def etcd(self, url, body):
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


class TheServer(unittest.TestCase):
    """Its own cluster: one claim needs a server that has forgotten the past."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster().up()
        cls.addClassCleanup(cls.cluster.down)
        install_crds(cls.cluster)
        cls.relay = Relay(cls.cluster)
        cls.addClassCleanup(cls.relay.close)


def claim_test(number):
    def test(self):
        self.assertIsNone(self.relay.run(number))
    return test


for at, name in enumerate(CLAIMS, 1):
    method = claim_test(at)
    method.__doc__ = name
    setattr(TheServer, f"test_{at:02}_" + "".join(c if c.isalnum() else "_" for c in name), method)

if __name__ == "__main__":
    unittest.main()
