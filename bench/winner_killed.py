#!/usr/bin/env python3
"""The winner's konductor is killed in its work, its child a shell with children of its own; another takes over.

    bench/winner_killed.py [ROUNDS]      SIGKILL: time from the kill to the next run
    bench/winner_killed.py --frozen [N]  SIGSTOP past the TTL, then SIGCONT: the deadman's latency
"""

import os
import signal
import sys

from common import Cluster, boot_ms, check_history, summary, wait_for

TREE = "(trap '' TERM; sh -c 'while :; do sleep 1000; done') & sleep 1000 & echo tree $$ >> pids; wait"

KILL_SCRIPT = """
local k = require "konductor"
k.flow "kill" { k.stage "job" { version = k.env "ROUND", run = { "sh", "-c", [[%s]] } } }
""" % TREE

FREEZE_SCRIPT = """
local k = require "konductor"
k.lease "frozen" { ttl = "3s", main = { "sh", "-c", [[%s]] } }
""" % TREE


def alive_with(mark):
    """Living processes whose environment has mark, konductor's own processes left out."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                marked = mark.encode() in file.read()
            with open(f"/proc/{entry}/comm") as file:
                name = file.read().strip()
            with open(f"/proc/{entry}/stat") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marked and state not in "ZX" and not name.startswith("konductor"):
            found.append(int(entry))
    return found


def kill_round(number):
    with Cluster() as cluster:
        script = cluster.script(KILL_SCRIPT)
        replicas = [cluster.start(script, name=f"r{i}", env={"ROUND": f"v{number}", "WHO": f"r{i}-{number}"})
                    for i in range(3)]
        wait_for(lambda: cluster.events("start"), 20, "a start", cluster.describe)
        winner = next(r for r in replicas if r.events("start"))
        mark = f"WHO={winner.name}-{number}"
        wait_for(lambda: len(alive_with(mark)) >= 4, 20, "the whole tree", cluster.describe)
        others = [r for r in replicas if r is not winner]
        wait_for(lambda: all("waiting" in r.stderr for r in others), 20, "the losers' wait", cluster.describe)
        killed = winner.kill()
        wait_for(lambda: any(r.events("start") for r in others), 20, "the takeover", cluster.describe)
        started = min(e["t_us"] for r in others for e in r.events("start")) / 1000
        survivors = alive_with(mark)
        assert not survivors, f"still alive after the takeover: {survivors}"
        assert sum(len(r.events("start")) for r in others) == 1
        return started - killed


def freeze_round(number):
    with Cluster() as cluster:
        script = cluster.script(FREEZE_SCRIPT)
        a = cluster.start(script, name="a", env={"WHO": f"a-{number}"})
        a.wait_event("start")
        mark = f"WHO=a-{number}"
        wait_for(lambda: len(alive_with(mark)) >= 4, 20, "the whole tree", cluster.describe)
        b = cluster.start(script, name="b", env={"WHO": f"b-{number}"})
        b.wait_event("join")
        base = a.wait_event("renew")["t_us"] / 1000
        frozen = boot_ms()
        a.signal(signal.SIGSTOP)
        dead = []

        def tree_is_dead():
            if alive_with(mark):
                return False
            dead.append(boot_ms())
            return True

        wait_for(tree_is_dead, 20, "the death of the frozen holder's tree", cluster.describe)
        start = b.wait_event("start", 20)["t_us"] / 1000
        a.signal(signal.SIGCONT)
        a.stop()
        b.stop()
        check_history(cluster)
        return frozen - base, dead[0] - base, start - base, start - dead[0]


def main():
    args = sys.argv[1:]
    if args[:1] == ["--frozen"]:
        rounds = int(args[1]) if len(args) > 1 else 10
        rows = [freeze_round(n) for n in range(rounds)]
        limit = 3000 * 0.95
        # The base of the last renewal lies a little before its event, so this is an upper bound.
        print(f"deadman: tree found dead {summary([r[1] - limit for r in rows])} after the deadline "
              "(polled through /proc, so with its step)")
        print(f"takeover after the tree was dead: {summary([r[3] for r in rows])}, overlaps 0 of {rounds}")
        return
    rounds = int(args[0]) if args else 50
    latency = [kill_round(n) for n in range(rounds)]
    print(f"SIGKILL of the winner's konductor -> next run: {summary(latency)}; overlaps 0 of {rounds}")


if __name__ == "__main__":
    main()
