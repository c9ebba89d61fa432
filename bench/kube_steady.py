"""What standing by costs on an API server: requests, memory and processor time of candidates of one held Lease."""

import collections
import concurrent.futures
import os
import statistics
import time

from kube_stage import Party

WATCH_S = 285  # how long a watch lasts on average; then it is asked for again


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        rows = dict(line.split(":", 1) for line in file if ":" in line)
    return int(rows["VmRSS"].split()[0])


def processor_ns(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def gather(party, count, duration):
    with party.group() as group:
        holder = group.candidate("c0")
        holder.wait_event("start")
        waiting = [group.candidate(f"c{i}") for i in range(1, count)]
        group.standing_by(waiting)
        time.sleep(1)
        mark = party.server.audit_mark()
        before = [processor_ns(c.pid) for c in waiting]
        began = time.monotonic()
        time.sleep(duration)  # the figures are rates over this time
        took = time.monotonic() - began
        requests = party.requests(mark)
        return {
            "rate": len(requests) / took,
            "watches": sum(e["verb"] == "watch" for e in requests),
            "verbs": collections.Counter(e["verb"] for e in requests),
            "memory_mb": statistics.median([memory_kb(c.pid) for c in waiting]) / 1024,
            "cpu_s": sum(processor_ns(c.pid) - b for c, b in zip(waiting, before)) / 1e9 / len(waiting) * 3600 / took,
        }


def main(report, server, kinds, count, duration):
    report.title(f"Standing by: {count} candidates of each, {duration} s")
    parties = [Party(server, kind) for kind in kinds]
    with concurrent.futures.ThreadPoolExecutor(len(kinds)) as pool:
        for kind, got in zip(kinds, pool.map(lambda party: gather(party, count, duration), parties)):
            ours = kind != "client-go"
            # Watches that are asked for again hardly fall into a short run: their share is reckoned.
            rate = got["rate"] - got["watches"] / duration + count / WATCH_S if ours else got["rate"]
            verbs = ", ".join(f"{n} {verb}" for verb, n in sorted(got["verbs"].items()))
            report.row(f"{kind}: requests a second", f"{rate:.2f}  (counted: {verbs})", "<= 0.3" if ours else "",
                       rate <= 0.3 if ours else None)
            report.row(f"{kind}: memory of one that waits (VmRSS)", f"{got['memory_mb']:.1f} MB",
                       "<= 7 MB" if ours else "", got["memory_mb"] <= 7 if ours else None)
            report.row(f"{kind}: processor time of one that waits, an hour", f"{got['cpu_s']:.2f} s")
