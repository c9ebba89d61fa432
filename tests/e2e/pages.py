"""The project's pages as tests see them: fenced blocks with their markers, links, and a shell for transcripts.

A comment before a block says what a test may not guess; it does not show in the rendered page:

    <!-- not run: REASON -->       a block that nobody can run here
    <!-- run by: PATH -->          a test of its own, which names the page; of a text: which expects four words of it
    <!-- on a cluster: REASON -->  commands that tests/e2e/kube/test_pages.py runs, because they need one
    <!-- slow: PROGRAM.HOLDER -->  PROGRAM takes for ever when that replica runs it
    <!-- file: NAME -->            its text is also the file NAME for the later blocks of the page
    <!-- part of: PATH -->         an excerpt: its lines stand together in that file of the project, which has its own test
    <!-- inside: k.flow -->        Lua for the inside of the table behind k.flow "name"
    <!-- inside: a value -->       Lua for the right side of an assignment
    <!-- inside: four functions -->  Lua behind those of a policy
    <!-- ends: CODE -->            a script that does not end with 0; CODE may be "not by itself"

A script whose first line is `-- NAME.lua` is that file without a comment.
"""

import re
import subprocess
import textwrap
from dataclasses import dataclass

from lib import ROOT, wait_for

FENCE = re.compile(r"^( *)```(\S*)\s*$")
MARKER = re.compile(r"^ *<!-- (not run|run by|on a cluster|slow|file|part of|inside|ends): (.*?) *-->$")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def all_pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def short(page):
    return str(page.relative_to(ROOT))


@dataclass
class Block:
    page: str
    line: int
    language: str
    text: str
    marker: str = ""
    argument: str = ""

    @property
    def where(self):
        return f"{self.page}:{self.line}"

    @property
    def is_script(self):
        """A whole script, not a part of one."""
        return self.language == "lua" and 'require "konductor"' in self.text

    @property
    def file(self):
        if self.marker == "file":
            return self.argument
        named = re.match(r"-- (\S+\.lua)$", self.text.split("\n", 1)[0])
        return named and named[1]


def blocks_of(page):
    """All fenced blocks of a page, in order.  Raises when a fence is not closed or a marker stands before nothing."""
    found, marker, block, indent = [], None, None, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if block:
            if fence and not fence[2] and fence[1] == indent:
                block.text = textwrap.dedent("\n".join(block.text)) + "\n"
                found.append(block)
                block = None
            else:
                block.text.append(line)
        elif fence:
            indent = fence[1]
            block = Block(short(page), number + 1, fence[2], [], *(marker or ("", "")))
            marker = None
        elif marker and line.strip():
            raise ValueError(f"{short(page)}:{number}: a marker stands before something that is no block")
        elif MARKER.match(line):
            marker = MARKER.match(line).groups()
    if block or marker:
        raise ValueError(f"{short(page)}: ends inside a block or after a marker")
    return found


def links_of(page):
    """Targets of the page's links within the project: (target, path, anchor)."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in LINK.findall(text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor


def anchors_of(page):
    """Anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# What differs from run to run, and between the author's machine and this one.
VARIABLE = [
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "TIME"),
    (re.compile(r"\bpid \d+"), "pid N"),
    (re.compile(r"\bfence \d+"), "fence N"),
    (re.compile(r"\b(free|free within|in) (?:[\d.]+(?:ms|s|m|h))+\b"), r"\1 T"),
    (re.compile(r"\bafter \d+ ms\b"), "after T"),
    (re.compile(r"/\S*/state\.db\b"), "STORE"),
    (re.compile(r"\bkube(-lease)?:\S+ at https://\S+ \(context .*\)"), r"kube\1:SERVER"),
    (re.compile(r"\b\d+s$"), "AGE"),
]


def masked(line):
    for pattern, word in VARIABLE:
        line = pattern.sub(word, line)
    return line.rstrip()


def steps_of(transcript):
    """Commands of a transcript, each with the lines that it shows: behind `$ ` a command, else output."""
    steps = []
    for line in transcript.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif steps:
            steps[-1][1].append(line)
        else:
            raise ValueError(f"output before the first command: {line}")
    return steps


class Terminal:
    """A shell that runs the commands of transcripts one after the other.  What they and their background jobs write
    belongs to the command that was given last."""

    def __init__(self, directory, env, wrapper=()):
        self.path = directory / "terminal"
        self.taken = 0
        self.count = 0
        with open(self.path, "wb") as output:
            self.process = subprocess.Popen([*wrapper, "bash", "--norc", "-m"], stdin=subprocess.PIPE, stdout=output,
                                            stderr=subprocess.DEVNULL, cwd=directory, env=env, start_new_session=True)

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def unread(self):
        """Whole lines that belong to the last command."""
        text = self.path.read_bytes()[self.taken:].decode(errors="replace")
        return text[: text.rfind("\n") + 1].splitlines()

    def do(self, command, expected, timeout=60):
        """Gives one command and waits until it has ended (a background job: was started) and exactly the expected
        lines are there.  Their order is not compared, because several processes may write at once."""
        self.count += 1
        end = f"--- end of command {self.count} ---"
        self.process.stdin.write(f"{{ {command}\n}} </dev/null 2>&1\necho '{end}'\n".encode())
        self.process.stdin.flush()
        wanted = sorted(map(masked, expected))

        def seen():
            lines = self.unread()
            return end in lines and sorted(masked(line) for line in lines if line != end) == wanted

        wait_for(seen, timeout, f"what the page shows for `{command}`:\n" + "\n".join(expected),
                 lambda: "it wrote:\n" + "\n".join(self.unread()))
        self.taken = self.path.stat().st_size
