"""What the benchmarks on an API server share: the server, one party for each contender, groups of processes, the report.

A party has a namespace and a service account of its own, so the audit log tells whose a request was.
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import ROOT, Cluster, bench_program, binary, boot_ms, check_history, percentile, wait_for  # noqa: F401

sys.path.insert(0, str(ROOT / "tools" / "kube"))
from konkube.cluster import Cluster as Server  # noqa: E402
from kube_client_go import Candidates  # noqa: E402

RULES = [
    {"apiGroups": ["konductor.io"], "resources": [f"{kind}{part}" for kind in ("leases", "onces", "records")
                                                  for part in ("", "/status")], "verbs": ["*"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
]
LEASE = """
local k = require "konductor"
k.lease "boss" { ttl = k.env("TTL", "15s"), main = { "sleep", "100000" } }
"""


class Party:
    """One contender on a server. kind: kube, kube-lease, client-go."""

    def __init__(self, server, kind):
        self.server = server
        self.kind = kind
        self.namespace = server.namespace("bench")
        self.token = server.service_account(self.namespace, "party", RULES, seconds=7200)
        self.user = f"system:serviceaccount:{self.namespace}:party"
        self.kubeconfig = server.kubeconfig(user=f"{self.namespace}-party", token=self.token, namespace=self.namespace)

    def group(self):
        return ClientGo(self) if self.kind == "client-go" else Konductors(self)

    def requests(self, mark, **fields):
        """Everything that it sent since the mark."""
        return self.server.audit(mark, stage="RequestReceived", user=self.user, **fields)

    def answers(self, mark, **fields):
        return self.server.audit(mark, user=self.user, **fields)


class Konductors(Cluster):
    """Replicas of konductor as one party. Candidates have the methods of kube_client_go.Candidate, too."""

    def __init__(self, party):
        super().__init__(prefix="kon-bench-")
        self.party = party
        self.lease_script = self.script(LEASE)

    def env(self, extra=None, holder=None):
        made = {"KONDUCTOR_STORE": self.party.kind, "KUBECONFIG": str(self.party.kubeconfig), "HOME": str(self.directory),
                "KONDUCTOR_NAMESPACE": self.party.namespace, **(extra or {})}
        return super().env(made, holder)

    def candidate(self, name, **how):
        return self.start(self.lease_script, name=name, **how)

    def standing_by(self, candidates):
        """They wait, and as many as the queue takes have joined it."""
        wait_for(lambda: all("held by" in c.stderr for c in candidates), 120, "every waiter's wait", self.describe)
        wait_for(lambda: sum(bool(c.events("join")) for c in candidates) >= min(len(candidates), 32), 120,
                 "the queue to fill", self.describe)


class ClientGo(Candidates):
    def __init__(self, party):
        super().__init__(party.kubeconfig, party.namespace)
        self.party = party

    def candidate(self, name, **flags):
        return self.start("boss", name, **flags)

    def standing_by(self, candidates):
        wait_for(lambda: all(c.events("leader") for c in candidates), 120, "every candidate's first look", self.describe)


def first_to_start(candidates, timeout=120):
    return wait_for(lambda: next((c for c in candidates if c.events("start")), None), timeout, "the next holder's start")


def began(candidate):
    """Microseconds of the boot clock."""
    return candidate.events("start")[0]["t_us"]


def ended(candidate):
    """When nothing of its work was left."""
    stop = candidate.events("stop")[-1]
    return stop.get("ended_us", stop["t_us"])


def wall():
    """Now, as the audit log writes it: texts that compare."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def between(events, since, until):
    return [e for e in events if since <= e["requestReceivedTimestamp"] <= until]


def install_crds(server):
    text = subprocess.run([binary(), "crds"], check=True, capture_output=True, text=True).stdout
    server.kubectl("apply", "-f", "-", input=text)
    for plural in ("leases", "onces", "records"):
        wait_for(lambda p=plural: server.request("GET", f"/apis/konductor.io/v1/{p}").status == 200, 60, f"{plural}")


class Floor:
    """bench/kube_floor.c on this server: {"one_p50_ms": ..., "both_p50_ms": ..., "both_p99_ms": ...}."""

    TEMPLATES = {
        "kube": ("/apis/konductor.io/v1", "/status", {
            "apiVersion": "konductor.io/v1", "kind": "Lease",
            "status": {"phase": "Held", "holder": "a", "session": "0" * 32, "op": "floor:@N@", "fence": 7, "renewals": 1,
                       "ttlMs": 15000}}, {"ttl": "15s"}),
        "kube-lease": ("/apis/coordination.k8s.io/v1", "", {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "spec": {"holderIdentity": "a-@N@", "leaseDurationSeconds": 15}}, {"leaseDurationSeconds": 15}),
    }

    def __init__(self, party):
        self.party = party

    def measure(self, watchers, rounds):
        """With so many processes that watch and do nothing else, beside the two that write."""
        group, part, template, spec = self.TEMPLATES["kube" if self.party.kind == "kube" else "kube-lease"]
        server, name = self.party.server, f"floor-{time.monotonic_ns()}"
        path = f"{group}/namespaces/{self.party.namespace}/leases"
        metadata = {"name": name, "namespace": self.party.namespace}
        made = server.ask_ok("POST", path, {**template, "metadata": metadata, "spec": spec, "status": None})
        template = {**template, "metadata": {**metadata, "resourceVersion": "@RV@"}}
        done = subprocess.run(
            [bench_program("kube_floor"), server.url, server.ca_file, path, name, part,
             made["metadata"]["resourceVersion"], str(watchers), str(rounds), "50"],
            input=json.dumps(template), env={**os.environ, "KUBE_TOKEN": self.party.token}, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        server.ask_ok("DELETE", f"{path}/{name}")
        return {key: float(value) for key, value in (word.split("=") for word in done.stdout.split())}


class Report:
    """Figures beside their targets. Times are never asserted; promises are: a broken one makes the exit code 1."""

    def __init__(self):
        self.broken = []

    def title(self, text):
        print(f"\n{text}", flush=True)

    def row(self, what, figure, target="", met=None):
        verdict = "" if met is None else "  met" if met else "  NOT MET"
        print(f"  {what:<56}  {figure:<44}  {target}{verdict}".rstrip(), flush=True)

    def promise(self, what, figure, target, kept):
        if not kept:
            self.broken.append(f"{what}: {figure}")
        self.row(what, figure, target, kept)


def ms(values):
    return f"p50 {statistics.median(values):.1f}  p99 {percentile(values, 0.99):.1f} ms (n={len(values)})"


def seconds(values):
    return (f"min {min(values):.2f}  p50 {statistics.median(values):.2f}  max {max(values):.2f} s (n={len(values)})")


def static_program(name):
    """A benchmark program in C, linked with the very libraries of the static konductor; None where they are not built."""
    build = ROOT / "build" / "bench-static"
    found = subprocess.run([ROOT / "tools" / "static-deps" / "build", "--path"], capture_output=True, text=True)
    if found.returncode != 0:
        return None
    subprocess.run(["cmake", "--preset", "static", "-B", build, f"-DKON_STATIC_PREFIX={found.stdout.strip()}",
                    "-DKON_BENCH=ON"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", build, name], check=True, stdout=subprocess.DEVNULL)
    return str(Path(build, "bench", name))
