"""Crash fail-over on an API server: SIGKILL to the holder's process until another one's work begins, at TTL 15 s.

Several groups on Leases of their own run side by side, killed at evenly spaced times after a renewal.
"""

import concurrent.futures
import statistics
import time

from kube_stage import Party, began, boot_ms, check_history, first_to_start, seconds, wait_for

CANDIDATES = 5
PERIOD_S = {"kube": 5, "kube-lease": 5, "client-go": 2}  # between renewals
BOUND_S = 16.3


def renewed(party, holder):
    """Waits for the holder's next renewal. When that was, in seconds of the boot clock."""
    if party.kind != "client-go":
        count = len(holder.events("renew"))
        wait_for(lambda: len(holder.events("renew")) > count, 30, "a renewal")
        return holder.events("renew")[-1]["t_us"] / 1e6
    path = f"/apis/coordination.k8s.io/v1/namespaces/{party.namespace}/leases/boss"

    def version():
        return party.server.ask_ok("GET", path)["metadata"]["resourceVersion"]

    first = version()
    wait_for(lambda: version() != first, 30, "a renewal")
    return boot_ms() / 1e3


def group_of(server, kind, offsets):
    """One group: as many fail-overs as there are offsets, in seconds after a renewal. Returns the times in seconds."""
    party, took, serial = Party(server, kind), [], CANDIDATES
    with party.group() as group:
        holder = group.candidate("c0")
        holder.wait_event("start")
        waiting = [group.candidate(f"c{i}") for i in range(1, CANDIDATES)]
        group.standing_by(waiting)
        for offset in offsets:
            at = renewed(party, holder) + offset
            time.sleep(max(0, at - boot_ms() / 1e3))  # the point of the round
            killed_ms = holder.kill()
            new = first_to_start(waiting)
            took.append(began(new) / 1e6 - killed_ms / 1e3)
            waiting.remove(new)
            waiting.append(group.candidate(f"c{serial}"))
            holder, serial = new, serial + 1
            group.standing_by(waiting)
        if kind != "client-go":
            for candidate in [holder, *waiting]:
                candidate.stop()
            check_history(group)
    return took


def main(report, server, kinds, rounds, groups):
    report.title(f"Crash fail-over at TTL 15 s, {CANDIDATES} candidates, {groups} groups of each side by side")
    work = {kind: [[PERIOD_S[kind] * i / rounds for i in range(first, rounds, groups)] for first in range(groups)]
            for kind in kinds}
    with concurrent.futures.ThreadPoolExecutor(len(kinds) * groups) as pool:
        running = {kind: [pool.submit(group_of, server, kind, offsets) for offsets in work[kind]] for kind in kinds}
        for kind in kinds:
            took = [t for each in running[kind] for t in each.result()]
            if kind == "client-go":
                report.row(kind, seconds(took))
                continue
            p50 = statistics.median(took)
            report.row(kind, seconds(took), "p50 <= 13.5 s", p50 <= 13.5)
            report.row("  longest", f"{max(took):.2f} s", f"<= {BOUND_S} s", max(took) <= BOUND_S)
