"""`konductor install`: what an initContainer does in an image that has no cp."""

import os
import subprocess
import unittest

from lib import ClusterTest


class Install(ClusterTest):
    def setUp(self):
        super().setUp()
        self.target = self.cluster.directory / "volume"
        self.target.mkdir()

    def test_the_copy_runs(self):
        done = self.cluster.run("install", self.target)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, f"{self.target}/konductor\n")
        copy = subprocess.run([self.target / "konductor", "version"], capture_output=True, text=True,
                              env=self.cluster.env(), timeout=300)
        self.assertEqual(copy.returncode, 0, copy.stderr)
        self.assertEqual(copy.stdout, self.cluster.run("version").stdout)

    def test_a_copy_that_runs_can_be_replaced(self):
        self.cluster.run("install", self.target)
        reading, writing = os.pipe()
        with open(writing, "wb"), open(reading, "rb") as never_ends:
            running = subprocess.Popen([self.target / "konductor", "run", "--listen", "off", "-"], stdin=never_ends,
                                       env=self.cluster.env(), stderr=subprocess.DEVNULL)
            try:
                again = self.cluster.run("install", self.target)
            finally:
                running.kill()
                running.wait()
        self.assertEqual(again.returncode, 0, again.stderr)

    def test_a_missing_directory_is_told(self):
        done = self.cluster.run("install", self.target / "missing")
        self.assertEqual(done.returncode, 78)
        self.assertIn(str(self.target / "missing"), done.stderr)
        self.assertEqual(os.listdir(self.target), [])


if __name__ == "__main__":
    unittest.main()
