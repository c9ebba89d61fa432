"""The embedded store as whole processes see it: namespaces, reboots, cleaned directories, and files that are not fine."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import unittest
from pathlib import Path

from lib import ClusterTest, binary, wait_for

# Longer than any test waits: whoever takes over in time was told by the kernel, not by the clock.
LONG_LEASE = """
    local k = require "konductor"
    k.lease "boss" { ttl = "30m", main = { "sleep", "1000" } }
"""
SHORT_LEASE = LONG_LEASE.replace("30m", "9s")
ONCE = """
    local k = require "konductor"
    k.flow "f" { k.stage "a" { run = { "true" }, version = "1" } }
"""


def can_unshare():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--pid", "--net", "--fork", "true"], check=False,
                                                stderr=subprocess.DEVNULL).returncode == 0


CONTAINER = ["unshare", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]


class Liveness(ClusterTest):
    def live(self):
        return sorted(os.listdir(f"{self.cluster.store_path}.d/live"))

    def hold_and_wait(self, script, holder_wrapper=(), waiter_wrapper=()):
        holder = self.cluster.start(script, name="holder", wrapper=holder_wrapper)
        holder.wait_event("start")
        waiter = self.cluster.start(script, name="waiter", wrapper=waiter_wrapper)
        waiter.wait_event("join")
        return holder, waiter

    def test_a_killed_holder_is_replaced_at_once(self):
        holder, waiter = self.hold_and_wait(self.cluster.script(LONG_LEASE))
        holder.kill()
        waiter.wait_event("start")

    @unittest.skipUnless(can_unshare(), "needs the right to make namespaces")
    def test_a_holder_in_another_container_is_replaced_at_once(self):
        holder, waiter = self.hold_and_wait(self.cluster.script(LONG_LEASE), holder_wrapper=CONTAINER)
        holder.kill()
        waiter.wait_event("start")

    @unittest.skipUnless(can_unshare(), "needs the right to make namespaces")
    def test_a_waiter_in_another_container_is_woken_and_told(self):
        holder, waiter = self.hold_and_wait(self.cluster.script(LONG_LEASE), waiter_wrapper=CONTAINER)
        self.assertEqual(holder.stop(), 143)
        waiter.wait_event("start")
        third = self.cluster.start(self.cluster.script(LONG_LEASE), name="third")
        third.wait_event("join")
        waiter.kill()
        third.wait_event("start")

    def test_a_holder_from_before_a_reboot_is_replaced_at_once(self):
        script = self.cluster.script(LONG_LEASE)
        holder = self.cluster.start(script, name="holder")
        holder.wait_event("start")
        holder.kill()
        db = sqlite3.connect(self.cluster.store_path)
        with db:
            db.execute("UPDATE records SET touched_boot_id = 'another', touched_boot_ms = 1")
        db.close()
        self.cluster.start(script, name="next").wait_event("start")

    def test_a_stopped_konductor_counts_as_alive(self):
        holder, waiter = self.hold_and_wait(self.cluster.script(LONG_LEASE))
        holder.signal(signal.SIGSTOP)
        third = self.cluster.start(self.cluster.script(LONG_LEASE), name="third")
        third.wait_event("join")
        self.assertEqual(waiter.events("start"), [])
        holder.signal(signal.SIGCONT)
        self.assertEqual(holder.stop(), 143)
        waiter.wait_event("start")

    def test_cleaning_the_directory_beside_the_store_kills_nobody(self):
        holder, waiter = self.hold_and_wait(self.cluster.script(SHORT_LEASE))
        shutil.rmtree(f"{self.cluster.store_path}.d")
        renewed = len(holder.events("renew"))
        holder.wait_event("renew", count=renewed + 3)
        self.assertEqual(holder.events("lost"), [])
        self.assertEqual(waiter.events("start"), [])
        holder.kill()
        waiter.wait_event("start")

    def test_each_living_process_has_one_name_and_the_old_ones_are_swept(self):
        script = self.cluster.script(LONG_LEASE)
        holder = self.cluster.start(script, name="holder")
        session = holder.wait_event("start")["session"]
        self.assertEqual(self.live(), [session])
        holder.kill()
        self.assertEqual(self.live(), [session])
        os.utime(f"{self.cluster.store_path}.d/live/{session}", (1e9, 1e9))
        # Nothing names that session any more once its record is gone.
        db = sqlite3.connect(self.cluster.store_path)
        with db:
            db.execute("DELETE FROM records")
        db.close()
        second = self.cluster.start(script, name="second")
        self.assertEqual(self.live_after(second), [second.wait_event("start")["session"]])

    def live_after(self, replica):
        replica.wait_event("start")
        return self.live()


class Bells(ClusterTest):
    """What a waiter is told by its pipe, where the tellers overtake each other or the file is another one."""

    def setUp(self):
        super().setUp()
        self.koncli = self.cluster.directory / "koncli"
        self.koncli.symlink_to(binary())

    def once(self, *words):
        done = subprocess.run([self.koncli, "once", *words], env=self.cluster.env(), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def waiter(self):
        waiter = self.cluster.start("@wait-for", name="waiter", env={"ONCE": "x", "TIMEOUT": "10m"}, events=False)
        waiter.wait_for(lambda: "has not been executed" in waiter.stderr, what="its wait")
        return waiter

    def test_a_ring_that_comes_late_does_not_hide_what_was_told_before_it(self):
        self.once("create", "x")
        waiter = self.waiter()
        own, = Path(f"{self.cluster.store_path}.d/bell").glob("*/*")
        os.mkfifo(own.with_name("tap-0"))
        tap = os.open(own.with_name("tap-0"), os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, tap)
        waiter.signal(signal.SIGSTOP)
        self.once("claim", "x", "--holder", "a")
        overtaken = os.read(tap, 65536)
        self.once("done", "x", "--holder", "a")
        with open(own, "wb", buffering=0) as pipe:
            pipe.write(overtaken)
        waiter.signal(signal.SIGCONT)
        self.assertEqual(waiter.wait(60), 0, waiter.stderr)

    def test_a_store_that_was_put_back_in_time_is_noticed_by_who_waits(self):
        self.once("create", "x")
        old = self.cluster.directory / "old.db"
        with contextlib.closing(sqlite3.connect(self.cluster.store_path)) as db, contextlib.closing(sqlite3.connect(old)) as copy:
            db.backup(copy)
        self.once("claim", "x", "--holder", "a")
        self.once("done", "x", "--holder", "a")
        self.once("reset", "x")
        waiter = self.waiter()
        with contextlib.closing(sqlite3.connect(old)) as copy, contextlib.closing(sqlite3.connect(self.cluster.store_path)) as db:
            copy.backup(db)
        self.once("claim", "x", "--holder", "a")
        self.assertEqual(waiter.wait(60), 79, waiter.stderr)


class Files(ClusterTest):
    def refused(self, code, *words, store=None, **how):
        done = self.cluster.run("run", self.cluster.script(ONCE), "--listen", "off",
                                *(["--store", f"sqlite:{store}"] if store else []), **how)
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        return done

    def test_a_text_file_is_refused_and_left(self):
        path = self.cluster.file("notes.txt", "not a database, but a text of some length\n" * 50)
        before = path.read_bytes()
        self.refused(78, "notes.txt", "no database", store=path)
        self.assertEqual(path.read_bytes(), before)

    def test_the_database_of_another_program_is_refused_and_left(self):
        path = self.cluster.directory / "other.db"
        db = sqlite3.connect(path)
        with db:
            db.execute("CREATE TABLE bookmarks (url)")
        db.close()
        before = path.read_bytes()
        self.refused(78, "other.db", "another program", store=path)
        self.assertEqual(path.read_bytes(), before)

    def test_a_newer_format_is_refused_with_words(self):
        self.assertEqual(self.cluster.run("run", self.cluster.script(ONCE), "--listen", "off").returncode, 0)
        db = sqlite3.connect(self.cluster.store_path)
        db.execute("PRAGMA user_version = 99")
        db.close()
        self.refused(78, "format 99", "newer konductor")

    def test_a_directory_in_place_of_the_file_is_refused(self):
        path = self.cluster.directory / "dir.db"
        path.mkdir()
        self.refused(74, "dir.db", store=path)

    def test_a_file_in_place_of_a_directory_is_refused(self):
        self.cluster.file("plain", "x")
        self.refused(78, "plain", store=self.cluster.directory / "plain" / "state.db")

    def test_a_file_system_that_is_not_known_to_work_is_refused(self):
        self.refused(78, "/proc", "needs a local one", store="/proc/state.db")

    @unittest.skipUnless(os.geteuid() == 0, "needs a user without rights")
    def test_a_directory_without_the_right_to_write_is_refused(self):
        closed = self.cluster.directory / "closed"
        closed.mkdir(mode=0o755)
        os.chmod(self.cluster.directory, 0o755)
        # Everything up to the binary must be reachable for that user.
        program = self.cluster.directory / "konductor"
        shutil.copy(binary(), program)
        done = subprocess.run([program, "run", self.cluster.script(ONCE), "--listen", "off", "--store",
                               f"sqlite:{closed}/state.db"], env=self.cluster.env(), user=65534, group=65534,
                              extra_groups=[], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("closed/state.db", done.stderr)
        self.assertEqual(os.listdir(closed), [])

    def test_missing_directories_are_made_for_the_owner_alone(self):
        path = self.cluster.directory / "a" / "b" / "state.db"
        done = self.cluster.run("run", self.cluster.script(ONCE), "--listen", "off", "--store", f"sqlite:{path}")
        self.assertEqual(done.returncode, 0, done.stderr)
        for made in (path.parent, path.parent.parent, Path(f"{path}.d")):
            self.assertEqual(made.stat().st_mode & 0o777, 0o700, made)

    def test_a_lock_of_another_program_delays_and_loses_nothing(self):
        self.assertEqual(self.cluster.run("run", self.cluster.script(ONCE), "--listen", "off").returncode, 0)
        db = sqlite3.connect(self.cluster.store_path, isolation_level=None)
        db.execute("BEGIN EXCLUSIVE")
        script = self.cluster.script(ONCE.replace('"1"', '"2"'))
        replica = self.cluster.start(script)
        # Long enough for several tries, each of a quarter of a second.
        wait_for(lambda: replica.stderr.count("locked") >= 1 or not replica.running, what="a word about the lock")
        self.assertTrue(replica.running, replica.stderr)
        db.execute("ROLLBACK")
        db.close()
        self.assertEqual(replica.wait(), 0)
        self.assertEqual(len(replica.events("complete")), 1)


if __name__ == "__main__":
    unittest.main()
