"""Records that a hand or another program has spoilt: refused with a sentence, by those who come and by those who wait."""

import json
import sqlite3
import unittest

from lib import ClusterTest, wait_for

LEASE = """
    local k = require "konductor"
    k.lease "boss" { ttl = "3s", main = { "sleep", "1000" } }
"""
FLOW = """
    local k = require "konductor"
    k.flow "f" { k.stage "s" { run = { "touch", "ran" }, version = "1" } }
"""
NO_OBJECTS = ("null", "5", '"x"', "true", "[]", "[1,2]", " [1]", "{", "")


class Spoilt(ClusterTest):
    def edit(self, column, text):
        db = sqlite3.connect(self.cluster.store_path, timeout=10)
        with db:
            db.execute("UPDATE meta SET value = value + 1 WHERE key = 'rev'")
            db.execute(f"UPDATE records SET {column} = ?, rev = (SELECT value FROM meta WHERE key = 'rev')", (text,))
        db.close()

    def queue(self, text):
        """Puts a queue into the status as it is, whatever the text; how often the hold was renewed before."""
        db = sqlite3.connect(self.cluster.store_path, timeout=10, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        status = json.loads(db.execute("SELECT status FROM records").fetchone()[0])
        status.pop("waiters", None)
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'rev'")
        db.execute("UPDATE records SET status = ?, rev = (SELECT value FROM meta WHERE key = 'rev')",
                   (json.dumps(status)[:-1] + f', "waiters": {text}}}',))
        db.execute("COMMIT")
        db.close()
        return status["renewals"]

    def test_a_queue_that_cannot_be_written_as_it_is_does_not_end_the_holder(self):
        holder = self.cluster.start(self.cluster.script(LEASE))
        holder.wait_event("start")
        status = lambda: json.loads(self.cluster.store_rows()[0]["status"])
        for text in ('[null, {"id": "b", "session": "s", "prio": 0}]', "[5, null, 7]", "[1e999]", "1e999", '[null, null, "x"]'):
            with self.subTest(text):
                renewals = self.queue(text)
                wait_for(lambda: status()["renewals"] > renewals or not holder.running, what="a renewal", describe=holder.describe)
                self.assertEqual(len(holder.events("start")), 1, holder.stderr)
                self.assertEqual(holder.events("lost"), [], holder.stderr)
                self.assertEqual([w["id"] for w in status().get("waiters", [])], ["b"] if "b" in text else [])

    def test_what_others_keep_in_a_status_is_written_back_as_it_was(self):
        holder = self.cluster.start(self.cluster.script(LEASE))
        holder.wait_event("start")
        theirs = {"list": [None, 1, [None], {"a": [None, "x"]}], "text": "\u00e9\u4e16"}
        before = json.loads(self.cluster.store_rows()[0]["status"])
        self.edit("status", json.dumps({**before, "theirs": theirs}))
        status = lambda: json.loads(self.cluster.store_rows()[0]["status"])
        wait_for(lambda: status()["renewals"] > before["renewals"] or not holder.running, what="a renewal",
                 describe=holder.describe)
        self.assertEqual(status()["theirs"], theirs)
        self.assertEqual(holder.events("lost"), [], holder.stderr)

    def refused(self, script, *expected):
        done = self.cluster.run("run", script, "--listen", "off")
        self.assertEqual(done.returncode, 78, done.stderr)
        for words in expected:
            self.assertIn(words, done.stderr)
        self.assertNotIn("traceback", done.stderr)

    def test_a_record_that_is_no_object(self):
        lease = self.cluster.script(LEASE)
        first = self.cluster.start(lease)
        first.wait_event("start")
        first.stop()
        for column in ("status", "spec"):
            for text in NO_OBJECTS:
                with self.subTest(column=column, text=text):
                    self.edit(column, text)
                    self.refused(lease, f"the {column} of Lease boss is damaged")
            self.edit(column, "{}")

    def test_a_list_is_not_written(self):
        script = self.cluster.script("""
            local k = require "konductor"
            local _, made = k.store.create("Widget", "w", { 1, 2 })
            local record = k.store.create("Widget", "w", {})
            local _, changed = k.store.replace(record, { "a" })
            print(made, changed, k.json.encode(k.store.get("Widget", "w").status))
        """)
        done = self.cluster.run("run", script, "--listen", "off")
        self.assertEqual(done.stdout, "usage\tusage\t{}\n", done.stderr)

    def test_a_list_shows_what_is_spoilt_beside_the_others_and_as_neither_free_nor_done(self):
        made = self.cluster.script("""
            local k = require "konductor"
            for _, name in ipairs { "a", "b", "c" } do k.store.create("Widget", name, {}) end
        """)
        listed = self.cluster.script("""
            local k = require "konductor"
            for _, r in ipairs(k.store.list "Widget") do print(r.name, r.spec ~= nil, r.status ~= nil, r.damage) end
        """)
        self.assertEqual(self.cluster.run("run", made, "--listen", "off").returncode, 0)
        self.edit("status", "{}")
        db = sqlite3.connect(self.cluster.store_path, timeout=10)
        with db:
            db.execute("UPDATE records SET status = '[' WHERE name = 'b'")
        db.close()
        done = self.cluster.run("run", listed, "--listen", "off")
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        self.assertEqual([line[:3] for line in lines],
                         [["a", "true", "true"], ["b", "false", "false"], ["c", "true", "true"]], done.stderr)
        self.assertIn("the status of Widget b is damaged", lines[1][3])

    def test_a_flow_meets_a_record_that_is_no_object(self):
        flow = self.cluster.script(FLOW)
        self.assertEqual(self.cluster.start(flow).wait(), 0)
        (self.cluster.directory / "ran").unlink()
        for text in NO_OBJECTS:
            with self.subTest(text=text):
                self.edit("status", text)
                self.refused(flow, "the status of Once f.s is damaged")
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_one_who_waits_ends_and_the_holder_lets_go_in_time(self):
        lease = self.cluster.script(LEASE)
        holder = self.cluster.start(lease, name="holder")
        holder.wait_event("start")
        waiter = self.cluster.start(lease, name="waiter")
        waiter.wait_event("join")
        self.edit("status", '{"holder":"holder","conditions":5}')
        self.assertEqual(waiter.wait(), 78)
        holder.wait_event("lost")
        self.assertEqual(holder.wait(), 78)
        self.assertIn("status.conditions is 5", holder.stderr)


class Restored(ClusterTest):
    def test_nobody_goes_on_with_a_store_that_went_back_in_time(self):
        flow, lease = self.cluster.script(FLOW), self.cluster.script(LEASE)
        self.assertEqual(self.cluster.start(flow).wait(), 0)
        db = sqlite3.connect(self.cluster.store_path)
        old = sqlite3.connect(self.cluster.directory / "old.db")
        db.backup(old)  # before the lease was there
        holder = self.cluster.start(lease, name="holder")
        holder.wait_event("start")
        waiter = self.cluster.start(lease, name="waiter")
        waiter.wait_event("join")
        old.backup(db)
        db.close()
        old.close()
        self.assertEqual([holder.wait(), waiter.wait()], [79, 79])
        self.assertIn("revision", holder.stderr)
        self.assertEqual(len(holder.events("start")), 1)


if __name__ == "__main__":
    unittest.main()
