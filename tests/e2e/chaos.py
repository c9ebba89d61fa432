#!/usr/bin/env python3
"""Replicas under random faults, and what must hold all the same.

    KONDUCTOR_BIN=build/dev/konductor python3 tests/e2e/chaos.py --seconds 600 --seed 7

Up to --replicas processes share one store: some want one lease, with priorities; some run a flow of three stages and
a main; some run onces.  A driver with a seed kills, stops and continues konductor, its guard and its child, asks to
stop, starts new ones and new versions, removes wake-up pipes and signs of life, and with --tmpfs fills the disk.

Two judges.  tools/check-history reads the event logs.  And the work itself knows nothing of konductor's logs: it
takes a lock of the kernel, which the last of its processes lets go of, and writes down its fence; a second worker,
a fence that does not grow, a main before its stages or at-most-once work that starts twice is a line in
`violations`.  At the end, when the faults are over, there must be progress, and everybody must stop when asked to.

One fault at a time a replica: two at once (a stopped konductor whose guard is killed) are more than is promised.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from lib import PATIENCE, ROOT, Cluster, binary, boot_ms, children, wait_for

TTL_MS = 3000
ACT_UNTIL = 0.95  # of a TTL: from then on a guard has killed
KINDS = ["lease"] * 5 + ["flow"] * 4 + ["once"] * 3
ENDING = (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM)  # what ends one that has hardly begun
UNEXPECTED = {70: "an error inside", 98: "see violations", 99: "a sanitizer, or a second worker: see violations"}

WORK = """\
    # work.sh NAME ROUNDS: has the lock of NAME as descriptor 3, as has every descendant that it means to be known by.
    dir=$(dirname "$0") name=$1 rounds=$2 last=0
    [ -s "$dir/fence.$name" ] && read -r last < "$dir/fence.$name"
    if [ "$KONDUCTOR_TOKEN" -le "$last" ]; then
      echo "$name: $KONDUCTOR_HOLDER has fence $KONDUCTOR_TOKEN after $last" >> "$dir/violations"
      exit 98
    fi
    echo "$KONDUCTOR_TOKEN" > "$dir/fence.$name"
    if [ "$name" = amo ]; then
      [ -e "$dir/began.amo.$VERSION" ] && echo "amo $VERSION was started again" >> "$dir/violations"
      : > "$dir/began.amo.$VERSION"
    fi
    case $3 in tree) setsid sh -c 'trap "" TERM; while :; do sleep 1 3>&-; done' & esac
    while [ "$rounds" != 0 ]; do
      sleep 0.1 3>&-
      rounds=$((rounds - 1))
    done
    : > "$dir/done.$name.$VERSION"
    """
ALONE = """\
    # alone.sh NAME ROUNDS: the work, if nobody else is at it.
    dir=$(dirname "$0")
    exec 3> "$dir/lock.$1"
    if ! flock -n 3; then
      echo "$1: $KONDUCTOR_HOLDER with fence $KONDUCTOR_TOKEN is not alone, beside $(cat "$dir/fence.$1")" \\
        >> "$dir/violations"
      exit 98
    fi
    exec sh "$dir/work.sh" "$@"
    """
MAIN = """\
    dir=$(dirname "$0")
    for stage in one two three; do
      [ -e "$dir/done.$stage.$VERSION" ] || echo "main of $VERSION before $stage" >> "$dir/violations"
    done
    sleep "$1"
    """


class Chaos:
    def __init__(self, cluster, seed, limit, tmpfs=None):
        self.cluster, self.limit = cluster, limit
        self.random = random.Random(seed)
        self.faults = collections.Counter()
        self.live = {}  # replica -> kind
        self.stopped = {}  # pid -> (replica, boot ms when it was stopped, boot ms when it is continued)
        self.busy_until = {}  # replica -> boot ms before which it is spared
        self.problems = []
        self.version = 1
        self.filler = None
        self.fill_until = 0
        self.directory = cluster.directory / "work"
        if tmpfs:
            cluster.store_path = Path(tmpfs) / "state.db"
            self.filler = Path(tmpfs) / "filler"
        for name, text in (("work.sh", WORK), ("alone.sh", ALONE), ("main.sh", MAIN)):
            cluster.file(f"work/{name}", text)

    # Scripts.

    def command(self, name, rounds, *more):
        words = ["sh", self.directory / "alone.sh", name, rounds, *more]
        return "{ " + ", ".join(f'"{word}"' for word in words) + " }"

    def script(self, kind):
        r = self.random
        tree = ["tree"] if r.random() < 0.3 else []
        head = 'local k = require "konductor"\nlocal version = k.env "VERSION"\n'
        if kind == "lease":
            preempt = r.choice(("true", "false"))
            text = (f'k.lease "boss" {{ ttl = "{TTL_MS}ms", priority = {r.randrange(3)}, preempt = {preempt}, '
                    f'main = {self.command("boss", -1, *tree)} }}')
        elif kind == "once":
            often = f'hold = "{TTL_MS}ms", retries = 100000, backoff = "1ms", version = version'
            text = (f'k.once "a" {{ {often}, run = {self.command("a", r.choice((1, 10, 50)), *tree)} }}\n'
                    f'k.once "amo" {{ hold = "{TTL_MS}ms", mode = "AtMostOnce", version = version, '
                    f'run = {self.command("amo", r.choice((1, 10)))} }}')
        else:
            rounds = [r.choice((0, 1, 10, 50)) for _ in range(3)]
            text = textwrap.dedent(f'''\
                k.flow "chaos" {{
                  version = version, hold = "{TTL_MS}ms", retries = 100000, backoff = "1ms",
                  k.stage "one" {{ run = {self.command("one", rounds[0])} }},
                  k.stage "two" {{ after = "one", run = {self.command("two", rounds[1], *tree)} }},
                  k.stage "three" {{ after = "one", run = {self.command("three", rounds[2])} }},
                  k.main {{ "sh", "{self.directory}/main.sh", "{r.choice((0, 1, 5))}" }},
                }}''')
        return self.cluster.script(head + text + "\n")

    # Faults.  Each returns whether it found somebody to strike.

    def pick(self, depth=0):
        """A replica that may be struck, and its konductor, guard or child by depth; None when there is none."""
        now = boot_ms()
        struck = {replica for replica, _, _ in self.stopped.values()}
        free = [r for r in self.live if r not in struck and self.busy_until.get(r, 0) <= now and r.running]
        if not free:
            return None, None
        replica = self.random.choice(free)
        pids = [replica.pid]
        for _ in range(depth):
            pids = children(pids[0])[:1] if pids else []
        return (replica, pids[0]) if pids else (None, None)

    def send(self, pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def start(self):
        if len(self.live) >= self.limit:
            return False
        kind = self.random.choice(KINDS)
        old = self.random.random() < 0.2  # a rollback, or a pod of the last version that comes late
        version = f"v{max(1, self.version - old)}"
        replica = self.cluster.start(self.script(kind), env={"VERSION": version}, options=["--grace", "1s"])
        self.live[replica] = kind
        return True

    def next_version(self):
        self.version += 1
        return True

    def kill_konductor(self):
        replica, pid = self.pick()
        if pid:
            self.bury_in_time(replica)
        return bool(pid)

    def bury_in_time(self, replica):
        """One that is stopped, or was until now, dies before it says how its work ended. Its guard has killed the work
        when its time was over; the checker of histories has to be told of that end."""
        at = int(boot_ms() * 1000)
        signs = [e["t_us"] for e in replica.events() if e["event"] in ("claim", "accept", "renew")]
        if signs:
            at = min(at, int(max(signs) + ACT_UNTIL * TTL_MS * 1000))
        self.bury(replica)
        self.tell_end(replica, at)

    def bury(self, replica):
        replica.kill()
        del self.live[replica]

    def kill_guard(self):
        replica, pid = self.pick(1)
        if pid:
            self.busy_until[replica] = boot_ms() + 2000
        return bool(pid) and self.send(pid, signal.SIGKILL)

    def kill_child(self):
        _, pid = self.pick(2)
        return bool(pid) and self.send(pid, self.random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)))

    def term(self):
        replica, pid = self.pick()
        return bool(pid) and self.send(pid, self.random.choice((signal.SIGTERM, signal.SIGINT)))

    def hangup(self):
        _, pid = self.pick()
        return bool(pid) and self.send(pid, self.random.choice((signal.SIGHUP, signal.SIGUSR1, signal.SIGCONT)))

    def stop_one(self, depth):
        replica, pid = self.pick(depth)
        if not pid or not self.send(pid, signal.SIGSTOP):
            return False
        now = boot_ms()
        self.stopped[pid] = (replica, now, now + self.random.choice((5, 100, 1000, 1.6 * TTL_MS, 3 * TTL_MS)))
        return True

    def stop_konductor(self):
        return self.stop_one(0)

    def stop_guard(self):
        return self.stop_one(1)

    def stop_child(self):
        return self.stop_one(2)

    def kill_stopped(self):
        """A konductor dies while it is stopped."""
        for pid, (replica, _, _) in self.stopped.items():
            if pid == replica.pid:
                del self.stopped[pid]
                self.bury_in_time(replica)
                return True
        return False

    def tell_end(self, replica, at):
        log = replica.directory / "events"
        if not log.exists():
            return
        lines = log.read_text().splitlines(keepends=True)
        if lines and '"killed"' in lines[-1]:
            lines[-1] = json.dumps(dict(json.loads(lines[-1]), t_us=at)) + "\n"
            log.write_text("".join(lines))

    def remove_some(self, place):
        files = [p for p in Path(f"{self.cluster.store_path}.d", place).rglob("*") if not p.is_dir()]
        for path in self.random.sample(files, min(len(files), 3)):
            path.unlink(missing_ok=True)
        return bool(files)

    def remove_bells(self):
        return self.remove_some("bell")

    def remove_live(self):
        return self.remove_some("live")

    def remove_beside(self):
        shutil.rmtree(f"{self.cluster.store_path}.d", ignore_errors=True)
        return True

    def fill_disk(self):
        if not self.filler or self.fill_until:
            return False
        self.fill_until = boot_ms() + self.random.choice((200, 1500, 1.5 * TTL_MS))
        try:
            with open(self.filler, "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        except OSError:
            return True
        return False

    FAULTS = [(start, 12), (next_version, 0.5), (kill_konductor, 3), (kill_guard, 2), (kill_child, 2), (term, 3),
              (hangup, 1), (stop_konductor, 3), (stop_guard, 2), (stop_child, 2), (kill_stopped, 1),
              (remove_bells, 1), (remove_live, 0.5), (remove_beside, 0.1), (fill_disk, 0.5)]

    # The course of things.

    def resume(self, everybody=False):
        now = boot_ms()
        for pid, (_, _, until) in list(self.stopped.items()):
            if everybody or now >= until:
                del self.stopped[pid]
                self.send(pid, signal.SIGCONT)
        if self.fill_until and (everybody or now >= self.fill_until):
            self.fill_until = 0
            self.filler.unlink()

    def reap(self):
        for replica in [r for r in self.live if not r.running]:
            code, kind = replica.process.returncode, self.live.pop(replica)
            self.judge_end(replica, kind, code)
            self.stopped = {pid: s for pid, s in self.stopped.items() if s[0] is not replica}

    def judge_end(self, replica, kind, code):
        why = UNEXPECTED.get(code)
        if code == 70 and "was killed before the command started" in replica.stderr:
            return  # our own kill_guard, early
        if code < 0 and not (-code in ENDING and not replica.events()):
            why = "a crash"
        if why:
            self.problems.append(f"{replica.name} ({kind}) ended with {code}: {why}\n{replica.describe()}")

    PAUSES = (0, 0.01, 0.05, 0.3)  # between two faults, seconds

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        faults, weights = zip(*self.FAULTS)
        while time.monotonic() < deadline:
            fault = self.random.choices(faults, weights)[0]
            if fault(self):
                self.faults[fault.__name__] += 1
            time.sleep(self.random.choice(self.PAUSES))
            self.resume()
            self.reap()
            self.go_on()

    def go_on(self):
        """What else is due between two faults."""

    def settle(self):
        """The faults are over: there must be progress, then an end."""
        self.resume(everybody=True)
        self.version += 1
        version = {"VERSION": f"v{self.version}"}
        leader = self.cluster.start(self.script("lease"), env=version, options=["--grace", "1s"], name="last-lease")
        flow = self.cluster.start(self.script("flow"), env=version, options=["--grace", "1s"], name="last-flow")
        self.live.update({leader: "lease", flow: "flow"})
        flow.wait_event("main", timeout=60)
        for replica, kind in self.live.items():
            if kind == "lease" and replica is not leader and replica.running:
                replica.signal(signal.SIGTERM)
        leader.wait_event("start", timeout=30)
        self.end_everybody()

    def end_everybody(self):
        """Whoever is asked to stop does."""
        for replica in self.live:
            if replica.running:
                replica.signal(signal.SIGTERM)
        wait_for(lambda: not any(r.running for r in self.live), 60, "the end of everybody", self.describe_live)
        self.reap()

    def describe_live(self):
        return "\n".join(replica.describe() for replica in self.live if replica.running)

    def violations(self):
        """What was broken, a list of texts."""
        found = list(self.problems)
        seen = self.directory / "violations"
        if seen.exists():
            found += seen.read_text().splitlines()
        done = subprocess.run([ROOT / "tools" / "check-history", *self.cluster.event_files()],
                              capture_output=True, text=True, env=self.cluster.env({"KONDUCTOR_BIN": binary()}),
                              timeout=300 * PATIENCE)
        if done.returncode != 0:
            found.append(done.stdout + done.stderr)
        self.summary = done.stdout.strip().splitlines()[-1:]
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--replicas", type=int, default=12)
    parser.add_argument("--tmpfs", help="a directory that is a small file system of its own: the store is put there "
                                        "and the disk is filled from time to time")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    with Cluster("kon-chaos-") as cluster:
        chaos = Chaos(cluster, seed, options.replicas, options.tmpfs)
        chaos.run(options.seconds)
        try:
            chaos.settle()
        except AssertionError as stuck:
            chaos.problems.append(str(stuck))
        found = chaos.violations()
        print(dict(chaos.faults), *chaos.summary, sep="\n")
        print("\n".join(found) if found else "no violation")
        if found:
            kept = Path(f"/tmp/chaos-{seed}")
            shutil.copytree(cluster.directory, kept, dirs_exist_ok=True,
                            ignore=lambda d, names: [n for n in names if n in ("bell", "live")])
            print(f"kept in {kept}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
