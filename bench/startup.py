#!/usr/bin/env python3
"""From the start of konductor to the exec of the main command, one stage being done already.

    bench/startup.py [ROUNDS [OTHER]]      KONDUCTOR_BIN names the binary; the figure that counts is the static one

Floors of the same run: a static program started directly, and `konductor version` from start to exit. OTHER is another
konductor, for example the one before a change: the two take turns, each with a store of its own, so that what else the
machine does falls on both.
"""

import subprocess
import sys
import time

from common import Cluster, bench_program, binary, boot_ms, percentile, summary

SCRIPT = """
local k = require "konductor"
k.flow "start" {
  k.stage "init" { version = "v1", run = { "true" } },
  k.main { k.env "STAMP" },
}
"""


def stamped(argv, env, cwd):
    began = boot_ms()
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, check=True)
    return int(done.stdout.split()[-1]) / 1000 - began


def start_to_exit(argv):
    began = time.monotonic()
    subprocess.run(argv, capture_output=True, check=True)
    return (time.monotonic() - began) * 1000


def compare(other, stamp, rounds):
    """The overhead of both, by the fastest tenth and by the median: on a busy machine the former says more."""
    taken = {name: [] for name in ("direct", binary(), other)}
    with Cluster() as mine, Cluster() as theirs:
        runs = []
        for name, cluster in ((binary(), mine), (other, theirs)):
            runs.append((name, [name, "run", str(cluster.script(SCRIPT)), "--listen", "off", "-q"],
                         cluster.env({"STAMP": stamp}), cluster.directory))
            stamped(*runs[-1][1:])
        runs.append(("direct", [stamp], mine.env(), mine.directory))
        for round_ in range(rounds):
            for i in range(len(runs)):
                name, *how = runs[(i + round_) % len(runs)]
                taken[name].append(stamped(*how))
    for share in (0.1, 0.5):
        new, old = (percentile(taken[name], share) - percentile(taken["direct"], share) for name in (binary(), other))
        print(f"p{share * 100:.0f} over the program started directly: {new:.2f} ms, of the other {old:.2f} ms, {new / old:.2f}")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    if len(sys.argv) > 2:
        return compare(sys.argv[2], bench_program("stamp"), rounds)
    stamp = bench_program("stamp")
    with Cluster() as cluster:
        script = str(cluster.script(SCRIPT))
        env = cluster.env({"STAMP": stamp})
        run = [binary(), "run", script, "--listen", "off", "-q"]
        stamped(run, env, cluster.directory)
        direct, through, probe, version = [], [], [], []
        for _ in range(rounds):
            direct.append(stamped([stamp], env, cluster.directory))
            through.append(stamped(run, env, cluster.directory))
            probe.append(stamped([*run[:3], "--listen", "127.0.0.1:0", "-q"], env, cluster.directory))
            version.append(start_to_exit([binary(), "version"]))
    print(f"a static program, start -> main: {summary(direct)}")
    print(f"konductor version, start -> exit: {summary(version)}")
    print(f"konductor run, start -> exec of main: {summary(through)}")
    print(f"  with the probe endpoint: {summary(probe)}")
    over = percentile(through, 0.5) - percentile(direct, 0.5)
    print(f"over the program started directly: p50 {over:.2f} ms, "
          f"{percentile(through, 0.5) / percentile(direct, 0.5):.1f} times")


if __name__ == "__main__":
    main()
