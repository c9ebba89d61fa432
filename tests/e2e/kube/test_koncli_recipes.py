"""Recipes of the shell with koncli, on a real API server."""

import unittest

from koncli_recipes import Recipes
from kube.test_koncli_steps import OnServer


class Kube(Recipes, OnServer):
    pass


class KubeLease(Recipes, OnServer):
    store = "kube-lease"


del OnServer, Recipes

if __name__ == "__main__":
    unittest.main()
