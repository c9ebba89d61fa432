"""The two scripts of the contract, as printed, and what `konductor run` does with a program."""

import signal
import unittest

from lib import ClusterTest, is_alive, wait_for

FLOW = '''
local k = require "konductor"
local tag = k.env("IMAGE_TAG", "dev")

k.flow "shop" {
  k.stage "stage-1-init" { run = { "flyway", "migrate" }, version = tag, timeout = "10m", retries = 3 },
  k.stage "stage-2-init" { after = "stage-1-init", version = tag, run = function(ctx) ctx:exec { "seed" } end },
  k.stage "stage-3-init" { after = "stage-1-init", version = tag, ttl = "24h", run = { "warm-cache" } },
  k.main { "gunicorn", "shop.wsgi" },
}
'''

LEASE = '''
k.lease "shop-leader" { ttl = "15s", priority = 10, main = { "worker" } }       -- leader runs it, the others stand by
k.lease("db"):with({ wait = true, timeout = "5m" }, function(hold)                  -- a hold around a function; released when it returns or raises
  k.exec { "backup", "--fence", hold.token }
end)
'''


class PrintedScripts(ClusterTest):
    def programs(self, *names, body=""):
        """Programs that tell in one file how they were called; returns the environment that finds them."""
        for name in names:
            self.cluster.file(
                f"bin/{name}",
                f'#!/bin/sh\necho "{name} $*|$KONDUCTOR_HOLDER|$KONDUCTOR_STAGE|$KONDUCTOR_LEASE|$KONDUCTOR_TOKEN"'
                f' >> {self.cluster.directory}/calls\n{body}\n', 0o755)
        return {"PATH": f"{self.cluster.directory}/bin:/usr/bin:/bin"}

    def calls(self):
        path = self.cluster.directory / "calls"
        return [line.split("|") for line in path.read_text().splitlines()] if path.exists() else []

    def test_the_flow_runs_each_stage_once_and_main_everywhere(self):
        env = self.programs("flyway", "seed", "warm-cache", "gunicorn")
        script = self.cluster.script(FLOW)
        replicas = self.cluster.start_many(3, script, env=env)
        self.assertEqual([r.wait() for r in replicas], [0, 0, 0])
        calls = self.calls()
        names = [call[0] for call in calls]
        self.assertEqual(names[0], "flyway migrate")
        self.assertEqual(sorted(names), sorted(["flyway migrate", "seed ", "warm-cache "] + ["gunicorn shop.wsgi"] * 3))
        stage_of = {call[0]: call[2] for call in calls}
        self.assertEqual(stage_of["seed "], "stage-2-init")
        self.assertEqual(stage_of["warm-cache "], "stage-3-init")
        tokens = [int(call[4]) for call in calls if call[4]]
        self.assertEqual(len(set(tokens)), 3)
        mains = [call for call in calls if call[0].startswith("gunicorn")]
        self.assertEqual({call[1] for call in mains}, {replica.name for replica in replicas})
        self.assertEqual([call[2:] for call in mains], [["", "", ""]] * 3)

    def test_the_next_version_runs_again_and_the_same_one_does_not(self):
        env = self.programs("flyway", "seed", "warm-cache", "gunicorn")
        script = self.cluster.script(FLOW)
        for tag, stages in (("v1", 3), ("v1", 3), ("v2", 6), ("v1", 6)):
            done = self.cluster.run("run", script, "--listen", "off", env={**env, "IMAGE_TAG": tag})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len([call for call in self.calls() if not call[0].startswith("gunicorn")]), stages)

    def test_the_lease_script_backs_up_under_one_hold_and_works_under_another(self):
        env = self.programs("worker", "backup")
        replica = self.cluster.start(self.cluster.script(LEASE), env=env, name="pod-1")
        self.assertEqual(replica.wait(), 0)
        backup, worker = self.calls()
        self.assertEqual(backup[0], f"backup --fence {backup[4]}")
        self.assertEqual(backup[1:4], ["pod-1", "", "db"])
        self.assertEqual(worker[:4], ["worker ", "pod-1", "", "shop-leader"])
        self.assertGreater(int(worker[4]), int(backup[4]))
        row, = self.cluster.store_rows("SELECT spec FROM records WHERE kind = 'Lease' AND name = 'shop-leader'")
        self.assertIn('"priority":10', row["spec"].replace(" ", ""))

    def test_one_leads_and_the_next_takes_over_when_it_is_stopped(self):
        env = self.programs("backup")
        self.cluster.file("bin/worker", "#!/bin/sh\nexec sleep 1000\n", 0o755)
        # Longer than any test waits: the next one is told, it does not wait for the end of a time.
        script = self.cluster.script(LEASE.replace("15s", "30m"))
        a = self.cluster.start(script, env=env, name="a")
        a.wait_event("start", name="shop-leader")
        b = self.cluster.start(script, env=env, name="b")
        b.wait_event("join", name="shop-leader")
        self.assertEqual(b.events("start", name="shop-leader"), [])
        self.assertEqual(a.stop(), 143)
        b.wait_event("accept", name="shop-leader")
        b.wait_event("start", name="shop-leader")
        first = a.events("claim", name="shop-leader")[0]["fence"]
        self.assertGreater(b.events("accept", name="shop-leader")[0]["fence"], first)
        self.assertEqual(b.stop(), 143)


class MainCommand(ClusterTest):
    SCRIPT = 'local k = require "konductor"\nk.flow "t" { k.main() }\n'

    def code_of(self, *command, **how):
        return self.cluster.start("-", stdin=self.SCRIPT.encode(), command=command, **how).wait()

    def test_its_exit_code_is_ours(self):
        for code in (0, 1, 77, 255):
            self.assertEqual(self.code_of("sh", "-c", f"exit {code}"), code)

    def test_a_signal_that_kills_it_is_128_and_its_number(self):
        self.assertEqual(self.code_of("sh", "-c", "kill -USR1 $$"), 128 + signal.SIGUSR1)

    def test_a_command_that_is_missing_is_127_and_one_that_cannot_run_126(self):
        self.assertEqual(self.code_of("no-such-command"), 127)
        self.assertEqual(self.code_of(self.cluster.file("plain", "text")), 126)

    def test_it_runs_where_no_store_can_be_found(self):
        self.assertEqual(self.code_of("true", env={"KONDUCTOR_STORE": None, "HOME": None, "XDG_STATE_HOME": None}), 0)

    def test_a_term_becomes_its_term_and_its_answer_our_exit_code(self):
        ready = "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
        replica = self.cluster.start("-", stdin=self.SCRIPT.encode(), command=["sh", "-c", ready])
        replica.wait_stdout("ready")
        self.assertEqual(replica.stop(), 9)
        self.assertIn("asked", replica.stdout)

    def test_an_interrupt_reaches_it_as_one(self):
        ready = "trap 'exit 7' INT; trap 'exit 8' TERM; echo ready; while :; do sleep 0.05; done"
        replica = self.cluster.start("-", stdin=self.SCRIPT.encode(), command=["sh", "-c", ready])
        replica.wait_stdout("ready")
        replica.signal(signal.SIGINT)
        self.assertEqual(replica.wait(), 7)

    def test_other_signals_are_forwarded(self):
        ready = "trap 'echo got; exit 6' HUP; echo ready; while :; do sleep 0.05; done"
        replica = self.cluster.start("-", stdin=self.SCRIPT.encode(), command=["sh", "-c", ready])
        replica.wait_stdout("ready")
        replica.signal(signal.SIGHUP)
        self.assertEqual(replica.wait(), 6)

    def test_what_ignores_a_term_is_killed_after_the_grace(self):
        replica = self.cluster.start("-", stdin=self.SCRIPT.encode(), options=["--grace", "200ms"],
                                     command=["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
        replica.wait_stdout("ready")
        self.assertEqual(replica.stop(), 137)

    def test_a_second_term_kills_at_once(self):
        replica = self.cluster.start("-", stdin=self.SCRIPT.encode(), options=["--grace", "1000s"],
                                     command=["sh", "-c", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"])
        replica.wait_stdout("ready")
        replica.signal(signal.SIGTERM)
        replica.wait_stdout("asked")
        replica.signal(signal.SIGTERM)
        self.assertEqual(replica.wait(), 137)

    def test_what_it_leaves_behind_is_ended_before_we_go(self):
        leave = "setsid sh -c 'echo $$ > left; exec sleep 1000' & while ! [ -s left ]; do sleep 0.01; done; exit 5"
        self.assertEqual(self.code_of("sh", "-c", leave), 5)
        pid = (self.cluster.directory / "left").read_text().strip()
        wait_for(lambda: not is_alive(pid), what="the end of the descendant")


if __name__ == "__main__":
    unittest.main()
