"""Row 8 of the table of faults (docs/testing.md): a server sends its clients away in the middle of a write."""

import unittest

from kube import h2_proxy
from kube.faults import FaultTest
from kube.h2_proxy import H2Proxy
from lib import wait_for

ACTIONS = (h2_proxy.unprocessed, h2_proxy.refused, h2_proxy.answered, h2_proxy.unanswered, h2_proxy.vanished,
           h2_proxy.belied)


class Goaway(FaultTest):
    def h2(self):
        proxy = H2Proxy(self.c)
        self.addCleanup(proxy.close)
        return proxy

    def assert_taken(self, count, **of):
        """So many writes. One whose client was gone before the server could answer stands in the log with another code, or
        as a panic, and may have been taken."""
        ended = self.puts(stage="ResponseComplete", **of) + self.puts(stage="Panic", **of)
        codes = [event["responseStatus"]["code"] for event in ended]
        self.assertLessEqual(codes.count(200), count, codes)
        self.assertGreaterEqual(codes.count(200) + sum(code >= 499 for code in codes), count, codes)

    def test_row_08_a_renewal_under_goaway_is_done_or_done_again_and_ends_no_work(self):
        proxy = self.h2()
        a = self.lease("a", ttl_ms=6000, url=proxy.url)
        a.wait_event("start")
        for number, action in enumerate(ACTIONS, 1):
            with self.subTest(action.__name__):
                proxy.once(action, rb'"renewals":')
                wait_for(lambda n=number: proxy.struck == n, 60, "a renewal to be struck", a.describe)
                a.wait_event("renew", count=len(a.events("renew")) + 2, timeout=60)
        a.stop()
        self.assertEqual((len(a.events("start")), a.events("lost")), (1, []), a.describe())
        known = [e for name in ("claim", "renew", "release") for e in a.events(name)]
        self.assert_taken(len(known), name="boss")  # each that the server took is one of ours, once

    def test_row_08_work_whose_every_write_is_under_goaway_runs_once(self):
        proxy = self.h2()
        script = 'local k = require "konductor"\n'
        for action in ACTIONS:
            name = action.__name__
            script += f'k.once "{name}" {{ hold = "9s", run = {{ "sh", "-c", "echo {name} >> done" }} }}\n'
            for inside in (b'"spec":', b'"executed":false', b'"executed":true'):  # create, claim, complete
                proxy.once(action, rb'"name":"%s".*%s' % (name.encode(), inside))
        a = self.start(script, "a", url=proxy.url)
        self.assertEqual(a.wait(120), 0, a.describe())
        self.assertEqual(proxy.struck, 3 * len(ACTIONS))
        done = (self.cluster.directory / "done").read_text().split()
        self.assertEqual(done, [action.__name__ for action in ACTIONS])
        for name in done:
            status = self.status("Once", name)
            self.assertEqual((status["executed"], status["attempts"]), (True, 1))
            self.assert_taken(2, name=name)


if __name__ == "__main__":
    unittest.main()
