#!/usr/bin/env python3
"""Ten processes race for one Once, many rounds: runs, doubles, losers that go on too early, and how soon the last
loser goes on after the winner's success, against the floor: as many processes woken by one write, each reading a row.

    bench/once_race.py [ROUNDS [PROCESSES]]
"""

import os
import sys

from common import Cluster, check_history, floor, percentile, summary, wait_for

# The speed of a shared machine drifts by a fifth within a minute: the floor is measured in turns with the races.
ROUNDS_A_FLOOR = 20
# Each round is another version of the same work, and so many of them are remembered.
HISTORY = 32

SCRIPT = """
local k = require "konductor"
k.flow "race" { k.stage "job" { version = k.env "ROUND", run = { "sh", "-c", "read line < gate" } } }
"""


def race(cluster, script, number, processes):
    gate = cluster.directory / "gate"
    if gate.exists():
        gate.unlink()
    os.mkfifo(gate)
    first = len(cluster.replicas)
    for i in range(processes):
        cluster.start(script, name=f"r{number}-{i}", env={"ROUND": f"v{number}"})
    replicas = cluster.replicas[first:]
    wait_for(lambda: sum(len(r.events("start")) for r in replicas) >= 1, 20, "the winner's start", cluster.describe)
    # A loser says so once; every one of them must wait before the winner may end.
    wait_for(lambda: sum("waiting" in r.stderr for r in replicas) >= processes - 1, 20, "the losers' wait",
             cluster.describe)
    with open(gate, "w") as out:
        out.write("go\n")
    # Blocks in the kernel: a poll in the measured time would take a processor from those who are measured.
    codes = [replica.process.wait() for replica in replicas]
    assert codes == [0] * processes, cluster.describe()
    events = [event for replica in replicas for event in replica.events()]
    stop = [e["t_us"] for e in events if e["event"] == "stop"]
    complete = [e["t_us"] for e in events if e["event"] == "complete"]
    skips = [e["t_us"] for e in events if e["event"] == "skip"]
    assert len(skips) == processes - 1, events
    return {
        "runs": sum(e["event"] == "start" for e in events),
        "early": sum(t < stop[0] for t in skips),
        "latency_ms": (max(skips) - stop[0]) / 1000,
        "complete_ms": (complete[0] - stop[0]) / 1000,
    }


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    results, floors, floors_of_losers = [], [], []
    with Cluster() as cluster:
        script = cluster.script(SCRIPT)
        for number in range(rounds):
            if number % ROUNDS_A_FLOOR == 0:
                floors.append(floor(processes, ROUNDS_A_FLOOR))
                floors_of_losers.append(floor(processes - 1, ROUNDS_A_FLOOR))
            results.append(race(cluster, script, number, processes))
        check_history(cluster)
    runs = sum(r["runs"] for r in results)
    base, base_of_losers = percentile(floors, 0.5), percentile(floors_of_losers, 0.5)
    latency = [r["latency_ms"] for r in results]
    print(f"rounds {rounds} of {processes} processes: runs {runs}, doubles {runs - rounds}, "
          f"early losers {sum(r['early'] for r in results)}")
    print(f"winner's exit -> last loser goes on: {summary(latency)}")
    print(f"  of which until the success is written: {summary([r['complete_ms'] for r in results])}")
    if rounds > HISTORY:
        print(f"  rounds in which the record lists {HISTORY} versions before: {summary(latency[HISTORY:])}")
    print(f"floor ({processes} processes woken by one write): p50 {base:.2f} ms; ratio "
          f"{percentile(latency, 0.5) / base:.2f}; {processes - 1} woken, as many as lose: {base_of_losers:.2f} ms, "
          f"{percentile(latency, 0.5) / base_of_losers:.2f}")


if __name__ == "__main__":
    main()
