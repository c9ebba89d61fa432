#!/usr/bin/env python3
"""Graceful hand-overs of one Lease among many candidates: latency, writes each, and order by priority then arrival.

    bench/handover.py [HANDOVERS [CANDIDATES]]
"""

import sys
import time

from common import Cluster, check_history, floor, percentile, summary, wait_for

SCRIPT = """
local k = require "konductor"
k.lease "seat" { ttl = "15s", priority = tonumber(k.env("PRIORITY", "0")), main = { "sleep", "1000" } }
"""


def revision(cluster):
    return cluster.store_rows("SELECT max(rev) AS rev FROM records")[0]["rev"]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    latency, writes, order = [], [], []
    with Cluster() as cluster:
        script = cluster.script(SCRIPT)
        waiting, serial = [], 0

        def join():
            nonlocal serial
            priority = serial * 7 % 3
            replica = cluster.start(script, name=f"c{serial}", env={"PRIORITY": str(priority)})
            replica.wait_event("join" if serial else "start")
            waiting.append((-priority, serial, replica))
            serial += 1

        for _ in range(count):
            join()
        holder = waiting.pop(0)[2]
        for _ in range(rounds):
            waiting.sort(key=lambda entry: entry[:2])
            before = revision(cluster)
            holder.signal(15)
            holder.process.wait()  # blocks: a poll would take a processor from those who are measured
            time.sleep(0.05)
            expected = waiting[0][2]
            next_holder = wait_for(lambda: next((w[2] for w in waiting if w[2].events("start")), None), 20,
                                   "the next holder", cluster.describe)
            order.append(next_holder is expected)
            stop = holder.events("stop")[-1]["t_us"]
            latency.append((next_holder.events("start")[0]["t_us"] - stop) / 1000)
            writes.append(revision(cluster) - before)
            waiting = [w for w in waiting if w[2] is not next_holder]
            holder = next_holder
            join()
        for replica in [holder] + [w[2] for w in waiting]:
            replica.signal(15)
        for replica in cluster.replicas:
            replica.wait()
        check_history(cluster)
    base = floor(1)
    print(f"{rounds} hand-overs among {count}: last descendant gone -> next holder's start: {summary(latency)}")
    print(f"writes a hand-over: min {min(writes)} max {max(writes)}; in order {sum(order)} of {rounds}")
    print(f"floor (one process woken by one write): p50 {base:.2f} ms; ratio {percentile(latency, 0.5) / base:.2f}, "
          f"of two such writes {percentile(latency, 0.5) / base / 2:.2f}")


if __name__ == "__main__":
    main()
