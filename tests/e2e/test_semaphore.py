"""scripts/semaphore.lua and the other code of docs/writing-a-policy.md, with real processes."""

import re
import subprocess
import unittest

from lib import ROOT, ClusterTest, binary, wait_for

SCRIPT = ROOT / "scripts" / "semaphore.lua"
WORK = 'echo $KONDUCTOR_HOLDER >> started; until [ -e "go.$KONDUCTOR_HOLDER" ] || [ -e go ]; do sleep 0.02; done'


class Semaphore(ClusterTest):
    def start_workers(self, names, permits=2):
        env = {"PERMITS": permits, "SEMAPHORE": "gpu"}
        return {name: self.cluster.start(SCRIPT, name=name, command=["sh", "-c", WORK], env=env) for name in names}

    def started(self):
        path = self.cluster.directory / "started"
        return path.read_text().split() if path.exists() else []

    def wait_started(self, count):
        wait_for(lambda: len(self.started()) >= count, what=f"{count} workers", describe=self.cluster.describe)

    def let_go(self, name=None):
        (self.cluster.directory / (f"go.{name}" if name else "go")).touch()

    def wait_until_all_wait(self, replicas):
        for replica in replicas:
            replica.wait_for(lambda r=replica: "permits are taken" in r.stderr, what="a message that it waits")

    def check_history(self, *options):
        done = subprocess.run(
            [ROOT / "tools" / "check-history", "--limit=Semaphore/gpu=2", *options, *self.cluster.event_files()],
            capture_output=True, text=True, env=self.cluster.env({"KONDUCTOR_BIN": binary()}), timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_runs_as_many_as_it_has_permits_and_everybody_in_the_end(self):
        workers = self.start_workers([f"w{i}" for i in range(6)])
        self.wait_started(2)
        self.wait_until_all_wait(r for name, r in workers.items() if name not in self.started())
        self.assertEqual(len(self.started()), 2)
        self.let_go(self.started()[0])
        self.wait_started(3)
        self.assertEqual(len(self.started()), 3)
        self.let_go()
        for worker in workers.values():
            self.assertEqual(worker.wait(), 0)
        self.assertEqual(sorted(self.started()), sorted(workers))
        self.check_history()

    def test_the_permit_of_a_killed_process_is_taken_over(self):
        workers = self.start_workers(["a", "b"])
        self.wait_started(2)
        late = self.start_workers(["late"])["late"]
        self.wait_until_all_wait([late])
        workers["a"].kill()
        self.wait_started(3)
        self.assertEqual(self.started()[2], "late")
        self.let_go()
        self.assertEqual(late.wait(), 0)
        self.assertEqual(workers["b"].wait(), 0)
        self.check_history()

    def test_a_worker_that_waits_leaves_at_once_when_asked(self):
        workers = self.start_workers(["a", "b"])
        self.wait_started(2)
        late = self.start_workers(["late"])["late"]
        self.wait_until_all_wait([late])
        self.assertEqual(late.stop(), 143)
        self.let_go()
        for worker in workers.values():
            self.assertEqual(worker.wait(), 0)
        self.check_history()

    def test_the_exit_code_is_that_of_the_command(self):
        done = self.cluster.run("run", SCRIPT, "--listen", "off", "--", "sh", "-c", "exit 7")
        self.assertEqual(done.returncode, 7, done.stderr)

    def test_a_number_of_permits_that_is_none_is_refused(self):
        done = self.cluster.run("run", SCRIPT, "--listen", "off", "--", "true", env={"PERMITS": "many"})
        self.assertEqual(done.returncode, 65)
        self.assertIn("PERMITS is not a number", done.stderr)


class Page(ClusterTest):
    """The code that the page prints is the code that runs."""

    BLOCKS = re.findall(r"```lua\n(.*?)```", (ROOT / "docs" / "writing-a-policy.md").read_text(), re.DOTALL)

    def block(self, word):
        found = [block for block in self.BLOCKS if word in block]
        self.assertEqual(len(found), 1, word)
        return found[0]

    def test_the_decision_on_the_page_is_that_of_the_script(self):
        lines = [line.strip() for line in SCRIPT.read_text().splitlines()]
        printed = [line.strip() for line in self.block("decide = function").splitlines()]
        self.assertIn("\n".join(printed), "\n".join(lines))

    def gate(self):
        """The page's, but that its look comes too late for any test: whoever goes through was told by an event."""
        block, look = self.block("wait_for_gate"), "k.now() + 30000"
        self.assertIn(look, block)
        return self.cluster.script(
            'local k = require "konductor"\n' + block.replace(look, "k.now() + 3600000") + """
if k.env("ROLE") == "open" then
  open_gate("db")
else
  k.exec { "echo", "waiting" }
  wait_for_gate("db")
  k.exec { "echo", "through" }
end
""")

    def test_the_gate_lets_nobody_through_before_it_is_opened(self):
        script = self.gate()
        waiters = self.cluster.start_many(2, script, env={"ROLE": "wait"})
        for waiter in waiters:
            waiter.wait_for(lambda w=waiter: w.stdout == "waiting\n", what="a waiter at the gate")
        opener = self.cluster.start(script, env={"ROLE": "open"})
        self.assertEqual(opener.wait(), 0, opener.describe())
        for waiter in waiters:
            self.assertEqual(waiter.wait(), 0, waiter.describe())
            self.assertEqual(waiter.stdout, "waiting\nthrough\n")

    def test_a_gate_that_is_open_stays_open(self):
        script = self.gate()
        for _ in range(2):
            self.assertEqual(self.cluster.start(script, env={"ROLE": "open"}).wait(), 0)
        self.assertEqual(self.cluster.start(script, env={"ROLE": "wait"}).wait(), 0)


MARK = '''
local k = require "konductor"
local broken = "%s"
local verbs = {
  decide = function(record, me)
    return { act = "take", why = "free", status = { session = me.session, fence = me.next_fence, op = me.op } }
  end,
  held = function(record, me) return record.status.session == me.session and record.status.fence == me.fence end,
  renew = function(record, me) return { session = me.session, fence = me.fence, op = me.op } end,
  release = function(record, me) return { fence = record.status.fence, op = me.op } end,
}
local policy = { kind = "Mark" }
for name, verb in pairs(verbs) do
  policy[name] = function(...)
    if broken == name then error "broken" end
    return verb(...)
  end
end
local one = k.policy(policy)
local function try()
  return pcall(function() one("page"):with({}, function() k.exec { "true" } end) end)
end
print(try())
broken = nil
print(try())
'''


class Broken(ClusterTest):
    def test_a_script_that_catches_an_error_of_its_policy_can_try_again(self):
        for verb in ("decide", "held", "release"):
            with self.subTest(verb):
                done = self.cluster.run("run", self.cluster.script(MARK % verb), "--listen", "off")
                first, second = done.stdout.splitlines()
                self.assertRegex(first, r"^false\t.*broken")
                self.assertEqual(second, "true", done.stderr)


if __name__ == "__main__":
    unittest.main()
