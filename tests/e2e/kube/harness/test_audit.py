"""The reader of audit logs itself: what it counts is the evidence of other tests."""

import json
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "tools" / "kube"))
from konkube.audit import Log  # noqa: E402

LINES = 20000


class LogTest(unittest.TestCase):
    def test_threads_that_read_at_once_take_each_line_once(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "audit.log"
            with open(path, "w", encoding="utf-8") as file:
                for n in range(LINES):
                    event = {"stage": "RequestReceived", "auditID": str(n), "requestURI": f"/{n}"}
                    file.write(json.dumps(event) + "\n")
            log = Log(path)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: log.read(), range(8)))
            self.assertEqual(log.offset, path.stat().st_size)
            self.assertEqual([event["requestURI"] for _, event in log.events], [f"/{n}" for n in range(LINES)])


if __name__ == "__main__":
    unittest.main()
