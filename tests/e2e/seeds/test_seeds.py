"""Recipes of the shell, as printed and made safe, on SQLite."""

import unittest

from seeds.recipes import LeaseRecipes, OnceRecipes
from test_koncli import KoncliTest


class Once(OnceRecipes, KoncliTest):
    pass


class Lease(LeaseRecipes, KoncliTest):
    pass


del KoncliTest, LeaseRecipes, OnceRecipes

if __name__ == "__main__":
    unittest.main()
