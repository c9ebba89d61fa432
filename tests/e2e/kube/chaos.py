#!/usr/bin/env python3
"""Replicas on a real API server under random faults of everything between them and etcd, and what must hold all the same.

    PYTHONPATH=tests/e2e python3 tests/e2e/kube/chaos.py --minutes 30 --seed 7

20 processes share 5 Leases and 200 Onces, the Onces in waves of ten: a wave begins when the one before it is done. Each
process has its own proxy to one of two API servers, one of which has a wrong clock; some use the store kube, some
kube-lease. A driver with a seed (tests/e2e/chaos.py) strikes links, requests, servers, etcd, rights, tokens, definitions,
objects and processes; then all is healed, and there must be progress and an end.

Judges: tools/check-history on all event logs; the work itself, which takes a lock of the kernel and keeps its fences;
the objects, which must say done of everything whose completion was logged; the audit log, for how much was asked.
"""

import argparse
import collections
import random
import shutil
import signal
import sys
import textwrap
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import chaos as base  # noqa: E402
from kube.chaos_api import Api  # noqa: E402
from kube.chaos_judges import Judges  # noqa: E402
from kube.chaos_links import Links  # noqa: E402
from kube.cluster import Cluster as Servers  # noqa: E402
from kube.http_proxy import HttpProxy  # noqa: E402
from kube.proxy import Proxy  # noqa: E402
from kube.test_crds import install  # noqa: E402
from lib import PATIENCE, Cluster, boot_ms, children, wait_for  # noqa: E402

TTL_MS = 3000
REPLICAS, LEASES, ONCES, WAVE = 20, 5, 200, 10
STORES = ("kube", "kube-lease")
KINDS = ["lease"] * 6 + ["once"] * 6 + ["try"] * 1
# Beside those of the program: what a fault in this list of faults may lead to, and nothing else.
EXPECTED = {0, 74, 75, 76, 77, 78, 98, 124, 128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP,
            128 + signal.SIGUSR1, 128 + signal.SIGKILL, 128 + signal.SIGSEGV}

WORK = """\
    # work.sh NAME ROUNDS: has the lock of NAME. Who does not get it, or comes with a fence that is not above the last, says
    # so, and goes on under a lock of its own: whether only the fence had to protect, the driver judges.
    dir=$(dirname "$0") name=$1 rounds=$2 last=0
    [ -s "$dir/gen.$name" ] && read -r gen < "$dir/gen.$name"
    [ -s "$dir/fence.$name" ] && read -r last < "$dir/fence.$name"
    exec 3> "$dir/lock.$name.$gen"
    if [ "$KONDUCTOR_TOKEN" -le "$last" ]; then
      echo "late $name $KONDUCTOR_TOKEN $last" >> "$dir/seen"
      exit 98
    fi
    if ! flock -n 3; then
      echo "beside $name $KONDUCTOR_TOKEN $last" >> "$dir/seen"
      echo "$KONDUCTOR_TOKEN" > "$dir/gen.$name"
      exec 3> "$dir/lock.$name.$KONDUCTOR_TOKEN"
      flock -n 3 || echo "$name: two with fence $KONDUCTOR_TOKEN" >> "$dir/violations"
    fi
    echo "$KONDUCTOR_TOKEN" > "$dir/fence.$name"
    case $3 in tree) setsid sh -c 'trap "" TERM; while :; do sleep 1 3>&-; done' & esac
    while [ "$rounds" != 0 ]; do
      sleep 0.1 3>&-
      rounds=$((rounds - 1))
    done
    """


def at_most_once(name):
    return name.endswith("9")


def store_of(number, count):
    """Three fifths of the objects are of kube, the others of kube-lease: no name is in both."""
    return STORES[number >= count * 3 // 5]


class KubeChaos(Judges, Api, Links, base.Chaos):
    def __init__(self, cluster, servers, seed, limit=REPLICAS):
        self.cluster, self.c, self.limit = cluster, servers, limit
        self.random = random.Random(seed)
        self.faults, self.codes = collections.Counter(), collections.Counter()
        self.live, self.stopped, self.busy_until = {}, {}, {}
        self.frozen = {}  # replica -> (pids, when, until)
        self.proxies, self.heal_at = {}, {}
        self.store, self.place = {}, {}
        self.problems = []
        self.wave, self.version, self.waves_done = 0, 1, 0
        self.fill_until, self.filler = 0, None
        self.directory = cluster.directory / "work"
        self.told = cluster.directory / "told"
        cluster.file("work/work.sh", WORK)
        install(servers)
        self.begin_api()
        self.audit_mark = servers.audit_mark()
        self.began_ms = boot_ms()

    # Scripts.

    def command(self, name, rounds, *more):
        return "{ " + ", ".join(f'"{w}"' for w in ("sh", self.directory / "work.sh", name, rounds, *more)) + " }"

    def names(self, store):
        """The Onces of this wave that are in that store."""
        numbers = [(self.wave * WAVE + i) % ONCES for i in range(WAVE)]
        # Every wave has some of both.
        return [f"page-{n}" for i, n in enumerate(numbers) if store_of(i, WAVE) == store]

    def script(self, kind, store, plain=False):
        r = self.random
        tree = ["tree"] if r.random() < 0.2 else []
        if kind == "once":
            names = self.names(store)
            r.shuffle(names)
            if plain:  # what must run at most once may have failed for good, which ends the script
                names.sort(key=at_most_once)
            declared = []
            for name in names:
                options = 'mode = "AtMostOnce", ' if at_most_once(name) else 'retries = 100000, backoff = "1ms", '
                declared.append(f'k.once "{name}" {{ hold = "{TTL_MS}ms", version = "v{self.version}", {options}'
                                f'run = {self.command(name, r.choice((0, 1, 5, 30)), *tree)} }}')
            text = "\n".join(declared)
        else:
            number = r.choice([n for n in range(LEASES) if store_of(n, LEASES) == store])
            name = f"boss-{number}"
            if kind == "try":
                run = self.command(name, r.choice((1, 10)))
                text = f'k.lease("{name}"):try({{ ttl = "{TTL_MS}ms" }}, function() k.exec {run} end)'
            else:
                text = (f'k.lease "{name}" {{ ttl = "{TTL_MS}ms", priority = {r.randrange(3)}, '
                        f'preempt = {r.choice(("true", "false"))}, main = {self.command(name, -1, *tree)} }}')
        return self.cluster.script(f'local k = require "konductor"\n{text}\n')

    # Replicas.

    def start(self):
        if len(self.live) >= self.limit:
            return False
        kind, store = self.random.choice(KINDS), self.random.choice(STORES)
        self.launch(kind, store)
        return True

    def launch(self, kind, store, name=None, plain=False):
        server = 0 if plain else self.random.randrange(self.c.servers)
        proxy = HttpProxy(self.c, server) if self.random.random() < 0.4 else Proxy(self.c.state["ports"][server])
        env = {"KONDUCTOR_STORE": store, "KUBECONFIG": str(self.identity(store, proxy, server, plain)),
               "KONDUCTOR_NAMESPACE": self.spaces[store]}
        replica = self.cluster.start(self.script(kind, store, plain), env=env, options=["--grace", "1s"], name=name)
        self.live[replica], self.store[replica], self.proxies[replica] = kind, store, proxy
        self.place[replica] = server
        return replica

    def judge_end(self, replica, kind, code):
        self.codes[code] += 1
        proxy = self.proxies.pop(replica)
        self.heal_at.pop(replica, None)
        proxy.heal()
        proxy.close()
        early = code == 70 and "was killed before the command started" in replica.stderr
        dead = code < 0 and -code in base.ENDING and not replica.events()
        once = code == 1 and "9\" failed for good" in replica.stderr  # at-most-once work that was ended
        if code not in EXPECTED and not early and not dead and not once:
            self.problems.append(f"{replica.name} ({kind}) ended with {code}\n{replica.describe()}")

    def bury(self, replica):
        replica.kill()
        kind = self.live.pop(replica)
        self.judge_end(replica, kind, 128 + signal.SIGKILL)

    # Faults of processes: those of chaos.py, and one more.

    def pick(self, depth=0):
        replica, pid = super().pick(depth)
        return (None, None) if replica in self.frozen else (replica, pid)

    def freeze_tree(self):
        """All of it at once, as a paused container; its guard too, so that only the fence protects."""
        replica, pid = self.pick()
        if not pid:
            return False
        pids = self.stop_tree(pid)
        now = boot_ms()
        self.frozen[replica] = (pids, now, now + self.random.choice((100, 1000, 1.6 * TTL_MS, 3 * TTL_MS)))
        return True

    def stop_tree(self, pid):
        pids = [pid]
        self.send(pid, signal.SIGSTOP)
        for each in pids:
            for child in children(each):
                self.send(child, signal.SIGSTOP)
                pids.append(child)
        return pids

    def thaw(self, everybody):
        for replica, (pids, since, until) in list(self.frozen.items()):
            if everybody or boot_ms() >= until:
                del self.frozen[replica]
                for pid in reversed(pids):
                    self.send(pid, signal.SIGCONT)
                said = replica.events()
                if said:
                    self.tell("frozen", session=said[-1]["session"], t_us=int(since * 1000),
                              until_us=int(boot_ms() * 1000))

    # The course of things.

    def resume(self, everybody=False):
        super().resume(everybody)
        self.thaw(everybody)
        self.heal_links(everybody)
        if everybody:
            self.end_api()

    PAUSES = (0, 0.02, 0.1, 0.5)

    def go_on(self):
        self.next_wave()

    def done(self):
        """What is recorded as done by now, by name and version."""
        return {(e["name"], e["version"]) for e in self.cluster.events("complete")}

    def next_wave(self):
        """Goes on when this one is done. At-most-once work may have died, and then stays undone."""
        if time.monotonic() < getattr(self, "look_at", 0):
            return
        self.look_at = time.monotonic() + 2
        done = self.done()
        wanted = {(n, f"v{self.version}") for s in STORES for n in self.names(s) if not at_most_once(n)}
        if wanted <= done:
            self.waves_done += 1
            self.wave += 1
            if self.wave * WAVE % ONCES == 0:
                self.version += 1

    def settle(self):
        """The faults are over: there must be progress, then an end."""
        self.resume(everybody=True)
        wanted = {(n, f"v{self.version}") for s in STORES for n in self.names(s) if not at_most_once(n)}
        for store in STORES:
            self.launch("once", store, f"last-once-{store}", plain=True)
            self.launch("lease", store, f"last-lease-{store}", plain=True)
        wait_for(lambda: wanted <= self.done(), 90, "the last wave", self.describe_live)
        leads = [r for r, kind in self.live.items() if kind == "lease" and r.name.startswith("last")]
        for replica, kind in self.live.items():
            if kind != "once" and replica not in leads and replica.running:
                replica.signal(signal.SIGTERM)
        for replica in leads:
            replica.wait_event("start", timeout=60)
        self.end_everybody()

    def report(self):
        return "\n".join([f"faults: {dict(sorted(self.faults.items()))}", f"ends: {dict(sorted(self.codes.items()))}",
                          f"{self.waves_done} waves done, {len(self.done())} Onces", *self.summary])

    FAULTS = [
        (start, 20), (base.Chaos.kill_konductor, 2), (base.Chaos.kill_guard, 1), (base.Chaos.kill_child, 2),
        (base.Chaos.term, 2), (base.Chaos.stop_konductor, 2), (base.Chaos.stop_guard, 1), (base.Chaos.stop_child, 1),
        (base.Chaos.kill_stopped, 0.5), (freeze_tree, 1.5), *Links.FAULTS, *Api.FAULTS,
    ]


def run(seed, seconds, replicas=REPLICAS, keep=True):
    """One run; returns what was broken, and a report."""
    with Cluster("kon-chaos-") as cluster, Servers(servers=2, clocks={1: 1800}) as servers:
        chaos = KubeChaos(cluster, servers, seed, replicas)
        try:
            try:
                chaos.run(seconds)
                chaos.settle()
            except AssertionError as stuck:
                chaos.problems.append(str(stuck))
            finally:
                chaos.resume(everybody=True)
            found = chaos.violations()
        finally:
            chaos.close()
        report = chaos.report()
        if found and keep:
            kept = Path(f"/tmp/chaos-kube-{seed}")
            shutil.copytree(cluster.directory, kept, dirs_exist_ok=True)
            report += f"\nkept in {kept}"
    return found, report


def main():
    parser = argparse.ArgumentParser(description=textwrap.dedent(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--replicas", type=int, default=REPLICAS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    found, report = run(seed, options.minutes * 60, options.replicas)
    print(report)
    print("\n".join(found) if found else "no violation")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
