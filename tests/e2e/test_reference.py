"""The reference pages and the sources say the same: what is there is on a page, and what is on a page is there.

Fields of the kinds are compared by tests/lua/crds_spec.lua, the options of the library's functions with its description for
editors by tests/lua/library_spec.lua.
"""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import pages
from lib import PATIENCE, ROOT, ClusterTest, binary

REFERENCE = ROOT / "docs" / "reference"
# Options of other programs that the pages speak of by themselves.
OTHERS = {"--subresource", "--limit", "--partial", "--open", "--quick", "--only", "--fuzz", "--minutes", "--seed",
          "--from", "--dry-run", "--for", "--build-arg", "--platform", "--target"}
# The builders' and the tests' own.
NOT_FOR_USERS = {"KONDUCTOR_BIN", "KONDUCTOR_CLOCK_FILE", "KONDUCTOR_VERSION", "KONDUCTOR_STUCK_MS"}


def text_of(name):
    return (REFERENCE / name).read_text(encoding="utf-8")


def sources(*folders):
    return "\n".join(path.read_text(encoding="utf-8") for folder in folders for pattern in ("*.c", "*.h", "*.lua")
                     for path in sorted((ROOT / folder).rglob(pattern)))


def all_pages():
    """But the decisions, which also speak of what was rejected."""
    return [page for page in pages.all_pages() if page.parent.name != "decisions"]


def sections(text, mark):
    """Headings of that rank, each with what stands under it."""
    parts = re.split(rf"^{mark} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text):
    """What is code in the first column of the tables."""
    rows = re.findall(r"^\| ((?:\\\||[^|])*) \|", text, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def rows_of_options(text):
    """The options of the tables, without what they take: of each, every spelling."""
    rows = re.findall(r"^\| (`-(?:\\\||[^|])*) \|", text, re.MULTILINE)
    return [set(re.findall(r"`(--?[a-zA-Z-]+)", row)) for row in rows]


def spellings(text):
    return set().union(*rows_of_options(text))


def options_by_command():
    """Of each command, from the page that is made from the programs."""
    page = sections(text_of("commands.md"), "##")
    found = {title: spellings(body) for title, body in sections(page["konductor"], "###").items()}
    common = spellings(page["koncli"].split("### ")[0])
    for title, body in sections(page["koncli"], "###").items():
        usage = re.search(r"^`(.*)`$", body, re.MULTILINE)[1]
        found[title] = spellings(body) | (common if "[OPTIONS]" in usage else set())
    for title in found:
        found[title] |= {"-h", "--help"}
    for program in ("konductor", "koncli"):
        found[f"{program} version"] |= {"-o", "--output"}
    return found, common


OPTIONS, COMMON = options_by_command()


def code_of(page):
    """Each piece of code of a page: blocks, and what stands between backquotes."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (line for block in pages.blocks_of(page) for line in block.text.replace("\\\n", " ").splitlines())
    yield from (span.replace("\\|", "|") for span in re.findall(r"`([^`\n]+)`", prose))


def calls_in(code):
    """Command lines of konductor and koncli in a piece of code: the command, and its own options."""
    for program, words in re.findall(r"(?<![\w./@-])(konductor|koncli) ([a-z][^;&#()\n]*)", code):
        own = re.split(r" -- | \| |[<>]", words)[0].split()
        size = 2 if program == "koncli" and own[0] in ("once", "lease") else 1
        yield " ".join([program, *own[:size]]), re.findall(r"(?<!\S)\[?(--?[a-z][a-z-]*)", " ".join(own[size:]))


class Pages(unittest.TestCase):
    def test_those_made_from_the_sources_are_as_these_make_them(self):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["luajit", "tools/man/main.lua", "pages", directory], cwd=ROOT, check=True)
            for made in sorted(Path(directory).iterdir()):
                with self.subTest(made.name):
                    self.assertTrue(made.read_text(encoding="utf-8") == text_of(made.name),
                                    "make it anew: luajit tools/man/main.lua pages")

    def test_every_command_of_the_help_has_its_heading(self):
        for program in ("konductor", "koncli"):
            said = subprocess.run(["bash", "-c", f'exec -a {program} "$0" help', binary()], check=True, text=True,
                                  capture_output=True).stdout
            commands = re.findall(rf"^  ({program} (?:(?:once|lease) )?[a-z]+)", said, re.MULTILINE)
            self.assertGreater(len(commands), 8)
            for command in commands:
                with self.subTest(command):
                    self.assertIn(command, OPTIONS)


class Options(unittest.TestCase):
    def test_each_option_of_konductor_is_explained(self):
        explained = sections(text_of("cli.md"), "##")
        for command, made in sections(sections(text_of("commands.md"), "##")["konductor"], "###").items():
            body = "".join(f"{title} {text}" for title, text in explained.items() if title.startswith(f"`{command}"))
            for names in rows_of_options(made):
                with self.subTest(command=command, option=names):
                    self.assertTrue(names & set(re.findall(r"(?<![\w-])--?[a-z-]+", body)), "cli.md does not tell of it")

    def test_the_table_of_koncli_has_each_option_of_each_command_and_no_other(self):
        rows = [cell for cell in first_cells(text_of("koncli.md")) if re.match(r"koncli (once|lease|status)", cell)]
        told = {}
        for row in rows:
            (command, options), *_ = calls_in(row.replace("\\|", " "))
            told.setdefault(command, set()).update(options)
        self.assertEqual(set(told), {each for each in OPTIONS if re.match(r"koncli (once|lease|status)", each)})
        for command, options in told.items():
            with self.subTest(command):
                own = {each for each in OPTIONS[command] - COMMON - {"-h", "--help", "-o", "--output"} if each.startswith("--")}
                self.assertEqual(own, options)

    def test_no_page_gives_a_command_an_option_that_it_does_not_take(self):
        seen = 0
        for page in all_pages():
            for code in code_of(page):
                for command, options in calls_in(code):
                    for option in options if command in OPTIONS else ():
                        seen += 1
                        with self.subTest(page=pages.short(page), code=code):
                            self.assertTrue(option in OPTIONS[command] or self.is_joined(option, OPTIONS[command]), option)
        self.assertGreater(seen, 100)

    @staticmethod
    def is_joined(option, known):
        """-ojson, -qv."""
        return not option.startswith("--") and option[:2] in known

    def test_no_page_speaks_of_an_option_that_no_program_has(self):
        known = set().union(*OPTIONS.values()) | spellings(text_of("just-one-init.md")) | OTHERS
        for page in all_pages():
            for code in code_of(page):
                option = re.match(r"--[a-z][a-z-]*", code)
                if option:
                    with self.subTest(page=pages.short(page), code=code):
                        self.assertIn(option[0], known)

    def test_those_of_just_one_init_are_those_of_its_help(self):
        said = subprocess.run(["bash", "-c", 'exec -a just-one-init "$0" --help', binary()], check=True, text=True,
                              capture_output=True).stdout
        helped = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*(?=[ ,])", said.split("Options:")[1].split("Other")[0]))
        self.assertEqual(spellings(text_of("just-one-init.md")), helped)


class Examples(ClusterTest):
    """Those of the help, which are on the page of the commands too."""

    PROGRAMS = ("alembic", "worker", "gunicorn", "generate", "generate-report", "init-database", "kubectl", "dot", "jq")

    def setUp(self):
        super().setUp()
        for name in self.PROGRAMS:
            self.cluster.file(f"bin/{name}", "#!/bin/sh\ncase $0 in */generate) cat init.lua ;; esac\n", 0o755)
        for name in ("konductor", "koncli"):
            (self.cluster.directory / "bin" / name).symlink_to(binary())
        self.cluster.file("init.lua", 'local k = require "konductor"\nk.flow "shop" { k.stage "a" { run = { "true" } } }\n')

    def test_each_is_a_command_line_that_its_command_takes(self):
        lines = re.findall(r"^- `(.*?)`(?:: |$)", text_of("commands.md").replace("`: `", "`: "), re.MULTILINE)
        lines = [line for line in lines if re.search(r"\bkon(ductor|cli) ", line)]
        self.assertGreater(len(lines), 50)
        for number, line in enumerate(lines):
            with self.subTest(line):
                done = self.play(line, f"example-{number}")
                self.assertNotEqual(done.returncode, 64, done.stderr)
                self.assertNotRegex(done.stderr, r"(?m)^Try: |not found$")

    def play(self, line, namespace):
        """What would follow changes for ever, or write outside, or needs a cluster, is asked for help instead."""
        if re.search(r"--watch|/etc/|~/|@leader|kube-lease|/shared", line):
            line = re.sub(r" --( |$).*| >.*", "", line) + " --help"
        path = f"{self.cluster.directory}/bin:{os.environ['PATH']}"
        env = self.cluster.env({"PATH": path, "HOSTNAME": "h", "TAG": "v1", "TOKEN": "1", "KUBECONFIG": None,
                                "KONDUCTOR_NAMESPACE": namespace})
        return subprocess.run(["bash", "-c", line], cwd=self.cluster.directory, env=env, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=60 * PATIENCE, check=False)


class Library(unittest.TestCase):
    functions = {title for title in sections(text_of("functions.md"), "###") if title.startswith("k.")}

    def test_each_function_is_explained(self):
        page = text_of("lua.md")
        for name in sorted(self.functions):
            last = re.split(r"[.:]", name)[-1]
            with self.subTest(name):
                self.assertTrue(re.search(rf"[.:`]{re.escape(last)}\b", page), "lua.md does not tell of it")

    def test_no_page_uses_a_name_that_the_library_does_not_have(self):
        roots = {re.match(r"k\.\w+", name)[0] for name in self.functions} | {"k.command", "k.holder", "k.session"}
        for page in all_pages():
            for code in code_of(page):
                for name in re.findall(r"(?<![\w.\"/-])k\.[a-z_]+", code):
                    with self.subTest(page=pages.short(page), code=code):
                        self.assertIn(name, roots)

    def test_the_tables_of_options_are_complete_and_have_no_others(self):
        parts = sections(text_of("lua.md"), "##")
        made = sections(text_of("functions.md"), "###")
        for part, function in (("Flows", "k.stage"), ("Leases", "k.lease"), ("Commands", "k.exec")):
            table = re.search(r"^\| option \|.*?\n\n", parts[part], re.DOTALL | re.MULTILINE)[0]
            with self.subTest(function):
                known = set(first_cells(made[function])) - {"[1], [2]..."}
                self.assertEqual({name for name in first_cells(table) if re.fullmatch(r"[a-z_]+", name)} & known, known)
                self.assertLessEqual({row.split("`")[1] for row in table.splitlines()[2:] if "`" in row}, known)


class Words(unittest.TestCase):
    def compare(self, told, there):
        self.assertEqual(sorted(set(there) - set(told)), [], "no page tells of these")
        self.assertEqual(sorted(set(told) - set(there)), [], "these are told of and are not there")

    def test_variables_of_the_environment(self):
        pattern = r"\bKONDUCTOR_[A-Z_]*[A-Z]\b"
        there = set(re.findall(pattern, sources("core", "lua", "koncli"))) - NOT_FOR_USERS
        self.compare(re.findall(pattern, text_of("environment.md")), there)
        for page in all_pages():
            if page.name != "testing.md":
                with self.subTest(pages.short(page)):
                    self.assertLessEqual(set(re.findall(pattern, page.read_text(encoding="utf-8"))), there)

    def test_exit_codes_and_their_words(self):
        table = dict(re.findall(r'^X\(\w+, "(\w+)", (\d+),', (ROOT / "core" / "errors.def").read_text(), re.MULTILINE))
        page = text_of("exit-codes.md").split("\n## ")[0]
        told = {}
        for codes, words in re.findall(r"^\| ([\d, ]+) \|.*\| ([^|]*) \|$", page, re.MULTILINE):
            for code, word in zip(codes.split(", ") * 9, re.findall(r"`(\w+)`", words), strict=False):
                told[word] = code if "," not in codes else table[word]
        inner = {"conflict", "absent", "exists", "too_big", "cancelled"}  # ordinary outcomes, which no script ends with
        self.compare(told.items(), {pair for pair in table.items() if pair[0] not in inner})

    def test_troubleshooting_has_each_exit_code(self):
        page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
        table = "\n".join(re.findall(r"^\| (.*?) \|", page.split("\n## ")[0], re.MULTILINE))
        own = set(re.findall(r"^\| ([\d, ]+) \|", text_of("exit-codes.md").split("\n## ")[0], re.MULTILINE)) - {"0"}
        self.assertGreater(len(own), 9)
        for code in re.findall(r"\d+", " ".join(own)):
            with self.subTest(code):
                self.assertRegex(table, rf"\b{code}\b")

    def test_exit_codes_of_koncli(self):
        there = re.findall(r"^  [A-Z]+ = (\d+),$", (ROOT / "koncli" / "exit.lua").read_text(), re.MULTILINE)
        part = sections(text_of("koncli.md"), "##")["Exit codes"]
        self.compare(re.findall(r"^\| (\d+) \|", part, re.MULTILINE), there)

    def test_events_of_the_log(self):
        source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "lua" / "konductor").glob("*.lua")
                           if not path.name.startswith("history"))
        calls = re.findall(r"[.:]event\(([^{\n]*)", source) + re.findall(r'"(?:claim|accept)" (?:or|and) "\w+"', source)
        there = {name for call in calls for name in re.findall(r'"([a-z]+)"', call)}
        tables = "".join(body for title, body in sections(text_of("events.md"), "##").items()
                         if title in ("Holds", "Work that is done once", "Flows"))
        self.compare(first_cells(tables), there)

    def test_events_of_kubernetes(self):
        part = sections(text_of("objects.md"), "##")["Events"]
        source = (ROOT / "lua" / "konductor" / "kube" / "events.lua").read_text(encoding="utf-8")
        there = re.findall(r'return "([A-Z]\w+)"', source)
        there += [word for pair in re.findall(r'"(\w+)" or "(\w+)", "Fail"', source) for word in pair]
        self.compare(first_cells(part), there)

    def test_conditions(self):
        source = sources("lua/konductor")
        part = sections(text_of("objects.md"), "##")["Conditions"]
        told = re.findall(r"^\| `(\w+)` \| (?:both|Once|Lease) \|", part, re.MULTILINE)
        self.compare(told, re.findall(r'(?:set|set_condition)\((?:s|s\.conditions), "([A-Z]\w+)", ', source))
        for reason in re.findall(r"`([A-Z][A-Za-z]+)`", part):
            with self.subTest(reason):
                self.assertIn(f'"{reason}"', source)

    def test_metrics(self):
        pattern = r"\bkonductor_[a-z]+(?:_[a-z]+)*\b"
        there = set(re.findall(rf'"({pattern})"', sources("lua/konductor")))
        told = set()
        for page in all_pages():
            told.update(re.findall(rf"`({pattern})[`{{]", page.read_text(encoding="utf-8")))
        self.assertGreater(len(there), 4)
        self.compare(told, there)


if __name__ == "__main__":
    unittest.main()
