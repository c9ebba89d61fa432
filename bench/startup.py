#!/usr/bin/env python3
"""From the start of konductor to the exec of the main command, one stage being done already.

    bench/startup.py [ROUNDS]      KONDUCTOR_BIN names the binary; the figure that counts is the static one

Floors of the same run: a static program started directly, and `konductor version` from start to exit.
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


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
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
