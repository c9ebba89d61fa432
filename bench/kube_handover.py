"""Graceful hand-overs of one Lease on an API server: time, and requests by the audit log."""

import random
import statistics
import time

from kube_stage import ClientGo, Konductors, Party, began, between, check_history, ended, first_to_start, ms, wall

QUEUE = 32  # places in a Lease's queue
POLL_S = 3.2  # what client-go's candidates wait on average between two looks
BATCH = 25
SETTLE_S = 0.2  # requests that a hand-over causes are over by then; more of it does no harm


def change(group, holder, waiting, serial):
    """One hand-over and a new candidate. Returns the new holder, milliseconds, and the spans of the two in the audit."""
    if isinstance(group, ClientGo):
        time.sleep(random.uniform(0, POLL_S))  # it polls: the moment must not follow the newcomer's first look
    since = wall()
    holder.signal(15)
    holder.process.wait()  # blocks: a poll would take a processor from those who are measured
    time.sleep(0.05)
    new = first_to_start(waiting)
    latency = (began(new) - ended(holder)) / 1000
    time.sleep(SETTLE_S)
    changed = wall()
    waiting.remove(new)
    waiting.append(group.candidate(f"c{serial}"))
    group.standing_by(waiting)
    time.sleep(SETTLE_S)
    return new, latency, (since, changed), (changed, wall())


def gather(group, count):
    """So many candidates, some at a time: hundreds of processes that start at once leave a holder on the same machine
    no processor to renew with."""
    waiting = []
    while len(waiting) < count:
        some = range(len(waiting) + 1, min(len(waiting) + BATCH, count) + 1)
        waiting += [group.candidate(f"c{i}") for i in some]
        group.standing_by(waiting)
    return waiting


def run(party, count, rounds):
    """{"ms": [...], "writes": [...], "conflicts": n, "gets": n, "joins": [...]}; the counts are of konductor only."""
    latency, spans = [], []
    with party.group() as group:
        mark = party.server.audit_mark()
        holder = group.candidate("c0")
        holder.wait_event("start")
        waiting = gather(group, count - 1)
        for serial in range(count, count + rounds):
            holder, took, *both = change(group, holder, waiting, serial)
            latency.append(took)
            spans.append(both)
        for candidate in [holder, *waiting]:
            candidate.signal(15)
        for candidate in [holder, *waiting]:
            candidate.wait()
        result = {"ms": latency}
        if isinstance(group, Konductors):
            check_history(group)
            result |= counts(party.answers(mark, name="boss"), group, spans)
        return result


def counts(answers, group, spans):
    """A renewal that falls into a span is not of the hand-over: there are as many events as such writes."""
    renewals = [e["t_us"] for e in group.events("renew")]
    offset = time.time() * 1e6 - time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
    result = {"writes": [], "joins": [], "conflicts": 0, "gets": 0}
    for parts in spans:
        for name, span in zip(("writes", "joins"), parts):
            inside = between(answers, *span)
            own = sum(span[0] <= stamp(t + offset) <= span[1] for t in renewals)
            result[name].append(sum(e["verb"] == "update" and ok(e) for e in inside) - own)
            result["conflicts"] += sum(e["verb"] == "update" and not ok(e) for e in inside)
        result["gets"] += sum(e["verb"] == "get" for e in between(answers, *parts[0]))
    return result


def ok(event):
    return event["responseStatus"]["code"] == 200


def stamp(micros):
    whole, part = divmod(int(micros), 1000000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:06d}Z"


def show(report, party, count, rounds, floors):
    """The server hands each write to every watcher, whoever they are: a crowd is judged by the floor of a crowd."""
    watchers = max(n for n in floors if n <= count)
    base = floors[watchers][party.kind]
    got = run(party, count, rounds)
    p50 = statistics.median(got["ms"])
    what = f"{party.kind}, {count} candidates"
    if party.kind == "client-go":
        report.row(what, ms(got["ms"]), f"ratio to the floor {p50 / base:.1f}")
        return p50
    report.row(what, ms(got["ms"]), f"<= 2 x floor of {watchers} more; it is {p50 / base:.2f}", p50 <= 2 * base)
    report.row("  beside the floor of one watcher more", f"{p50 / floors[1][party.kind]:.2f}")
    mean = sum(got["writes"]) / rounds
    # In a crowd the place in the queue that has become free is taken within the same moments.
    most = 2 if count <= QUEUE else 3
    report.promise("  writes a hand-over; and for the new candidate", f"{mean:.2f}; {sum(got['joins']) / rounds:.2f}",
                   "2 and 1 join", mean <= most + 0.2)
    report.row("  conflicts; reads of it, a hand-over", f"{got['conflicts'] / rounds:.2f}; {got['gets'] / rounds:.2f}",
               "conflicts <= 0.1", got["conflicts"] <= max(1, 0.1 * rounds))
    return p50


def main(report, server, floors, kinds, rounds, large):
    report.title("Graceful hand-over: last process of the old work gone -> the next one's work begins")
    found = {}
    for kind in kinds:
        for count in (3, 20) if kind == "client-go" or not large else (3, 20, 100):
            n = (rounds + 1) // 2 if kind == "client-go" and count == 3 else rounds
            found[kind, count] = show(report, Party(server, kind), count, n, floors)
    for count in (3, 20):
        if ("client-go", count) in found and ("kube", count) in found:
            ratio = found["client-go", count] / found["kube", count]
            report.row(f"client-go's p50 over kube's, {count} candidates", f"{ratio:.1f} times")
