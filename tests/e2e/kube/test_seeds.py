"""Recipes of the shell, as printed and made safe, on a real API server: as custom resources and as Leases alone."""

import unittest

from kube.test_koncli_steps import OnServer
from seeds.recipes import LeaseRecipes, OnceRecipes


class Once(OnceRecipes, OnServer):
    pass


class Lease(LeaseRecipes, OnServer):
    pass


class OnceAlone(OnceRecipes, OnServer):
    store = "kube-lease"


class LeaseAlone(LeaseRecipes, OnServer):
    store = "kube-lease"


del LeaseRecipes, OnServer, OnceRecipes

if __name__ == "__main__":
    unittest.main()
