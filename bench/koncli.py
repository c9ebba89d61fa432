#!/usr/bin/env python3
"""What a command of koncli costs: its start, a check on an API server beside a bare GET, and the requests of an acquisition.

    bench/koncli.py [ROUNDS]      KONDUCTOR_BIN names the binary; the figures that count are the static one's
"""

import collections
import os
import statistics
import subprocess
import sys

import kube_once
from kube_stage import Party, Report, Server, bench_program, binary, install_crds

START_MS = 1.5
# What is sent, by the audit log.
ACQUISITIONS = (("of an absent Lease", 3), ("of a free Lease", 2))


def is_static():
    said = subprocess.run(["ldd", binary()], capture_output=True, text=True)
    return said.returncode != 0 or "statically linked" in said.stdout


def koncli():
    return os.path.join(os.path.dirname(binary()), "koncli")


def starts(report, rounds):
    report.title("From the start of a program to its end")
    argvs = {"a static program": [bench_program("stamp")], "koncli version": [koncli(), "version"]}
    took = {name: [] for name in argvs}
    for _ in range(rounds):  # in turns, so that both have the same weather
        for name, argv in argvs.items():
            took[name].append(kube_once.milliseconds(argv, dict(os.environ), (0,)))
    floor, version = (statistics.median(values) for values in took.values())
    report.row("a static program that prints the time", f"p50 {floor:.2f}  min {min(took['a static program']):.2f} ms")
    target = f"<= {START_MS} ms" if is_static() else "this one is not static"
    report.row("koncli version", f"p50 {version:.2f}  min {min(took['koncli version']):.2f} ms; {version - floor:.2f} ms over it",
               target, version <= START_MS if is_static() else None)


def acquisitions(report, server, kind):
    party = Party(server, kind)
    env = {**os.environ, "KONDUCTOR_STORE": kind, "KUBECONFIG": str(party.kubeconfig), "KONDUCTOR_NAMESPACE": party.namespace}
    for what, most in ACQUISITIONS:
        mark = server.audit_mark()
        subprocess.run([koncli(), "lease", "acquire", "db", "--holder", "a"], env=env, check=True, capture_output=True)
        sent = collections.Counter(event["verb"] for event in party.requests(mark))
        figure = ", ".join(f"{count} {verb}" for verb, count in sorted(sent.items()))
        report.promise(f"{kind}: requests of an acquisition {what}", figure, f"<= {most}", sent.total() <= most)
        subprocess.run([koncli(), "lease", "release", "db", "--holder", "a"], env=env, check=True, capture_output=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    report = Report()
    starts(report, rounds)
    with Server() as server:
        install_crds(server)
        kube_once.check(report, server, rounds)
        report.title("What koncli lease acquire sends")
        for kind in ("kube", "kube-lease"):
            acquisitions(report, server, kind)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
