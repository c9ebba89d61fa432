"""The helpers themselves: a test that leaks processes or misses a failure would prove nothing."""

import os
import signal
import unittest
from unittest import mock

import lib
from lib import Cluster, wait_for


class Helpers(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.close)

    def start(self, shell, cluster=None, **how):
        """Runs a shell command in konductor's place."""
        cluster = cluster or self.cluster
        fake = cluster.file("fake", f'#!/bin/sh\necho "$*"\n{shell}\n', 0o755)
        with mock.patch.dict(os.environ, {"KONDUCTOR_BIN": str(fake)}):
            return cluster.start("script.lua", events=False, **how)

    def test_close_kills_what_has_left_the_session(self):
        with Cluster() as other:
            replica = self.start("setsid sh -c 'setsid sleep 1000 & exec sleep 1000' & exec sleep 1000", other)
            wait_for(lambda: len(lib.marked(other.mark)) >= 3, 10, "the family")
            self.assertTrue(replica.running)
        self.assertEqual(lib.marked(other.mark), [])

    def test_the_command_line_and_the_environment_are_as_asked(self):
        replica = self.start('echo "$KONDUCTOR_STORE $KONDUCTOR_HOLDER_ID $EXTRA"', name="a", env={"EXTRA": "x"},
                             options=["--grace", "1s"], command=["true", "y"])
        self.assertEqual(replica.wait(), 0)
        first, second = replica.stdout.splitlines()
        self.assertEqual(first, "run script.lua --grace 1s --listen off -- true y")
        self.assertEqual(second, f"sqlite:{self.cluster.store_path} a x")

    def test_a_replica_that_ends_early_fails_the_wait_with_its_words(self):
        replica = self.start("echo sorry >&2; exit 3")
        with self.assertRaisesRegex(AssertionError, "(?s)ended before.*sorry"):
            replica.wait_stdout("never", timeout=10)
        self.assertEqual(replica.wait(), 3)

    def test_a_deadline_that_passes_says_what_was_awaited(self):
        with self.assertRaisesRegex(AssertionError, "waited .* for the moon"):
            wait_for(lambda: False, 0.01, "the moon")

    def test_a_sanitizer_report_fails_the_test(self):
        other = Cluster()
        self.start("echo '==1==ERROR: AddressSanitizer: heap-use-after-free' >&2", other).wait()
        with self.assertRaisesRegex(AssertionError, "a sanitizer complained"):
            other.close()

    def test_events_are_read_line_by_line(self):
        replica = self.start("exec sleep 1000")
        log = replica.directory / "events"
        log.write_text('{"event":"start","stage":"a"}\n{"event":"start","stage":"b"}\n{"event":"st')
        self.assertEqual(replica.wait_event("start", count=2)["stage"], "b")
        self.assertEqual(len(replica.events("start", stage="a")), 1)
        replica.signal(signal.SIGTERM)
        self.assertEqual(replica.wait(), -signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
