"""Recipes of the shell, as printed and made safe, on SQLite; and whether they are all that the documents print.

KONDUCTOR_TEST_DOCUMENTS names a directory with the documents as text: then they are counted anew, and every line of a
recipe is looked for in its document."""

import collections
import os
import re
import unittest
from pathlib import Path

import pages
from lib import ROOT
from seeds.recipes import HERE, LeaseRecipes, OnceRecipes
from test_koncli import KoncliTest

# Of each document: its recipes, its file, and what is in it, counted there: top-level objects, commands of koncli and of
# kubectl wherever they stand, scripts with a line of their own that names the shell or in a container's command.
DOCUMENTS = {
    "once": ("seeds/once", "konductor-once-api.txt", {"manifests": 14, "koncli": 10, "kubectl": 6, "scripts": 5}),
    "lease": ("seeds/lease", "konductor-lease-api.txt", {"manifests": 10, "koncli": 14, "kubectl": 7, "scripts": 3}),
    "job": ("seeds/job", "kubernetes-runs-once-and-exits.txt", {"manifests": 1, "kubectl": 4}),
    "just-one-init": ("kube/just_one_init", "just-one-init.txt", {"manifests": 2}),
}
COUNTED = {
    "manifests": r"^apiVersion: ", "koncli": r"\bkoncli (?:once|lease) [a-z]", "scripts": r"^#!/bin/bash|^ *- /bin/sh$",
    "kubectl": r"\bkubectl (?:get|patch|describe|apply|delete|create) ",
}
# Its name is one that only who reads it can put in.
IN_A_TEST = {"lease": ("kubectl get pods | grep", "test_seeds_kubectl.py")}


def count(text):
    return {what: len(found) for what, pattern in COUNTED.items() if (found := re.findall(pattern, text, re.MULTILINE))}


def recipes_of(document):
    """The texts of its recipes, without the remark above each of them."""
    for path in sorted((HERE.parent / DOCUMENTS[document][0]).iterdir()):
        if path.is_file():
            yield path, re.sub(r"^#(?!!).*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


class Documents(unittest.TestCase):
    def test_all_that_they_print_is_played(self):
        total = collections.Counter()
        for document, (_, _, printed) in DOCUMENTS.items():
            with self.subTest(document):
                found = collections.Counter(count("".join(text for _, text in recipes_of(document))))
                if document in IN_A_TEST:
                    line, test = IN_A_TEST[document]
                    self.assertIn(line, (HERE.parent / "kube" / test).read_text(encoding="utf-8"))
                    found += count(line + " ")
                self.assertEqual(found, printed)
                total += found
        print(f"\nof the documents: {total['koncli']} command lines of koncli and {total['kubectl']} of kubectl, {total['scripts']} "
              f"scripts, {total['manifests']} manifests")

    def test_what_runs_koncli_is_played_on_every_store(self):
        played = (HERE / "recipes.py").read_text(encoding="utf-8")
        commands = 0
        for document in DOCUMENTS:
            for path, text in recipes_of(document):
                here = count(text).get("koncli", 0)
                commands += here
                with self.subTest(path.name):
                    self.assertTrue(not here or f'"{path.relative_to(HERE)}"' in played)
        self.assertEqual(commands, sum(printed.get("koncli", 0) for _, _, printed in DOCUMENTS.values()))


# The documents themselves are not kept here: with a folder of them, each line is looked for in them.
if "KONDUCTOR_TEST_DOCUMENTS" in os.environ:
    class Originals(unittest.TestCase):
        def test_each_line_of_a_recipe_is_as_its_document_prints_it(self):
            for document, (_, name, printed) in DOCUMENTS.items():
                text = Path(os.environ["KONDUCTOR_TEST_DOCUMENTS"], name).read_text(encoding="utf-8")
                with self.subTest(document):
                    self.assertEqual(count(re.sub(r"^ +(?=apiVersion: v1$)", "- ", text, flags=re.MULTILINE)), printed)
                words = " ".join(text.split())
                for path, recipe in recipes_of(document):
                    for line in recipe.splitlines():
                        with self.subTest(path.name, line=line):
                            self.assertIn(" ".join(line.split()), words)


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
