#!/usr/bin/env python3
"""just-one-init's own Deployment, scaled to twelve, on a real API server: leaders that crash and leaders that are stopped.

    bench/just_one_init.py [CRASHES [STOPS]]      100 and 100 are what figures are quoted from: about ten minutes

The manifest is tests/e2e/kube/just_one_init/volume.yaml, as its README prints it: its initContainer, command, environment,
service account and probes. tests/e2e/kube/containers.py plays its pods; in each konductor is PID 1. Up to five such
Deployments run side by side, each in a namespace and on a Lease of its own, with their crashes at evenly spaced times
after a renewal.
"""

import concurrent.futures
import os
import re
import signal
import statistics
import sys
import time

from kube_stage import ROOT, Cluster, Report, Server, ms, seconds, wait_for

sys.path.append(str(ROOT / "tests" / "e2e" / "kube"))
import containers  # noqa: E402

MANIFEST = ROOT / "tests" / "e2e" / "kube" / "just_one_init" / "volume.yaml"
LEASE, ACCOUNT, PROGRAM = "the-lease-name", "just-one-init", "whatever-the-original-entrypoint-was"
RULES = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}]
REPLICAS, GROUPS, PERIOD_S = 12, 5, 5  # a renewal each third of just-one-init's 15 s
BOUND_S = 16.3
# The lock is held as long as any process of the work lives, so whoever finds it held works beside another.
WORK = """#!/bin/bash
say() { echo "$1 $HOSTNAME $2" >>"$WORK_LOG"; }
now=$EPOCHREALTIME
exec 9>>"$WORK_LOG.lock"
flock -n 9 || say overlap "$now"
say begin "$now"
trap 'say end $EPOCHREALTIME; exit 0' TERM
sleep 100000 & wait
"""


class Deployment:
    """One Deployment of twelve pods, of which one works. Use as a context manager."""

    def __init__(self, server):
        self.server, self.namespace = server, server.namespace("joi")
        server.service_account(self.namespace, ACCOUNT, RULES)
        server.kubectl("apply", "-n", self.namespace, "-f", str(MANIFEST))
        server.kubectl("scale", "-n", self.namespace, "deployment", "my-app", f"--replicas={REPLICAS}")
        self.cluster = Cluster(prefix="kon-bench-")
        self.pods = containers.Pods(server, self.cluster, self.namespace, "my-app")
        self.pods.install("just-one-init", "cp")
        self.pods.program(PROGRAM, WORK)
        self.token = self.pods.rules()
        self.living, self.started = {}, 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.cluster.close()

    def fill(self):
        """As a ReplicaSet does: as many pods as there are to be. Waits until one works and all others queue."""
        while len(self.living) < self.pods.replicas:
            name = f"my-app-{self.started:03}"
            self.living[name] = self.pods.start(name, self.token)
            self.started += 1
        self.wait(lambda: self.said("begin"), "the first to work")
        waiting = set(self.living) - {self.leader()}
        self.wait(lambda: all(name in self.queue() for name in waiting), "the others to queue")

    def wait(self, predicate, what):
        return wait_for(predicate, 120, what, self.cluster.describe)

    def said(self, word):
        """What the work has written so far, as (pod, seconds of the wall clock)."""
        path = self.cluster.directory / "work"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [(pod, float(at)) for pod, at in re.findall(rf"^{word} (\S+) (\S+)\n", text, re.MULTILINE)]

    def leader(self):
        return self.said("begin")[-1][0]

    def object(self):
        return self.server.ask_ok("GET", f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{LEASE}")

    def queue(self):
        return self.object()["metadata"].get("annotations", {}).get("konductor.io/waiters", "")

    def next(self, count):
        """When the work of the next leader begins, which is then the holder of the Lease."""
        name, at = self.wait(lambda: self.said("begin")[count:], "the next leader's work")[0]
        assert self.object()["spec"]["holderIdentity"].startswith(f"{name}_"), self.cluster.describe()
        return at

    def crash(self, offset_s):
        """PID 1 of the leader's pod is killed so long after a renewal. Seconds until the next one's work begins."""
        self.fill()
        renewed = self.object()["spec"]["renewTime"]
        self.wait(lambda: self.object()["spec"]["renewTime"] != renewed, "a renewal")
        time.sleep(offset_s)  # the point of the round
        count, killed = len(self.said("begin")), time.time()
        containers.crash(self.living.pop(self.leader()))
        return self.next(count) - killed

    def stop(self):
        """PID 1 of the leader's pod gets SIGTERM. Milliseconds from the end of its work to the beginning of the next."""
        self.fill()
        count, name = len(self.said("begin")), self.leader()
        leader = self.living.pop(name)
        os.kill(containers.first_process(leader), signal.SIGTERM)
        code = leader.wait()
        at = self.next(count)
        stopped, ended = self.said("end")[-1]
        assert (code, stopped) == (0, name) and ended <= at, self.cluster.describe()
        return (at - ended) * 1000

    def probes(self):
        """How many answer as just-one-init's README says: only the leader is ready, all are alive."""
        self.fill()
        return sum(self.pods.probe(pod, "readinessProbe") == (name == self.leader()) and self.pods.probe(pod, "livenessProbe")
                   for name, pod in self.living.items())


def group_of(server, offsets, stops):
    """One Deployment from its beginning to its end: seconds, milliseconds, probes that are right, doubles."""
    with Deployment(server) as deployment:
        right = deployment.probes()
        crashed = [deployment.crash(offset) for offset in offsets]
        stopped = [deployment.stop() for _ in range(stops)]
        return crashed, stopped, right, len(deployment.said("overlap"))


def measure(server, crashes, stops):
    """The same of all groups together, and how many there were."""
    groups = max(1, min(GROUPS, crashes))
    offsets = [[PERIOD_S * (i + 0.5) / crashes for i in range(first, crashes, groups)] for first in range(groups)]
    with concurrent.futures.ThreadPoolExecutor(groups) as pool:
        running = [pool.submit(group_of, server, offsets[i], len(range(i, stops, groups))) for i in range(groups)]
        crashed, stopped, right, doubles = zip(*(each.result() for each in running))
    return sum(crashed, []), sum(stopped, []), sum(right), sum(doubles), groups


def show(report, crashed, stopped, right, doubles, groups):
    report.title(f"just-one-init's Deployment of {REPLICAS} replicas at its TTL of 15 s, {groups} of them side by side")
    pods = groups * REPLICAS
    report.promise("pods whose probes answer as its README says", f"{right} of {pods}", "all", right == pods)
    report.promise("two that worked at once", str(doubles), "0", doubles == 0)
    if crashed:
        p50 = statistics.median(crashed)
        report.row("PID 1 killed -> another's work begins", seconds(crashed), "p50 <= 13.5 s", p50 <= 13.5)
        report.row("  longest", f"{max(crashed):.2f} s", f"<= {BOUND_S} s", max(crashed) <= BOUND_S)
    if stopped:
        p50 = statistics.median(stopped)
        report.row("SIGTERM to PID 1: its work ended -> the next begins", ms(stopped), "p50 <= 100 ms", p50 <= 100)


def main():
    crashes, stops = (int(sys.argv[at]) if len(sys.argv) > at else 100 for at in (1, 2))
    if containers.namespaces() is None:
        print("nothing measured: no namespaces may be made here")
        return 0
    report = Report()
    with Server() as server:
        show(report, *measure(server, crashes, stops))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
