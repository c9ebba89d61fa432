"""A short run of chaos.py: the same faults and judges as in a long one by hand."""

import os
import random
import unittest

from kube.chaos import run


class ChaosTest(unittest.TestCase):
    def test_nothing_that_is_promised_breaks_under_random_faults(self):
        seed = int(os.environ.get("KONDUCTOR_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
        found, report = run(seed, 40, replicas=12)
        print(f"seed {seed}\n{report}", flush=True)
        self.assertEqual(found, [], f"seed {seed}; run tests/e2e/kube/chaos.py --minutes 1 --seed {seed}\n{report}")


if __name__ == "__main__":
    unittest.main()
