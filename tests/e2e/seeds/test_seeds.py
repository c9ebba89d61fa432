"""Recipes of the shell, as printed and made safe, on SQLite."""

import re
import unittest

import pages
from lib import ROOT
from seeds.recipes import HERE, LeaseRecipes, OnceRecipes
from test_koncli import KoncliTest


class Files(unittest.TestCase):
    def test_each_recipe_is_played_and_says_what_it_shows(self):
        tests = [HERE / "recipes.py", *(HERE.parent / "kube").glob("test_seeds*.py")]
        played = "\n".join(path.read_text(encoding="utf-8") for path in tests)
        recipes = [*HERE.glob("*/*.bash"), *HERE.glob("*/*.yaml")]
        self.assertGreater(len(recipes), 25)
        for path in recipes:
            name = str(path.relative_to(HERE))
            with self.subTest(name):
                self.assertRegex(path.read_text(encoding="utf-8"), r"\A(#!/bin/bash\n)?# [A-Za-z].{20,}\n")
                self.assertTrue(f'"{name}"' in played or name.endswith(".yaml") and name.startswith(("once/", "lease/")))

    def test_each_command_that_a_page_quotes_is_of_a_file_that_is_played(self):
        quoted = [block for page in pages.all_pages() for block in pages.blocks_of(page)
                  if block.marker == "part of" and block.language == "sh"]
        self.assertGreater(len(quoted), 5)
        for block in quoted:
            with self.subTest(block.where):
                self.assertTrue(re.match(r"tests/e2e/seeds/\w+/[\w-]+\.bash$", block.argument))
                self.assertTrue((ROOT / block.argument).exists())


class Once(OnceRecipes, KoncliTest):
    pass


class Lease(LeaseRecipes, KoncliTest):
    pass


del KoncliTest, LeaseRecipes, OnceRecipes

if __name__ == "__main__":
    unittest.main()
