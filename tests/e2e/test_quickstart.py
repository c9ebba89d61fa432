"""The first minute, as a newcomer has it: tools/quickstart on the binary under test.

Of the commands of README.md for a clone this runs the first; what the second makes is what the stage `static` tests, and
the third is what runs this.
"""

import os
import pty
import re
import signal
import subprocess
import tempfile
import unittest
import uuid
from pathlib import Path

from lib import MARK, PATIENCE, ROOT, binary, kill_marked, marked, wait_for


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.mark = uuid.uuid4().hex
        self.addCleanup(kill_marked, self.mark)
        self.temporary = tempfile.TemporaryDirectory(prefix="kon-quickstart-")
        self.addCleanup(self.temporary.cleanup)
        self.env = dict(os.environ, KONDUCTOR_BIN=binary(), TMPDIR=self.temporary.name, **{MARK: self.mark})

    def start(self, **how):
        return subprocess.Popen(
            [ROOT / "tools" / "quickstart"], env=self.env, start_new_session=True, stdin=subprocess.DEVNULL, **how
        )

    def left_over(self):
        return [path.name for path in Path(self.temporary.name).iterdir()]

    def test_shows_the_break_then_the_cure_and_leaves_nothing(self):
        process = self.start(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output, _ = process.communicate(timeout=400 * PATIENCE)
        self.assertEqual(process.returncode, 0, output)
        self.assertRegex(output, r"[1-4] of 5 replicas crashed")
        self.assertRegex(output, r"of 600 prices are wrong")
        cure = output[output.index("4/4  With konductor"):]
        for stage in ("migrate", "seed", "warm-cache"):
            self.assertEqual(len(re.findall(rf"\b{stage}: run once, by replica-\d", cure)), 1, output)
        self.assertIn("the data are right", cure)
        self.assertIn("quickstart: OK", cure)
        self.assertNotIn("\033", output, "no escape sequences into a pipe")
        self.assertEqual(self.left_over(), [])
        self.assertEqual(marked(self.mark), [])

    def test_stopped_in_the_middle_it_takes_everything_with_it(self):
        log = Path(self.temporary.name) / "log"
        with open(log, "wb") as out:
            process = self.start(stdout=out, stderr=subprocess.STDOUT)
        wait_for(lambda: "replica-3  " in log.read_text(), 120, "the replicas", log.read_text)
        os.kill(process.pid, signal.SIGTERM)
        wait_for(lambda: process.poll() is not None, 60, "the end of quickstart", log.read_text)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        wait_for(lambda: not marked(self.mark), what="no process left", describe=lambda: str(marked(self.mark)))
        self.assertEqual(self.left_over(), ["log"])

    def test_on_a_terminal_it_redraws_in_place(self):
        leader, follower = pty.openpty()
        self.env["TERM"] = "xterm"
        process = self.start(stdout=follower, stderr=follower)
        os.close(follower)
        seen = b""
        while b"\033[5A" not in seen:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                chunk = b""
            self.assertTrue(chunk, seen.decode(errors="replace"))
            seen += chunk
        process.terminate()
        os.close(leader)
        wait_for(lambda: process.poll() is not None, 60, "the end of quickstart")


if __name__ == "__main__":
    unittest.main()
