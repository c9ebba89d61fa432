"""The man pages, which are made from the reference pages, are well-formed and complete, and are installed."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from lib import PATIENCE, ROOT, binary

NAMES = {"konductor.1", "koncli.1", "just-one-init.1", "konductor-script.5", "konductor-objects.5", "konductor-events.5"}


def run(*argv, **more):
    return subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, timeout=60 * PATIENCE, check=True, **more)


def words_of(text):
    return re.findall(r"\w+", text)


class Man(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        place = tempfile.TemporaryDirectory()
        cls.addClassCleanup(place.cleanup)
        run("luajit", "tools/man/main.lua", "man", place.name, "0.1.0")
        cls.made = {path.name: path for path in Path(place.name).iterdir()}

    def read(self, name):
        """As a reader sees it, without marks."""
        shown = run("mandoc", "-Tascii", "-Owidth=200", str(self.made[name])).stdout
        return re.sub(r".\x08", "", shown)

    def test_there_is_one_for_each_program_and_each_format(self):
        self.assertEqual(set(self.made), NAMES)

    def test_mandoc_and_groff_find_nothing_wrong(self):
        for name, path in self.made.items():
            with self.subTest(name):
                linted = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(path)], check=False, text=True,
                                        capture_output=True)
                self.assertEqual((linted.returncode, linted.stdout), (0, ""))
                self.assertEqual(run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(path)).stderr, "")

    def test_nothing_of_markdown_is_left(self):
        for name in self.made:
            text = self.read(name)
            with self.subTest(name):
                self.assertEqual(re.findall(r"\]\([^)]*\)|\*\*.*|^\s*\|.*|^#+ .*|<!--.*|```.*", text, re.MULTILINE), [])

    def test_they_name_no_page_that_is_a_man_page_itself(self):
        pages = {path.name for path in (ROOT / "docs" / "reference").iterdir()}
        for name in self.made:
            with self.subTest(name):
                self.assertEqual(pages & set(re.findall(r"[\w-]+\.md\b", self.read(name))), set())

    def test_no_word_of_their_pages_is_lost(self):
        for name, sources in {"konductor.1": ["cli", "exit-codes", "environment"], "konductor-objects.5": ["objects"],
                              "koncli.1": ["koncli"], "konductor-script.5": ["lua", "functions", "scripts"],
                              "konductor-events.5": ["events", "metrics"], "just-one-init.1": ["just-one-init"]}.items():
            there = set(words_of(self.read(name).lower()))
            for source in sources:
                page = ROOT / "docs" / "reference" / f"{source}.md"
                links_and_heads = r"\[[\w-]+\.md\]\([^)]*\)|\]\([^)]*\)|<!--.*?-->|<br>|```\w*|(?m:^.*\n(?=\|---))"
                text = re.sub(links_and_heads, " ", page.read_text(encoding="utf-8")).lower()
                title = text.split("\n", 1)[0] if source == sources[0] else ""
                with self.subTest(name=name, source=source):
                    self.assertLessEqual(set(words_of(text)) - set(words_of(title)) - there, set())

    def test_each_command_is_in_a_synopsis(self):
        for program in ("konductor", "koncli"):
            synopsis = self.read(f"{program}.1").split("DESCRIPTION")[0]
            page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
            commands = re.findall(rf"^### ({program} .*)$", page, re.MULTILINE)
            self.assertGreater(len(commands), 8)
            for command in commands:
                with self.subTest(command):
                    self.assertIn(f" {command}", synopsis)

    def test_pages_that_they_point_to_exist(self):
        for name in self.made:
            for seen, section in re.findall(r"([\w-]+)\((\d)\)", self.read(name).split("SEE ALSO")[1].split("\n\n")[0]):
                with self.subTest(name=name, see=seen):
                    self.assertIn(f"{seen}.{section}", NAMES)

    def test_they_are_installed(self):
        # A konductor that was taken from where it was built is installed by nobody.
        places = (Path(binary()).resolve().parent, ROOT / "build" / "dev")
        build = next(place for place in places if (place / "cmake_install.cmake").exists())
        with tempfile.TemporaryDirectory() as prefix:
            run("cmake", "--install", str(build), "--prefix", prefix)
            found = {path.name for path in (Path(prefix) / "share" / "man").rglob("*.?")}
            self.assertEqual(found, NAMES)
            self.assertIn("konductor run SCRIPT", run("man", "-l", f"{prefix}/share/man/man1/konductor.1").stdout)


if __name__ == "__main__":
    unittest.main()
