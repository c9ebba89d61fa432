"""Every block, link and name of a test in the project's pages is what it says.

Scripts are planned and run, commands are run, transcripts are played again and compared.  The programs that the pages
speak of (a migration, a web server...) are stand-ins here.  How blocks are marked is told in pages.py.
"""

import json
import os
import re
import subprocess
import unittest
from collections import Counter

import pages
from lib import PATIENCE, ROOT, Cluster, ClusterTest, binary, check_sanitizers, tail

# Blocks that nobody can run here.  More of them need a reason to raise this number.
MOST_NOT_RUN = 2
# Commands that are run by a test of the cluster, or by the one of the file that they stand in.
ELSEWHERE = ("not run", "run by", "on a cluster", "part of")
LANGUAGES = {"lua", "sh", "console", "json", "yaml", "dockerfile", "text"}

# What the pages start. A server stays in transcripts and ends at once where a script is only run to its end.
COMMANDS = ("alembic", "flyway", "seed", "warm-cache", "backup", "make-report", "pg_dump", "import-data", "generate",
            "notify", "charge-customers")
SERVERS = ("gunicorn", "worker")
# What surrounds a part of a script.
FUNCTIONS = "\n".join(f"local function {name}() end" for name in ("decide", "held", "renew", "release"))
AROUND = {
    "": '%s\nk.once "page" { run = { "true" } }',
    "k.flow": 'k.flow "page" {\n%s\n}',
    "a value": 'local value = %s\nk.once "page" { run = { "true" }, env = { SEEN = type(value) } }',
    "four functions": FUNCTIONS + "\n%s",
}
SERVER = '[ -z "$STAY" ] || exec sleep 1000\n'

BLOCKS = [block for page in pages.all_pages() for block in pages.blocks_of(page)]


def can_isolate():
    return subprocess.run(isolation("true"), check=False, capture_output=True).returncode == 0


def isolation(*command):
    """A network of one's own, so that the default port of the probe is free."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', *command]


class Place:
    """A directory in which a page's commands find konductor, the programs, and an empty store."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.directory = cluster.directory
        for name in COMMANDS + SERVERS:
            text = '#!/bin/sh\n[ ! -e "$0.$KONDUCTOR_HOLDER" ] || exec sleep 1000\n' + (SERVER if name in SERVERS else "")
            cluster.file(f"bin/{name}", text, 0o755)
        for name in ("seed", "warm-cache"):
            cluster.file(name, "#!/bin/sh\n", 0o755)
        for name in ("konductor", "koncli"):
            (self.directory / "bin" / name).symlink_to(binary())

    def env(self, **more):
        path = f"{self.directory}/bin:{os.environ['PATH']}"
        return self.cluster.env({
            "PATH": path, "HOME": self.directory, "XDG_STATE_HOME": None, "KUBECONFIG": None, "KONDUCTOR_STORE": None,
            "KUBERNETES_SERVICE_HOST": None, **more})

    def run(self, argv, **env):
        done = subprocess.run(argv, cwd=self.directory, env=self.env(**env), stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=60 * PATIENCE, check=False)
        check_sanitizers(" ".join(argv), done.stderr)
        return done


class Blocks(ClusterTest):
    def test_each_has_a_language_and_those_not_run_are_few_and_say_why(self):
        for block in BLOCKS:
            with self.subTest(block.where):
                self.assertIn(block.language, LANGUAGES)
                if block.marker == "not run":
                    self.assertGreaterEqual(len(block.argument.split()), 4, "a reason is a sentence")
                if block.language == "text":
                    self.assertNotRegex(block.text, r"(?m)^(\$ |konductor )", "commands stand in sh or console")
        self.assertLessEqual(sum(block.marker == "not run" for block in BLOCKS), MOST_NOT_RUN)
        kinds = {block.language for block in BLOCKS if block.marker != "not run"}
        self.assertLessEqual({"lua", "sh", "console", "json"}, kinds)

    def test_excerpts_stand_in_the_file_that_they_name(self):
        for block in BLOCKS:
            if block.marker == "part of":
                with self.subTest(block.where):
                    squeeze = lambda text: re.sub(r"\s+", " ", text).strip()
                    source = (ROOT / block.argument).read_text(encoding="utf-8")
                    self.assertTrue(squeeze(block.text) in squeeze(source), "its lines do not stand there")

    def test_those_that_another_test_runs_are_named_there(self):
        for block in [each for each in BLOCKS if each.marker == "run by"]:
            test = (ROOT / block.argument).read_text(encoding="utf-8").replace(" +", " ")
            words = block.text.split()
            parts = {" ".join(words[at:at + 4]) for at in range(len(words) - 3)} if block.language == "text" else {block.page}
            with self.subTest(block.where):
                self.assertTrue(any(part in test for part in parts), f"{block.argument} does not speak of it")

    def test_what_is_only_shown_is_little(self):
        """A picture, and what the page of the commands has from the help."""
        shown = {block.page for block in BLOCKS if block.language == "text" and not block.marker}
        self.assertLessEqual(shown, {"docs/architecture.md", "docs/reference/commands.md", "docs/guides/monitoring.md"})

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        kinds = Counter(block.marker or ("shown" if block.language == "text" else "here") for block in BLOCKS)
        print(f"blocks of the pages: {len(BLOCKS)}, {', '.join(f'{kind} {count}' for kind, count in kinds.most_common())}")

    def test_json_is_json(self):
        for block in BLOCKS:
            if block.language == "json" and block.marker != "not run":
                with self.subTest(block.where):
                    self.read_json(block.text)

    @staticmethod
    def read_json(text):
        try:
            return [json.loads(text)]
        except ValueError:
            return [json.loads(line) for line in text.splitlines()]

    def test_links_lead_somewhere(self):
        for page in pages.all_pages():
            for target, path, anchor in pages.links_of(page):
                with self.subTest(page=pages.short(page), link=target):
                    self.assertTrue(path.exists(), "there is no such file")
                    if anchor:
                        self.assertIn(anchor, pages.anchors_of(path))

    def test_each_page_is_in_an_index(self):
        indexes = [ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"]
        linked = {path for index in indexes for _, path, _ in pages.links_of(index)}
        for page in pages.all_pages():
            if page not in (ROOT / "README.md", indexes[0]):
                self.assertIn(page, linked, f"no index lists {pages.short(page)}")


class Scripts(unittest.TestCase):
    """Lua: whole scripts are planned and run to their end; parts of scripts are planned."""

    def test_each_is_right(self):
        scripts = [b for b in BLOCKS if b.language == "lua" and b.marker not in ELSEWHERE]
        for block in scripts:
            with self.subTest(block.where), Cluster() as cluster:
                self.play(Place(cluster), block)
        self.assertGreater(len(scripts), 10)

    def play(self, place, block):
        text = block.text
        name = "page.lua"
        if not block.is_script:
            around = AROUND[block.argument if block.marker == "inside" else ""]
            text, name = 'local k = require "konductor"\n' + around % text, "part.lua"
        (place.directory / name).write_text(text)
        command = ["--", "true"] if re.search(r"k\.main\(\)|k\.command", text) else []
        more = {"IMAGE_TAG": "1.4.2"}
        self.expect(place.run([binary(), "plan", name, *command], **more))
        ends = block.argument if block.marker == "ends" else "0"
        if block.is_script and ends != "not by itself":
            self.expect(place.run([binary(), "run", name, "--listen", "off", *command], **more), int(ends))

    def expect(self, done, code=0):
        self.assertEqual(done.returncode, code, f"{done.args}\n{tail(done.stderr)}")


class Commands(unittest.TestCase):
    """Shell: the blocks of a page share one directory and one store, in the order of the page."""

    def test_the_blocks_of_each_page(self):
        played = 0
        for page in pages.all_pages():
            blocks = [b for b in BLOCKS if b.page == pages.short(page) and b.marker not in ELSEWHERE]
            runnable = [b for b in blocks if b.language in ("sh", "console")]
            if runnable:
                with self.subTest(pages.short(page)), Cluster() as cluster:
                    self.play_page(Place(cluster), blocks)
                    played += len(runnable)
        self.assertGreater(played, 10)

    def play_page(self, place, blocks):
        terminal = pages.Terminal(place.directory, place.env(STAY="1"), isolation() if can_isolate() else ())
        try:
            for block in blocks:
                if block.marker == "slow":
                    (place.directory / "bin" / block.argument).touch()
                if block.file:
                    (place.directory / block.file).write_text(block.text)
                if block.language == "sh":
                    done = place.run(["bash", "-euc", block.text])
                    self.assertEqual(done.returncode, 0, f"{block.where}\n{tail(done.stdout)}\n{tail(done.stderr)}")
                elif block.language == "console":
                    for command, output in pages.steps_of(block.text):
                        terminal.do(command, output)
        finally:
            terminal.close()
        check_sanitizers(blocks[0].page, terminal.path.read_text(errors="replace"))


class Names(unittest.TestCase):
    """What the pages call by name exists."""

    def test_each_promise_names_tests_that_exist(self):
        text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
        named = re.findall(r'`(tests/[\w/.]+)` "([^"]+)"', text)
        for path, name in named:
            with self.subTest(path=path, name=name):
                source = (ROOT / path).read_text(encoding="utf-8")
                self.assertTrue((name if path.endswith(".lua") else name.replace(" ", "_")) in source, "no such test")
        for promise in [f"{letter}{i + 1}" for letter, count in (("L", 8), ("O", 7), ("F", 3)) for i in range(count)]:
            row = re.search(rf"^\| {promise} \|.*$", text, re.MULTILINE)
            self.assertTrue(row and re.search(r'`tests/[\w/.]+` "', row[0]), f"{promise} names no test")

    def test_the_renewal_goes_through_functions_that_exist(self):
        text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
        section = re.search(r"^## One renewal, followed$(.*?)^## ", text, re.DOTALL | re.MULTILINE)[1]
        steps = re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]
        self.assertGreaterEqual(len(steps), 5)
        checked = 0
        for step in steps:
            words = re.findall(r"`([^`]+)`", step)
            files = [word for word in words if re.search(r"\.(c|lua)$", word)]
            self.assertTrue(files, f"a step names no file: {step}")
            source = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in files)
            for name in [word for word in words if re.fullmatch(r"[\w:.]+\(\)", word)]:
                with self.subTest(name=name, files=files):
                    self.assertTrue(re.search(self.definition(name[:-2]), source), "it is not defined there")
                    checked += 1
        self.assertGreater(checked, 12)

    @staticmethod
    def definition(name):
        last = re.escape(re.split(r"[.:]", name)[-1])
        return rf'(?m)function (\w+[.:])?{last}\(|^[a-z].*[ *]{last}\([^;]*$|\{{"{last}", \w+\}}'

    def test_the_architecture_names_files_that_exist(self):
        text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
        there = {path.name for folder in ("core", "lua") for path in (ROOT / folder).rglob("*.*")}
        named = re.findall(r"`([\w.]+\.(?:c|h|lua|def))`", text)
        self.assertGreater(len(named), 10)
        for name in named:
            with self.subTest(name):
                self.assertIn(name, there)

    def test_messages_that_are_quoted_are_konductors(self):
        sources = [path.read_text(encoding="utf-8") for folder, pattern in (("core", "*.c"), ("lua", "*.lua"))
                   for path in (ROOT / folder).rglob(pattern)]
        said = re.sub(r'"\s*(\.\.)?\s*"', "", "\n".join(sources))  # texts that go on in the next line
        page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
        page = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
        quoted = [text for text in re.findall(r"`([^`]+)`", page) if len(text.split()) > 3]
        self.assertGreaterEqual(len(quoted), 3)
        for text in quoted:
            with self.subTest(text):
                self.assertTrue(all(part.strip() in said for part in text.split("…")), "no source says that")

    def test_no_page_speaks_of_a_file_that_is_not_there(self):
        for page in pages.all_pages():
            for path in re.findall(r"`((?:core|lua|scripts|tests|tools|bench|docs)/[\w/.-]*\w)`",
                                   page.read_text(encoding="utf-8")):
                if not re.search(r"_X\.|NAME", path):
                    with self.subTest(page=pages.short(page), path=path):
                        self.assertTrue((ROOT / path).exists(), "there is no such file")


if __name__ == "__main__":
    unittest.main()
