"""Flows on the embedded store: order, waiting, failure, takeover, and what each ends with."""

import signal
import unittest

from lib import ROOT, ClusterTest, is_alive, wait_for


class FlowTest(ClusterTest):
    def flow(self, text, name="shop"):
        return self.cluster.script(f'local k = require "konductor"\nk.flow "{name}" {{\n{text}\n}}\n')

    def path(self, name):
        return self.cluster.directory / name

    def lines(self, name):
        return self.path(name).read_text().splitlines() if self.path(name).exists() else []

    def assert_sound(self):
        """Main after its stages, no two runners, no skip before success: by the events of all replicas."""
        done = self.cluster.run("run", ROOT / "tools" / "check_history.lua", "--listen", "off", "--",
                                *self.cluster.event_files(), env={"LUA_PATH": f"{ROOT}/lua/?.lua"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Order(FlowTest):
    def test_losers_wait_until_the_winner_has_succeeded_and_then_skip(self):
        script = self.flow('''
            k.stage "init" { run = { "sh", "-c", "echo ran >> runs; while ! [ -e go ]; do sleep 0.01; done" } },
            k.main { "sh", "-c", "echo main >> mains" },
        ''')
        replicas = self.cluster.start_many(4, script)
        wait_for(lambda: self.lines("runs"), what="the winner")
        wait_for(lambda: sum("waiting: " in r.stderr for r in replicas) == 3, what="three that wait",
                 describe=self.cluster.describe)
        self.assertEqual(self.lines("mains"), [])
        self.path("go").touch()
        self.assertEqual([r.wait() for r in replicas], [0] * 4)
        self.assertEqual(self.lines("runs"), ["ran"])
        self.assertEqual(self.lines("mains"), ["main"] * 4)
        self.assertEqual(len(self.cluster.events("skip", name="shop.init")), 3)
        self.assert_sound()

    def test_independent_stages_are_worked_on_by_different_replicas_at_once(self):
        meet = "touch {0}; while ! [ -e {1} ]; do sleep 0.01; done"
        script = self.flow(f'''
            k.stage "left" {{ run = {{ "sh", "-c", "{meet.format("left", "right")}" }} }},
            k.stage "right" {{ run = {{ "sh", "-c", "{meet.format("right", "left")}" }} }},
            k.stage "both" {{ after = {{ "left", "right" }}, run = {{ "touch", "both" }} }},
        ''')
        a, b = self.cluster.start_many(2, script)
        self.assertEqual([a.wait(), b.wait()], [0, 0])
        who = {event["stage"]: event["replica"] for event in self.cluster.events("start")}
        self.assertNotEqual(who["left"], who["right"])
        self.assert_sound()

    def test_a_restart_resumes_at_the_first_stage_that_is_not_done(self):
        script = self.flow('''
            k.stage "one" { run = { "sh", "-c", "echo one >> runs" } },
            k.stage "two" { after = "one", retries = 0, run = { "sh", "-c", "echo two >> runs; test -e mended" } },
        ''')
        self.assertEqual(self.cluster.start(script).wait(), 1)
        self.path("mended").touch()
        self.forget("shop.two")
        self.assertEqual(self.cluster.start(script).wait(), 0)
        self.assertEqual(self.lines("runs"), ["one", "two", "two"])

    def forget(self, name):
        script = self.cluster.script(f'local k = require "konductor"\nk.store.delete(k.store.get("Once", "{name}"))\n')
        self.assertEqual(self.cluster.run("run", script, "--listen", "off").returncode, 0)

    def test_options_of_the_flow_are_defaults_for_its_stages(self):
        script = self.flow('''
            version = "v7", env = { GREETING = "hello", WHO = "flow" }, retries = 0,
            k.stage "a" { run = { "sh", "-c", "echo $GREETING $WHO > a" } },
            k.stage "b" { run = { "sh", "-c", "echo $GREETING $WHO > b; exit 1" }, env = { WHO = "stage" } },
        ''')
        self.assertEqual(self.cluster.start(script).wait(), 1)
        self.assertEqual(self.lines("a") + self.lines("b"), ["hello flow", "hello stage"])
        self.assertEqual({event["version"] for event in self.cluster.events("claim")}, {"v7"})

    def test_a_record_is_kept_for_its_ttl(self):
        script = self.flow('k.stage "warm" { ttl = "1s", run = { "sh", "-c", "echo ran >> runs" } }')
        run = lambda: self.assertEqual(self.cluster.run("run", script, "--listen", "off").returncode, 0)
        run()
        run()
        self.assertEqual(len(self.lines("runs")), 1)
        wait_for(lambda: run() or len(self.lines("runs")) == 2, what="the second run")

    def test_a_ttl_that_its_object_does_not_have_is_told_once(self):
        stage = 'k.stage "warm" { version = "%s", run = { "true" }, %s }'
        says = lambda version, ttl="": self.cluster.run("run", self.flow(stage % (version, ttl)), "--listen", "off").stderr
        told = "shop.warm: its record was made before and is kept for ever, not for 24h"
        self.assertNotIn("its record", says("1"))
        for version in ("1", "2"):  # one that is done already, and one that is to be done
            with self.subTest(version):
                self.assertEqual(says(version, 'ttl = "24h"').count(told), 1)
        self.assertNotIn("its record", says("2"))
        self.forget("shop.warm")
        self.assertNotIn("its record", says("2", 'ttl = "24h"'))
        self.assertNotIn("its record", says("2", 'ttl = "1440m"'))


class Failure(FlowTest):
    def test_one_that_failed_for_good_names_stage_attempts_error_and_the_way_out(self):
        script = self.flow('''
            k.stage "init" { run = { "sh", "-c", "echo try >> runs; exit 4" }, retries = 2, backoff = "1ms" },
            k.stage "other" { run = { "touch", "other" } },
            k.stage "after" { after = "init", run = { "touch", "after" } },
            k.main { "touch", "main" },
        ''')
        replica = self.cluster.start(script)
        self.assertEqual(replica.wait(), 1)
        self.assertEqual(self.lines("runs"), ["try"] * 3)
        for words in ('stage "init" failed for good after 3 attempts', "exit code 4", "koncli once reset shop.init",
                      '"after" (waits for "init")'):
            self.assertIn(words, replica.stderr)
        self.assertTrue(self.path("other").exists())
        self.assertFalse(self.path("after").exists() or self.path("main").exists())

    def test_the_next_replica_tries_after_a_failure(self):
        script = self.flow('''
            k.stage "init" { run = { "sh", "-c", "echo $KONDUCTOR_HOLDER >> runs; [ $(wc -l < runs) -ge 2 ]" },
                             backoff = "1ms" },
        ''')
        self.assertEqual([r.wait() for r in self.cluster.start_many(2, script)], [0, 0])
        self.assertEqual(len(self.lines("runs")), 2)
        self.assert_sound()

    def test_a_new_version_is_tried_although_the_old_one_failed_for_good(self):
        script = self.flow('''
            version = k.env "TAG",
            k.stage "init" { run = { "sh", "-c", "test $TAG = v2" }, retries = 0 },
        ''')
        codes = [self.cluster.run("run", script, "--listen", "off", env={"TAG": tag}).returncode
                 for tag in ("v1", "v1", "v2", "v1")]
        self.assertEqual(codes, [1, 1, 0, 1])

    def test_a_function_that_raises_fails_its_stage_with_its_words(self):
        script = self.flow('k.stage "init" { run = function() error("the moon is full") end, retries = 0 }')
        replica = self.cluster.start(script)
        self.assertEqual(replica.wait(), 1)
        self.assertIn("script1.lua:3: the moon is full", replica.stderr)

    def test_a_command_in_a_function_that_fails_fails_the_stage(self):
        script = self.flow('''k.stage "init" { retries = 0, run = function(ctx)
            ctx:exec { "sh", "-c", "exit 9" }
            k.exec { "touch", "beyond" }
        end }''')
        replica = self.cluster.start(script)
        self.assertEqual(replica.wait(), 1)
        self.assertIn("sh exited with 9", replica.stderr)
        self.assertFalse(self.path("beyond").exists())

    def test_a_run_that_takes_too_long_is_ended_with_all_its_descendants(self):
        script = self.flow('''
            k.stage "init" { timeout = "300ms", grace = "100ms", retries = 0,
              run = { "sh", "-c", "trap '' TERM; setsid sleep 1000 & echo $! > pid; while :; do sleep 0.05; done" } },
        ''')
        replica = self.cluster.start(script)
        self.assertEqual(replica.wait(), 1)
        self.assertEqual(replica.events("stop")[0]["code"], 124)
        pid, = self.lines("pid")
        wait_for(lambda: not is_alive(pid), what="the end of the descendant")

    def test_at_most_once_work_whose_executor_died_is_in_doubt_and_exits_77(self):
        script = self.flow('''
            k.stage "charge" { mode = "AtMostOnce", run = { "sh", "-c", "echo ran >> runs; sleep 1000" } },
        ''')
        a = self.cluster.start(script)
        wait_for(lambda: self.lines("runs"), what="the start")
        a.kill()
        b = self.cluster.start(script)
        self.assertEqual(b.wait(), 77)
        self.assertIn("koncli once resolve shop.charge", b.stderr)
        self.assertEqual(self.lines("runs"), ["ran"])


class Ends(FlowTest):
    STAGE = 'k.stage "init" { hold = "30m", run = { "sh", "-c", "echo $KONDUCTOR_HOLDER >> runs; exec sleep 1000" } },'

    def test_a_killed_winner_is_replaced_at_once(self):
        script = self.flow('''
            k.stage "init" { hold = "30m",
              run = { "sh", "-c", "echo x >> runs; if [ $(wc -l < runs) = 1 ]; then sleep 1000; fi" } },
            k.main { "true" },
        ''')
        a = self.cluster.start(script)
        wait_for(lambda: self.lines("runs"), what="the first run")
        b = self.cluster.start(script)
        b.wait_stderr("waiting: ")
        a.kill()
        self.assertEqual(b.wait(), 0)  # long before the hold has run out
        self.assertTrue(b.events("claim")[0]["takeover"])

    def test_a_term_while_waiting_leaves_at_once_with_143(self):
        script = self.flow(self.STAGE)
        a = self.cluster.start(script)
        wait_for(lambda: self.lines("runs"), what="the run")
        b = self.cluster.start(script)
        b.wait_stderr("waiting: ")
        self.assertEqual(b.stop(), 143)
        self.assertTrue(a.running)

    def test_a_term_while_a_stage_runs_gives_the_claim_back_uncounted(self):
        script = self.flow(self.STAGE)
        a = self.cluster.start(script, name="a")
        wait_for(lambda: self.lines("runs"), what="the run")
        b = self.cluster.start(script, name="b")
        b.wait_stderr("waiting: ")
        self.assertEqual(a.stop(), 143)
        b.wait_event("start")
        self.assertEqual(b.events("claim")[0]["attempt"], 1)
        wait_for(lambda: self.lines("runs") == ["a", "b"], what="the second run")
        self.assertEqual(b.stop(), 143)

    def test_a_second_term_kills_the_stage(self):
        script = self.flow('''
            k.stage "init" { run = { "sh", "-c", "trap 'echo asked >> runs' TERM; echo up >> runs; while :; do sleep 0.05; done" } },
        ''')
        a = self.cluster.start(script, options=["--grace", "1000s"])
        wait_for(lambda: self.lines("runs"), what="the run")
        a.signal(signal.SIGTERM)
        wait_for(lambda: "asked" in self.lines("runs"), what="the TERM")
        a.signal(signal.SIGTERM)
        self.assertEqual(a.wait(), 143)

    def test_a_flow_without_main_exits_0_when_its_stages_are_done(self):
        self.assertEqual(self.cluster.start(self.flow('k.stage "a" { run = { "true" } }')).wait(), 0)

    def test_flows_and_onces_come_in_order_and_a_lease_leads_after_them(self):
        script = self.cluster.script('''
            local k = require "konductor"
            local function say(word) return { "sh", "-c", "echo " .. word .. " >> runs" } end
            k.lease "boss" { main = say "leader" }
            k.flow "first" { k.stage "a" { run = say "first" } }
            k.once "second" { run = say "second" }
            k.flow "third" { k.stage "a" { run = say "third" } }
        ''')
        self.assertEqual([r.wait() for r in self.cluster.start_many(2, script)], [0, 0])
        self.assertEqual(self.lines("runs"), ["first", "second", "third", "leader", "leader"])
        self.assert_sound()

    def test_the_command_behind_the_dashes_is_its_main(self):
        script = self.flow('k.stage "a" { run = { "true" } }')
        replica = self.cluster.start(script, command=["sh", "-c", "exit 12"])
        self.assertEqual(replica.wait(), 12)


if __name__ == "__main__":
    unittest.main()
