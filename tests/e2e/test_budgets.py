"""What konductor may cost, in figures that are the same on every machine: system calls, writes, wake-ups,
allocations, instructions. Times are asserted nowhere; the programs in bench/ print those.

A budget is what the thing costs today and a small margin. Whoever exceeds one has made a mistake, or pays for
something new and raises the figure here in the same change.
"""

import re
import subprocess
import sys
import unittest
from collections import Counter
from pathlib import Path

from lib import ROOT, SANITIZER_KB, ClusterTest, binary

sys.path.insert(0, str(ROOT / "bench"))
import allocations  # noqa: E402

LEASE = """
local k = require "konductor"
k.lease "seat" { ttl = "%s", main = { "/bin/sleep", "1000" } }
"""
STAGE = """
local k = require "konductor"
k.flow "setup" { k.stage "init" { version = "v1", run = { "true" } }, k.main { "/bin/true" } }
"""
# How often an allocator, Lua's own included, asks the kernel depends on its version and on what was freed before.
MEMORY_CALLS = {"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex"}
LUA_TESTS = Path(binary()).with_name("lua_tests")


class Call:
    """A line of strace: who, what, and the rest of it."""

    LINE = re.compile(r"(\d+) +(\w+)\((.*)")

    def __init__(self, match):
        self.pid, self.name, self.rest = int(match[1]), match[2], match[3]

    def blocks(self):
        return self.name == "epoll_wait" and not re.search(r", 0\) += ", self.rest)

    def is_event(self, name, more=""):
        return self.name == "write" and f'\\"event\\":\\"{name}\\"' in self.rest and more in self.rest

    def is_ring(self):
        return self.name == "read" and '"seat\\n"' in self.rest


def tell(calls):
    return ", ".join(f"{name} {count}" for name, count in sorted(Counter(call.name for call in calls).items()))


def first(calls, predicate, begin=0):
    return next(i for i in range(begin, len(calls)) if predicate(calls[i]))


class SystemCalls(ClusterTest):
    def start_traced(self, name, script=LEASE % "3s"):
        # Without Lua's compiler every round makes the same calls. A leak checker cannot work in a traced process.
        strace = ["strace", "-f", "-s", "400", "-e", "signal=none", "-o", str(self.cluster.directory / f"{name}.trace")]
        return self.cluster.start(self.cluster.script(script), name=name, wrapper=strace,
                                  env={"KONDUCTOR_JIT": "off", "ASAN_OPTIONS": "detect_leaks=0"})

    def calls(self, replica, everybody=False):
        """What konductor has called so far; with its guard and its child, if everybody."""
        text = (self.cluster.directory / f"{replica.name}.trace").read_text(errors="replace")
        found = [Call(match) for match in map(Call.LINE.match, text.split("\n")[:-1]) if match]
        pid = replica.events()[0]["pid"]
        return [c for c in found if c.name not in MEMORY_CALLS and (everybody or c.pid == pid)]

    def test_a_renewal_and_a_waiter_who_sees_it(self):
        """Guards against polling, against a second transaction in a renewal, and against reading more than a row."""
        holder = self.start_traced("holder")
        holder.wait_event("renew")
        waiter = self.start_traced("waiter")
        waiter.wait_event("join")
        # The queue has changed the record; what follows are renewals alone.
        since = holder.wait_event("renew", count=len(holder.events("renew")) + 2)["renewals"]
        holder.wait_event("renew", renewals=since + 4)
        waiter.wait_for(lambda: sum(c.is_ring() for c in self.calls(waiter)) > 5, what="rings")

        calls = self.calls(holder)
        begin, end = (first(calls, lambda c, n=n: c.is_event("renew", f'\\"renewals\\":{n},'))
                      for n in (since, since + 4))
        four = calls[begin + 1:end + 1]
        self.assertLessEqual(len(four), 4 * 55, tell(four))
        count = Counter(call.name for call in four)
        self.assertEqual(count["fdatasync"], 4, tell(four))
        self.assertEqual(count["sendto"], 4, "the guard is told once: " + tell(four))
        # A frame of the log for each of two pages, each with its head.
        self.assertLessEqual(count["pwrite64"], 4 * 4, tell(four))

        calls = self.calls(waiter)
        rings = [i for i, call in enumerate(calls) if call.is_ring()][-5:]
        four = calls[rings[0]:rings[-1]]
        self.assertLessEqual(len(four), 4 * 15, tell(four))
        # One for each ring, and one to spare for a machine that stands still until the hold looks expired.
        waits = [call for call in four if call.blocks()]
        self.assertLessEqual(len(waits), 5, tell(four))
        for wait in waits:
            # libev's own limit, its longest: nothing of ours asks to be woken sooner than the timerfd says.
            self.assertRegex(wait.rest, r", (-1|5\d{4})\) += |<unfinished")

    def test_starting_a_child(self):
        """Guards what lies between the decision and the exec: on our side, and in guard and child together."""
        replica = self.start_traced("starter")
        replica.wait_event("renew")
        calls = self.calls(replica, everybody=True)
        ours = replica.events()[0]["pid"]
        begin = first(calls, lambda c: c.is_event("start"))
        end = first(calls, lambda c: c.pid != ours and c.name == "execve" and '"/bin/sleep"' in c.rest, begin)
        theirs = [c for c in calls[begin:end + 1] if c.pid != ours]
        # 63 of them give every signal its default back, before the mask is lifted.
        self.assertLessEqual(len(theirs), 110, tell(theirs))
        mine = [c for c in calls[begin + 1:] if c.pid == ours]
        mine = mine[:first(mine, lambda c: c.name == "epoll_wait")]
        self.assertLessEqual(len(mine), 16, tell(mine))

    def test_starting_when_the_stage_is_done(self):
        """Guards the start of a container that is restarted: nothing is written to the disk on the way to main."""
        self.assertEqual(self.cluster.start(self.cluster.script(STAGE)).wait(), 0)
        replica = self.start_traced("again", STAGE)
        self.assertEqual(replica.wait(), 0)
        calls = self.calls(replica)
        begin = first(calls, lambda c: c.name == "openat" and "script2.lua" in c.rest)
        calls = calls[begin:first(calls, lambda c: c.name == "clone", begin)]
        self.assertLessEqual(len(calls), 182, tell(calls))
        self.assertEqual([c.name for c in calls if c.name in ("fsync", "fdatasync")], [], tell(calls))
        # There is nothing to wait for, so nothing is watched.
        self.assertEqual([c.name for c in calls if c.name in ("mkdirat", "linkat")], [], tell(calls))


class Writes(ClusterTest):
    def revision(self):
        return self.cluster.store_rows("SELECT max(rev) AS rev FROM records")[0]["rev"]

    def test_an_acquisition_creates_and_writes_once_and_a_hand_over_writes_twice(self):
        script = self.cluster.script(LEASE % "10m")
        holder = self.cluster.start(script, name="holder")
        holder.wait_event("start")
        self.assertEqual(self.revision(), 2)
        waiter = self.cluster.start(script, name="waiter")
        waiter.wait_event("join")
        self.assertEqual(self.revision(), 3)
        holder.stop()
        waiter.wait_event("start")
        self.assertEqual(self.revision(), 5)
        self.assertEqual([self.cluster.events(kind)[-1]["rev"] for kind in ("grant", "accept")], [4, 5])

    def test_a_stage_costs_three_writes_once_and_none_ever_after(self):
        script = self.cluster.script(STAGE)
        self.assertEqual(self.cluster.start(script).wait(), 0)
        self.assertEqual(self.revision(), 3, "create, claim, complete")
        self.assertEqual(self.cluster.start(script).wait(), 0)
        self.assertEqual(self.revision(), 3)
        self.assertEqual(len(self.cluster.events("main", phase="start")), 2)


class WakeUps(ClusterTest):
    def test_a_waiter_sleeps_but_for_the_renewals_that_it_sees(self):
        """What the kernel counts: how often any thread of the waiter went to sleep."""
        script = self.cluster.script(LEASE % "3s")
        holder = self.cluster.start(script, name="holder")
        holder.wait_event("start")
        waiter = self.cluster.start(script, name="waiter")
        waiter.wait_event("join")

        def sleeps():
            status = [path.read_text() for path in Path(f"/proc/{waiter.pid}/task").glob("*/status")]
            return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M)[1]) for text in status)

        # Renewals are told after they are in: the waiter may be just seeing the first of these.
        seen = len(holder.events("renew")) + 2
        holder.wait_event("renew", count=seen)
        before = sleeps()
        holder.wait_event("renew", count=seen + 3)
        # Twice a renewal: the file's lock may be taken for a moment.
        self.assertLessEqual(sleeps() - before, 2 * 3 + 2)


class Instructions(unittest.TestCase):
    # The shipped decisions, compare-and-swap and deadman over the simulated store: nothing of C but Lua itself.
    PROGRAM = """
        package.path = "lua/?.lua;" .. package.path
        local elect, sim = require "konductor.elect", require "konductor.sim.world"
        local goal, renewals = %d, 0
        local world = sim.new {
          commands = { work = { run_ms = 1e12 } },
          on_event = function(event) renewals = renewals + (event.event == "renew" and 1 or 0) end,
        }
        world:start("a", function(w)
          return elect.run(w, { name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, work = { argv = { "work" } } })
        end)
        world:run_until(function() return renewals >= goal end, (goal + 10) * 5000)
        assert(renewals == goal)
    """

    def instructions(self, renewals):
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "luajit", "-joff", "-e",
             self.PROGRAM % renewals], cwd=ROOT, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(re.search(r"Collected : (\d+)", done.stderr)[1])

    def test_a_renewal_in_the_in_memory_world(self):
        """Guards the policy's own work: an accidental copy of a record or a walk over all waiters shows here."""
        each = (self.instructions(600) - self.instructions(100)) / 500
        self.assertLessEqual(each, 320_000)


if LUA_TESTS.exists() and not SANITIZER_KB:  # a static binary or a sanitizer leaves malloc to nobody else

    class Allocations(unittest.TestCase):
        def test_a_renewal_allocates_little_and_keeps_nothing(self):
            """Over 1000 renewals on SQLite. Guards against leaks of C and of Lua that no leak checker sees, because
            somebody still points to them."""
            grown = allocations.measure(str(LUA_TESTS), 1000)
            self.assertLessEqual(grown["requests"] / 1000, 85)
            self.assertLessEqual(grown["live"], 4096)
            # Lua keeps what its compiler has made of the code.
            self.assertLessEqual(grown["heap"], 64 << 10)
            self.assertLessEqual(grown["resident"], 1 << 20)


if __name__ == "__main__":
    unittest.main()
