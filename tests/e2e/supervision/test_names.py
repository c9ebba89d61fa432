"""What an operator in a hurry does: kill everything that is called konductor."""

import os
import signal
import unittest
from contextlib import suppress
from pathlib import Path

from lib import ClusterTest, marked, wait_for


class Names(ClusterTest):
    def test_killing_all_that_is_called_konductor_leaves_no_work_behind(self):
        script = self.cluster.script("""
            local k = require "konductor"
            k.lease "boss" { ttl = "10m", main = { "sh", "-c", "sleep 1000 & touch up; wait" } }
        """)
        replica = self.cluster.start(script)
        replica.wait_for((self.cluster.directory / "up").exists, what="the work")
        for pid in marked(self.cluster.mark):
            with suppress(FileNotFoundError, ProcessLookupError):  # the first kill ends others of them
                if "konductor" in Path(f"/proc/{pid}/comm").read_text():
                    os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not marked(self.cluster.mark), what="the end of the work",
                 describe=lambda: str(marked(self.cluster.mark)))


if __name__ == "__main__":
    unittest.main()
