"""tools/check-history on the logs of real processes, and on the same logs with one promise broken in each."""

import json
import signal
import subprocess
import unittest

from lib import ROOT, ClusterTest, binary

FLOW = """
    local k = require "konductor"
    k.flow "shop" {
      version = "v1",
      k.stage "init" { run = { "true" } },
      k.stage "seed" { after = "init", run = function(ctx) ctx:exec { "true" } end },
      k.main { "true" },
    }
"""


class History(ClusterTest):
    def check(self, *arguments):
        return subprocess.run(
            [ROOT / "tools" / "check-history", *map(str, arguments)],
            capture_output=True, text=True, env=self.cluster.env({"KONDUCTOR_BIN": binary()}), timeout=300)

    def record(self):
        """Three replicas of a flow, to their end; their events in the order of the clock."""
        replicas = self.cluster.start_many(3, self.cluster.script(FLOW))
        for replica in replicas:
            self.assertEqual(replica.wait(), 0, replica.describe())
        return sorted((e for r in replicas for e in r.events()), key=lambda e: e["t_us"])

    def check_events(self, events, *options):
        lines = "".join(json.dumps(event) + "\n" for event in events)
        return self.check(*options, self.cluster.file("history", lines))

    def test_accepts_the_logs_of_a_flow(self):
        self.record()
        done = self.check(*self.cluster.event_files())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("3 sessions, 2 runs on 2 objects: 0 violations", done.stdout)

    def test_finds_each_promise_that_a_changed_log_breaks(self):
        events = self.record()

        def first(event, **fields):
            return next(e for e in events if e["event"] == event and all(e.get(k) == v for k, v in fields.items()))

        def renumber(changed):
            """Keeps each log complete, so that only the promise in question is broken."""
            seen = {}
            for event in changed:
                seen[event["session"]] = event["seq"] = seen.get(event["session"], 0) + 1
            return changed

        def without(event):
            return renumber([dict(e) for e in events if e is not event])

        def changed(event, **fields):
            return renumber([dict(e, **fields) if e is event else dict(e) for e in events])

        def moved(event, t_us):
            return renumber(sorted((dict(e, t_us=t_us) if e is event else dict(e) for e in events),
                                   key=lambda e: e["t_us"]))

        start = first("start", name="shop.init")
        skip = first("skip", name="shop.init")
        main = first("main", phase="start", session=skip["session"])
        cases = {
            "H2": without(first("stop", name="shop.init")),
            "H1": without(first("claim", name="shop.init")),
            "O1": changed(first("stop", name="shop.init"), code=1),
            "F1": moved(skip, start["t_us"] - 1),
            "F2": moved(main, start["t_us"] - 1),
            "F3": moved(first("stop", name="shop.init"), first("stop", name="shop.seed")["t_us"] + 1),
            "H3": [e for e in events if e is not first("claim", name="shop.seed")],
        }
        for rule, history in cases.items():
            with self.subTest(rule):
                done = self.check_events(history)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stdout, rf"(?m)^{rule}: ")

    def test_a_frozen_konductor_tells_late_that_its_child_ended_in_time(self):
        script = self.cluster.script("""
            local k = require "konductor"
            k.lease "boss" { ttl = "6s", main = { "sleep", "1000" } }
        """)
        frozen = self.cluster.start(script, name="frozen")
        frozen.wait_event("start")
        other = self.cluster.start(script, name="other")
        other.wait_event("join")
        frozen.signal(signal.SIGSTOP)
        started = other.wait_event("start")
        frozen.signal(signal.SIGCONT)
        stopped = frozen.wait_event("stop")
        self.assertGreater(stopped["t_us"], started["t_us"])
        self.assertLess(stopped["ended_us"], started["t_us"])
        for replica in (frozen, other):
            self.assertEqual(replica.stop(), 143, replica.describe())
        done = self.check(*self.cluster.event_files())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_takes_a_torn_last_line_for_the_end_of_its_writer(self):
        log = self.cluster.file("torn", '{"event":"join","t_us":5,"kind":"Lease","name":"x"}\n{"event":"le')
        done = self.check(log)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 events", done.stdout)

    def test_refuses_what_is_no_event_log(self):
        for text in ("hello\n", '{"event":"join"}\n', "[1]\n"):
            with self.subTest(text):
                done = self.check(self.cluster.file("odd", text))
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("line 1 is no event", done.stderr)

    def test_refuses_unknown_options_and_missing_files(self):
        self.assertNotEqual(self.check("--wrong").returncode, 0)
        self.assertNotEqual(self.check(self.cluster.directory / "absent").returncode, 0)
        self.assertEqual(self.check().returncode, 64)


if __name__ == "__main__":
    unittest.main()
