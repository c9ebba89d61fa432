#!/usr/bin/env python3
"""Mixed elections: konductor and client-go stand for one coordination Lease; whoever works is ended, again and again.

    bench/kube_mixed.py [ROUNDS [SEED]]

Half of the workers release, half are killed; who waits is drawn anew each round. konductor sees a release at once and
so wins where both wait; client-go gets its turns where no konductor is there. Fails when two worked at a time, when
one side had no turn, or when the history is broken.
"""

import random
import sys

from kube_stage import ClientGo, Konductors, Party, Server, check_history, first_to_start, percentile

TTL_S = 3
DURATIONS = {"lease_duration": f"{TTL_S}s", "renew_deadline": "2s", "retry_period": "400ms"}
WAITING = 2


class Mixed:
    """Candidates of both on the Lease `boss` of a party of kind kube-lease."""

    def __init__(self, party):
        self.konductors = Konductors(party)
        self.others = ClientGo(party)
        self.serial = 0
        self.killed = {}  # name -> microseconds

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.others.close()
        self.konductors.close()

    def start(self, kind):
        """kind: "konductor" or "client-go", which is how the name begins."""
        name = f"{kind}-{self.serial}"
        self.serial += 1
        if kind == "konductor":
            return self.konductors.candidate(name, env={"TTL": f"{TTL_S}s"})
        return self.others.candidate(name, **DURATIONS)

    def stand_by(self, candidate):
        """Until it has seen that another holds."""
        if kind_of(candidate) == "konductor":
            candidate.wait_stderr("held by")
        else:
            candidate.wait_event("leader")

    def end(self, candidate, how):
        if how == "release":
            candidate.stop()
        else:
            self.killed[candidate.name] = int(candidate.kill() * 1000)

    def all(self):
        return [*self.konductors.replicas, *self.others.all]

    def runs(self):
        """(from, until, name) of all work, by its beginning. A killed one's ends no earlier than it was killed."""
        found = []
        for candidate in self.all():
            stops = [e.get("ended_us", e["t_us"]) for e in candidate.events("stop")]
            for start in candidate.events("start"):
                after = [t for t in stops if t >= start["t_us"]]
                until = min(after) if after else self.killed.get(candidate.name, sys.maxsize)
                found.append((start["t_us"], until, candidate.name))
        return sorted(found)

    def overlaps(self):
        runs = self.runs()
        return [(a, b) for a, b in zip(runs, runs[1:]) if b[0] < a[1]]


def kind_of(candidate):
    return candidate.name.rpartition("-")[0]


def elections(mixed, rounds, seed):
    """Returns [(kind that worked, how it ended, kind that worked next, seconds between)]."""
    rng = random.Random(seed)
    history = []
    worker = mixed.start(rng.choice(("konductor", "client-go")))
    worker.wait_event("start")
    waiting = []
    for _ in range(rounds):
        while len(waiting) < WAITING:
            waiting.append(mixed.start(rng.choice(("konductor", "client-go"))))
            mixed.stand_by(waiting[-1])
        how = rng.choice(("release", "kill"))
        mixed.end(worker, how)
        new = first_to_start(waiting)
        waiting.remove(new)
        gap = (new.events("start")[0]["t_us"] - max(r[1] for r in mixed.runs() if r[2] == worker.name)) / 1e6
        history.append((kind_of(worker), how, kind_of(new), gap))
        worker = new
    for candidate in [worker, *waiting]:
        candidate.stop()
    check_history(mixed.konductors, ["--partial"])
    return history


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    with Server() as server, Mixed(Party(server, "kube-lease")) as mixed:
        history = elections(mixed, rounds, seed)
        overlaps = mixed.overlaps()
    print(f"{rounds} mixed elections, seed {seed}: overlaps {len(overlaps)}")
    for pair in overlaps:
        print(f"  overlap: {pair}")
    turns = {}
    for before in ("konductor", "client-go"):
        for how in ("release", "kill"):
            for after in ("konductor", "client-go"):
                gaps = [h[3] for h in history if h[:3] == (before, how, after)]
                turns[after] = turns.get(after, 0) + len(gaps)
                if gaps:
                    print(f"  {before} ({how}) -> {after}: {len(gaps)} times, p50 {percentile(gaps, 0.5):.3f} s, "
                          f"max {max(gaps):.3f} s")
    print(f"  turns: konductor {turns['konductor']}, client-go {turns['client-go']}")
    return 1 if overlaps or not all(turns.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
