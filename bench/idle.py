#!/usr/bin/env python3
"""What waiting costs: many processes wait for one holder; their wake-ups, processor time and memory.

    bench/idle.py [WAITERS [SECONDS]]
"""

import sys
import time

from common import Cluster, wait_for

SCRIPT = """
local k = require "konductor"
k.lease "seat" { ttl = "15s", main = { "sleep", "1000" } }
"""


def read(pid):
    """(voluntary context switches of all threads, processor ticks) of a process."""
    import os
    switches = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as file:
            switches += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return switches, int(fields[11]) + int(fields[12])


def memory_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        rows = dict(line.split(":", 1) for line in file if ":" in line)
    return {name: int(rows[name].split()[0]) for name in ("Rss", "Pss", "Private_Dirty")}


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    with Cluster() as cluster:
        script = cluster.script(SCRIPT)
        cluster.start(script, name="holder").wait_event("start")
        waiters = [cluster.start(script, name=f"w{i}", listen="127.0.0.1:0" if i == 0 else "off")
                   for i in range(count)]
        wait_for(lambda: all("held by" in w.stderr for w in waiters), 60, "every waiter's wait", cluster.describe)
        wait_for(lambda: sum(len(w.events("join")) for w in waiters) >= min(count, 32), 60, "the queue to fill",
                 cluster.describe)
        renewals = len(cluster.replicas[0].events("renew"))
        before = [read(w.pid) for w in waiters]
        began = time.monotonic()
        time.sleep(seconds)  # the figure is a rate over this time
        after = [read(w.pid) for w in waiters]
        took = time.monotonic() - began
        renewals = len(cluster.replicas[0].events("renew")) - renewals
        switches = [b[0] - a[0] for a, b in zip(before, after)]
        ticks = sum(b[1] - a[1] for a, b in zip(before, after))
        memory = [memory_kb(w.pid) for w in waiters]
    print(f"{count} waiters for {took:.0f} s, the holder renewed {renewals} times")
    print(f"wake-ups a waiter: min {min(switches)} max {max(switches)}; beyond one or two a renewal: "
          f"{max(0, max(switches) - 2 * renewals)}")
    print(f"processor time of all waiters: {ticks * 10} ms, {ticks * 10 / count / took * 3600:.0f} ms a waiter and hour")
    for name in ("Rss", "Pss", "Private_Dirty"):
        values = sorted(m[name] for m in memory)
        print(f"memory {name}: median {values[len(values) // 2] / 1024:.2f} MiB, max {values[-1] / 1024:.2f} MiB")


if __name__ == "__main__":
    main()
