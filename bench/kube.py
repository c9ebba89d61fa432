#!/usr/bin/env python3
"""The policies on a real API server, beside client-go's leader election on the same server in the same run.

    bench/kube.py [--full] [SECTION...]     sections: handover crash steady waiters once check; all without one

Few rounds by default, so that it takes a minute; --full is what figures are quoted from. Every section that is about
latency has its floor measured right before it. `--only KIND` leaves the other contenders out.
"""

import argparse
import statistics
import sys

import kube_crash
import kube_handover
import kube_once
import kube_steady
from kube_stage import Floor, Party, Report, Server, install_crds, ms

SECTIONS = ("handover", "crash", "steady", "waiters", "once", "check")
KINDS = ("kube", "kube-lease", "client-go")


def floor(report, server, watchers, rounds):
    """p50 of two writes each seen by a watcher, for each kind of object."""
    found = {}
    for kind in ("kube", "kube-lease"):
        got = Floor(Party(server, kind)).measure(watchers, rounds)
        found[kind] = got["both_p50_ms"]
        report.row(f"floor: two writes, each seen by a watcher ({kind}, +{watchers})",
                   f"p50 {got['both_p50_ms']:.1f}  p99 {got['both_p99_ms']:.1f} ms", f"one: p50 {got['one_p50_ms']:.1f} ms")
    found["client-go"] = found["kube-lease"]
    return found


def handover(report, server, kinds, full):
    report.title("Floor")
    base = {1: floor(report, server, 1, 200 if full else 40)}
    if full:
        base[20] = floor(report, server, 20, 100)
        base[100] = floor(report, server, 100, 50)
    kube_handover.main(report, server, base, kinds, 50 if full else 2, full)


def waiters(report, server, count, rounds):
    report.title(f"{count} waiters on one Lease")
    base = floor(report, server, count, 20)["kube"]
    got = kube_handover.run(Party(server, "kube"), count, rounds)
    p50 = statistics.median(got["ms"])
    report.row("kube: hand-over", ms(got["ms"]), f"ratio to the floor with as many watchers {p50 / base:.2f}")
    mean = sum(got["writes"]) / rounds
    report.row("  writes a hand-over, and the join that follows", f"{mean:.2f}", "2 + 1", mean <= 3.2)
    report.row("  conflicts; reads, a hand-over", f"{got['conflicts'] / rounds:.2f}; {got['gets'] / rounds:.2f}")


def main():
    parser = argparse.ArgumentParser(prog="bench/kube.py", description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--full", action="store_true", help="as many rounds as figures need: about fifteen minutes")
    parser.add_argument("--only", action="append", choices=KINDS, help="only this contender; repeatable")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    wanted, full = options.sections or SECTIONS, options.full
    kinds = tuple(kind for kind in KINDS if kind in (options.only or KINDS))
    report = Report()
    with Server() as server:
        install_crds(server)
        if "handover" in wanted:
            handover(report, server, kinds, full)
        if "crash" in wanted:
            kube_crash.main(report, server, kinds, 20 if full else 2, 10 if full else 2)
        if "steady" in wanted:
            kube_steady.main(report, server, kinds, 20, 120 if full else 5)
        if "waiters" in wanted:
            waiters(report, server, 500 if full else 40, 20 if full else 2)
        if "once" in wanted:
            kube_once.main(report, server, 10 if full else 1, 50 if full else 10)
        if "check" in wanted:
            kube_once.check(report, server, 100 if full else 10)
    for line in report.broken:
        print(f"broken promise: {line}", file=sys.stderr)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
