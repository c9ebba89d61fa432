"""A short run of chaos.py: the same faults and judges as in a long one by hand."""

import os
import random
import unittest

from chaos import Chaos
from lib import Cluster


class ChaosTest(unittest.TestCase):
    def test_nothing_that_is_promised_breaks_under_random_faults(self):
        seed = int(os.environ.get("KONDUCTOR_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
        with Cluster("kon-chaos-") as cluster:
            chaos = Chaos(cluster, seed, limit=8)
            chaos.run(25)
            chaos.settle()
            self.assertEqual(chaos.violations(), [], f"seed {seed}; run tests/e2e/chaos.py --seed {seed}")
            self.assertGreater(sum(chaos.faults.values()), 50)


if __name__ == "__main__":
    unittest.main()
