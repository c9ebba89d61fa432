"""What tests of faults share: replicas of konductor on a real API server, each behind a proxy of its own if it wants one,
and a judgement of everything that they logged when the test is over.

    class Faults(FaultTest):
        def test_row_07_...(self):
            a = self.lease("a", url=self.tcp().url)     # candidates for the Lease "boss", ttl 3 s
            a.wait_event("start")

A test that breaks servers sets `own = True` in its class: all tests of the class share a cluster of their own, and leave
its servers running.
"""

import json
import subprocess
import threading
import time

from kube.cluster import Cluster as Servers
from kube.cluster import shared_cluster
from kube.http_proxy import HttpProxy
from kube.proxy import Proxy
from kube.test_crds import GROUP, PLURAL, install
from lib import PATIENCE, ROOT, Cluster, ClusterTest, binary, boot_ms, wait_for

TTL_MS = 3000
RHO = 0.05  # what clocks' rates may be wrong by
LATE_MS = 2000  # of a machine with much to do
WORK = ["sleep", "1000"]


def lua_list(words):
    return "{ " + ", ".join(json.dumps(str(word)) for word in words) + " }"


class FaultTest(ClusterTest):
    store = "kube"
    own = False
    how = {}  # of the own cluster
    definitions = True

    @classmethod
    def setUpClass(cls):
        if cls.own:
            cls.c = Servers(**cls.how).up()
            cls.addClassCleanup(cls.c.down)
        else:
            cls.c = shared_cluster()
        if cls.definitions:
            install(cls.c)

    def setUp(self):
        self.cluster = Cluster("kon-faults-")
        self.addCleanup(self.cluster.close)
        self.addCleanup(self.judge)
        self.ns = self.c.namespace()
        self.mark = self.c.audit_mark()
        self.told = self.cluster.directory / "told"

    # What is looked at when the test is over.

    def judge(self):
        """The history of every test keeps all promises, whatever else it shows."""
        for replica in self.cluster.replicas:
            if replica.running:
                replica.kill()
        files = self.cluster.event_files() + ([str(self.told)] if self.told.exists() else [])
        if not files:
            return
        done = subprocess.run([ROOT / "tools" / "check-history", *files], capture_output=True, text=True,
                              env=self.cluster.env({"KONDUCTOR_BIN": binary()}), timeout=300 * PATIENCE)
        if done.returncode != 0:
            self.fail(done.stdout + done.stderr + self.cluster.describe())

    def tell(self, event, **fields):
        """Adds to the history what no konductor can say: "delete" of an object, "frozen" of a session."""
        with open(self.told, "a", encoding="ascii") as log:
            log.write(json.dumps({"event": event, "t_us": int(boot_ms() * 1000), **fields}) + "\n")

    # Replicas.

    def tcp(self, server=0):
        proxy = Proxy(self.c.state["ports"][server])
        self.addCleanup(proxy.close)
        return proxy

    def http(self, server=0):
        proxy = HttpProxy(self.c, server)
        self.addCleanup(proxy.close)
        return proxy

    def env(self, kubeconfig=None, url=None, **more):
        path = kubeconfig or self.c.kubeconfig(url=url, namespace=self.ns)
        return {"KONDUCTOR_STORE": self.store, "KUBECONFIG": str(path), "KONDUCTOR_NAMESPACE": self.ns, **more}

    def start(self, script, name=None, options=(), kubeconfig=None, url=None, wrapper=(), **more):
        return self.cluster.start(self.cluster.script(script), name=name, options=["--grace", "1s", *options],
                                  env=self.env(kubeconfig, url, **more), wrapper=wrapper)

    def lease(self, name=None, ttl_ms=TTL_MS, work=WORK, more="", **how):
        """A candidate for the Lease "boss"."""
        return self.start(f"""
            local k = require "konductor"
            k.lease "boss" {{ ttl = "{ttl_ms}ms", main = {lua_list(work)}{more} }}
        """, name, **how)

    def once(self, name=None, ttl_ms=TTL_MS, work=("true",), more="", **how):
        """One that may do the Once "page"."""
        hold = f', hold = "{ttl_ms}ms"'
        return self.start(f"""
            local k = require "konductor"
            k.once "page" {{ run = {lua_list(work)}{hold}{more} }}
        """, name, **how)

    def holder_and_waiter(self, **how):
        """Two candidates: a works, b stands in the queue."""
        a = self.lease("a", **how.pop("a", {}), **how)
        a.wait_event("start")
        b = self.lease("b", **how.pop("b", {}), **how)
        b.wait_event("join")
        return a, b

    # The object.

    def path(self, kind="Lease", name="boss"):
        if self.store == "kube-lease":
            return f"/apis/coordination.k8s.io/v1/namespaces/{self.ns}/leases/{name}"
        return f"{GROUP}/namespaces/{self.ns}/{PLURAL[kind]}/{name}"

    def object(self, kind="Lease", name="boss"):
        return self.c.ask_ok("GET", self.path(kind, name))

    def status(self, kind="Lease", name="boss"):
        return self.object(kind, name).get("status", {})

    def delete(self, kind="Lease", name="boss"):
        self.c.ask_ok("DELETE", self.path(kind, name))
        self.tell("delete", kind=kind, name=name)

    def annotate(self, notes, kind="Lease", name="boss"):
        self.c.ask_ok("PATCH", self.path(kind, name), {"metadata": {"annotations": notes}},
                      headers={"Content-Type": "application/merge-patch+json"})

    def finalizers(self, names, kind="Lease", name="boss"):
        self.c.ask_ok("PATCH", self.path(kind, name), {"metadata": {"finalizers": names}},
                      headers={"Content-Type": "application/merge-patch+json"})

    def puts(self, **fields):
        """PUTs of our objects in this namespace, from the audit log."""
        return self.c.audit(self.mark, namespace=self.ns, verb="update", **fields)

    # What is claimed of times.

    def base_of(self, replica):
        """When the last confirmed write of its hold was sent, at the latest, in ms of the boot clock."""
        return max(e["t_us"] for e in replica.events() if e["event"] in ("claim", "accept", "renew")) / 1000

    def assert_dead_in_time(self, replica, ttl_ms=TTL_MS):
        """Its work ended within the hold that it had confirmed, as its guard saw it."""
        stop = replica.wait_event("stop")
        ended = stop.get("ended_us", stop["t_us"]) / 1000
        said = [e for e in replica.events() if e["event"] in ("claim", "accept", "renew") and e["fence"] == stop["fence"]]
        sent = max(e["base"] if "base" in e else e["t_us"] / 1000 for e in said)
        self.assertLessEqual(ended, sent + ttl_ms * (1 - RHO) + 200 * PATIENCE, replica.describe())
        return stop

    def assert_taken_over(self, replica, last_ms, ttl_ms=TTL_MS):
        """It takes over, not before the hold that was last renewed at that time has lapsed, and not much later."""
        claim = replica.wait_event("claim", takeover=True)
        waited = claim["t_us"] / 1000 - last_ms
        self.assertGreaterEqual(waited, ttl_ms * (1 - RHO), replica.describe())
        self.assertLessEqual(waited, ttl_ms * (1 + RHO) + LATE_MS * PATIENCE, replica.describe())
        return claim


class Meddler:
    """Does something again and again, in a thread, while a block runs."""

    def __init__(self, action, pause=0.2):
        self.action, self.pause = action, pause
        self.over = threading.Event()
        self.times = 0
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while not self.over.is_set():
            self.action()
            self.times += 1
            self.over.wait(self.pause)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()


def seen(proxy, method, path, count=1):
    """Waits until so many such requests have come to an HttpProxy; the last of them."""
    return wait_for(lambda: proxy.seen(method, path)[count - 1:count], what=f"{method} {path} x{count}")[0]


def within(seconds):
    return time.monotonic() + seconds * PATIENCE
