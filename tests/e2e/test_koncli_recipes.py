"""Recipes of the shell with koncli, on SQLite."""

import unittest

from koncli_recipes import Recipes
from test_koncli import KoncliTest


class OnOneMachine(Recipes, KoncliTest):
    pass


del KoncliTest, Recipes

if __name__ == "__main__":
    unittest.main()
