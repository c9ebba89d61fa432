"""What the static binary may take: bytes on the disk, memory while it waits, instructions to start a program."""

import os
import platform
import re
import subprocess
import unittest
from pathlib import Path

from lib import ClusterTest, binary

MAX_FILE_BYTES = 8_200_000  # 9 MB are promised
MAX_WAITER_KB = 6 * 1024
MAX_START_INSTRUCTIONS = 4_300_000
MAX_START_PAGES = 200
SCRIPT = """
local k = require "konductor"
k.lease "seat" { ttl = "3s", main = { "sleep", "1000" } }
"""
STAGE = """
local k = require "konductor"
k.flow "setup" { k.stage "init" { version = "v1", run = { "true" } }, k.main { "true" } }
"""


class StaticBudgets(ClusterTest):
    def test_the_file_is_small(self):
        self.assertLessEqual(os.path.getsize(binary()), MAX_FILE_BYTES)

    def test_a_waiter_stays_small(self):
        script = self.cluster.script(SCRIPT)
        holder = self.cluster.start(script, name="holder")
        holder.wait_event("start")
        waiter = self.cluster.start(script, name="waiter", listen="127.0.0.1:0")
        waiter.wait_event("join")
        # It has then taken in what it takes in for the rest of its life.
        holder.wait_event("renew", count=len(holder.events("renew")) + 2)
        status = Path(f"/proc/{waiter.pid}/status").read_text()
        resident_kb, peak_kb = (int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1]) for name in ("VmRSS", "VmHWM"))
        self.assertLessEqual(resident_kb, MAX_WAITER_KB)
        self.assertLessEqual(peak_kb, 2 * MAX_WAITER_KB)

    def test_a_start_with_everything_done_loads_little(self):
        """From the start of konductor to its end, with a main that does nothing. Guards against a module that is loaded
        before anybody needs it: two thirds of these instructions load and run Lua."""
        script = self.cluster.script(STAGE)
        self.assertEqual(self.cluster.start(script).wait(), 0)
        # Each variable of the environment costs some thousands: only those that it needs.
        env = {name: value for name, value in self.cluster.env({"KONDUCTOR_JIT": "off"}).items()
               if name.startswith("KONDUCTOR_") or name == "PATH"}
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary(), "run", script, "--listen", "off"],
            env=env, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        # One line for konductor and one for its guard, which has konductor's count up to the fork in it.
        counts = [int(count) for count in re.findall(r"Collected : (\d+)", done.stderr)]
        self.assertLessEqual(max(counts), MAX_START_INSTRUCTIONS)

    def test_a_start_takes_few_pages(self):
        """From the start of konductor to its end, one by one or many at once: code, tables, memory of Lua."""
        pid = os.posix_spawn(binary(), [binary(), "version"], self.cluster.env())
        _, status, usage = os.wait4(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertLessEqual(usage.ru_minflt, MAX_START_PAGES)

    def test_a_start_takes_the_pages_of_its_data_and_of_lua_at_once(self):
        """Guards the entry of the program and the wrap around mmap64(): no other test sees when one of them is lost."""
        trace = self.cluster.directory / "trace"
        subprocess.run(["strace", "-o", trace, binary(), "version"], env=self.cluster.env(), check=True,
                       capture_output=True, timeout=300)
        calls = trace.read_text().split("\n")
        self.assertTrue(calls[0].startswith("execve("), calls[0])
        if platform.machine() == "x86_64":
            self.assertIn("MADV_POPULATE_WRITE", calls[1])
        memory = [call for call in calls if call.startswith("mmap(NULL, 131072,")]
        self.assertNotEqual(memory, [])
        self.assertEqual([call for call in memory if "MAP_POPULATE" not in call], [])


if __name__ == "__main__":
    unittest.main()
