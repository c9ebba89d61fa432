"""One-shot steps of koncli when the API server answers late, wrongly or not at all: a lost answer is no lost hold, and a
silent server no other holder."""

import threading
import unittest

from koncli_steps import Steps
from kube.http_proxy import HttpProxy, drop_answer, forward_then, late, refuse, twice
from kube.test_koncli_steps import OnServer
from lib import wait_for


class Faults(Steps, OnServer):
    def setUp(self):
        super().setUp()
        self.proxy = HttpProxy(self.c)
        self.addCleanup(self.proxy.close)
        self.direct = dict(self.extra)
        self.extra["KUBECONFIG"] = self.c.kubeconfig(url=self.proxy.url)

    def directly(self, *args):
        """Not through the proxy, and well."""
        done = self.koncli(*args, env=self.direct)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class Steadfast(Faults):
    """Every step stands, and once, whatever becomes of the answer to its write."""

    FAULTS = {"the answer lost": drop_answer, "500 though applied": lambda: forward_then(500),
              "504 though applied": lambda: forward_then(504), "sent twice": twice, "not forwarded": refuse}

    def steps(self, change, *args):
        for title, action in self.FAULTS.items():
            with self.subTest(title):
                self.proxy.once(action(), method="PUT")
                change(lambda: self.said(*args, "--holder", "a"))

    def test_acquire_and_release(self):
        self.directly("lease", "create", "db")

        def both(acquire):
            token = int(acquire())
            status = self.status("lease", "db")
            self.assertEqual((status["holder"], status["fence"], status["renewals"]), ("a", token, 0))
            self.said("lease", "renew", "db", "--holder", "a", "--token", token)
            self.said("lease", "release", "db", "--holder", "a")

        self.steps(both, "lease", "acquire", "db")

    def test_acquire_of_what_has_to_be_made(self):
        for number, action in enumerate((drop_answer(), forward_then(500), refuse())):
            self.proxy.once(action, method="POST")
            self.taken("lease", "acquire", f"db-{number}", "--holder", "a")

    def test_create(self):
        for number, action in enumerate((drop_answer(), forward_then(504), refuse())):
            self.proxy.once(action, method="POST")
            self.assertIn("created", self.ok("once", "create", f"init-{number}", "--ttl", "1h"))
        self.proxy.once(drop_answer(), method="POST")
        self.refused(1, "once", "create", "init-0", "--ttl", "2h")

    def test_renew_counts_once(self):
        self.directly("lease", "acquire", "db", "--holder", "a")
        counts = []

        def renewed(renew):
            renew()
            counts.append(self.status("lease", "db")["renewals"])

        self.steps(renewed, "lease", "renew", "db")
        self.assertEqual(counts, [1, 2, 3, 4, 5])

    def test_release(self):
        def released(release):
            self.directly("lease", "acquire", "db", "--holder", "a")
            release()
            self.assertEqual(self.status("lease", "db")["holder"], "")

        self.directly("lease", "create", "db")
        self.steps(released, "lease", "release", "db")

    def test_claim_and_done(self):
        versions = iter(range(100))

        def done(step):
            self.directly("once", "claim", "init", "--holder", "a", "--version", f"v{next(versions)}")
            step()
            self.assertEqual(self.status("once", "init")["attempts"], 1)
            self.assertTrue(self.status("once", "init")["executed"])

        self.steps(done, "once", "done", "init")

    def test_fail(self):
        attempts = []

        def failed(step):
            self.directly("once", "claim", "init", "--holder", "a")
            step()
            attempts.append(self.status("once", "init")["attempts"])

        self.steps(failed, "once", "fail", "init")
        self.assertEqual(attempts, [1, 2, 3, 4, 5])

    def test_a_write_that_lands_after_its_504_grants_nothing_more(self):
        self.directly("lease", "create", "db")
        land = threading.Event()
        self.proxy.once(late(land), method="PUT")
        token = self.taken("lease", "acquire", "db", "--holder", "a")
        land.set()
        self.proxy.wait_late()
        self.assertEqual(self.status("lease", "db")["fence"], token)


class Silence(Faults):
    def nothing_after_the_write(self, request):
        if request.method != "PUT":
            return None
        self.proxy.always(refuse())
        return drop_answer()

    def test_a_silent_server_is_1_and_a_lost_hold_is_5(self):
        self.directly("lease", "acquire", "db", "--holder", "a")
        self.directly("once", "claim", "init", "--holder", "a")
        self.proxy.always(refuse())
        for args in (["lease", "acquire", "db"], ["lease", "renew", "db"], ["lease", "release", "db"], ["once", "done", "init"]):
            with self.subTest(args=args):
                self.refused(1, *args, "--holder", "a")
        self.assertEqual(self.code("once", "check", "init", "-q"), 1)
        self.proxy.heal()
        self.directly("lease", "release", "db", "--force")
        self.refused(5, "lease", "renew", "db", "--holder", "a")

    def test_of_a_write_that_nobody_answers_it_says_that_it_may_have_been_applied(self):
        self.directly("lease", "create", "db")
        self.proxy.always(refuse(), method="GET")
        waiter = self.koncli("lease", "acquire", "db", "--holder", "a", "--timeout", "2s")
        self.assertEqual((waiter.returncode, waiter.stdout), (1, ""))
        self.assertIn("did not answer within the time", waiter.stderr)
        self.proxy.heal()

        self.proxy.hook = self.nothing_after_the_write
        self.assertIn("may or may not be granted", self.refused(1, "lease", "acquire", "db", "--holder", "a", "--timeout", "10s"))

    def test_a_grant_of_which_nothing_was_heard_for_long_is_known_by_its_mark(self):
        self.directly("lease", "create", "db")
        self.proxy.hook = self.nothing_after_the_write
        waiter = self.background("lease", "acquire", "db", "--holder", "a", "--wait")
        log = self.cluster.directory / "background"
        wait_for(lambda: "the store does not answer" in log.read_text(), what="the end of the first try")
        self.proxy.heal()
        self.proxy.hook = None
        self.assertEqual(self.code_of(waiter), 0)
        self.extra = self.direct
        self.assertEqual(f"{self.status('lease', 'db')['fence']}\n", waiter.stdout.read())

    def test_no_silence_ends_a_wait_early_neither_at_its_start_nor_later(self):
        self.directly("lease", "acquire", "db", "--holder", "a")
        self.proxy.always(refuse())
        waiter = self.background("lease", "acquire", "db", "--holder", "b", "--wait")
        wait_for(lambda: len(self.proxy.seen()) >= 5, what="five requests without an answer")
        self.proxy.heal()
        self.extra = self.direct
        self.queued("db")
        self.proxy.always(refuse(), method="GET")
        self.directly("lease", "release", "db", "--force")
        self.proxy.heal()
        self.assertEqual(self.code_of(waiter), 0)

    def test_a_missing_right_is_4_at_once_also_for_one_who_waits(self):
        token = self.c.service_account(self.ns, "nobody", [])
        self.extra["KUBECONFIG"] = self.c.kubeconfig(user=f"{self.ns}-nobody", token=token, namespace=self.ns)
        for args in (["lease", "acquire", "db", "--wait"], ["lease", "renew", "db"], ["once", "claim", "init"],
                     ["once", "run", "init", "--", "true"], ["lease", "run", "db", "--wait", "--", "true"], ["lease", "list"],
                     ["once", "create", "init"]):
            with self.subTest(args=args):
                self.refused(4, *args)


del OnServer

if __name__ == "__main__":
    unittest.main()
