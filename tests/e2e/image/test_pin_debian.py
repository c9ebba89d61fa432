"""tools/pin-debian: apt takes what there was at one moment, from where Debian's own images say that it is kept."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from image.container import ROOT

# As Debian's own images have it.
SOURCES = """\
Types: deb
# http://past.example/archive/debian/20250520T000000Z
URIs: http://now.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
# http://past.example/archive/debian-security/20250520T000000Z
URIs: http://now.example/debian-security
Suites: bookworm-security
Components: main
"""


class PinDebian(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.apt = self.root / "etc/apt"
        for name in ("sources.list.d", "apt.conf.d"):
            (self.apt / name).mkdir(parents=True)
        self.sources = self.apt / "sources.list.d/debian.sources"
        self.sources.write_text(SOURCES, encoding="utf-8")

    def pin(self, moment):
        return subprocess.run([ROOT / "tools/pin-debian", moment, self.root], capture_output=True, text=True, check=False)

    def test_every_archive_is_replaced_by_that_of_the_moment(self):
        self.assertEqual(0, self.pin("20261101T120000Z").returncode)
        lines = self.sources.read_text(encoding="utf-8").splitlines()
        self.assertEqual(["URIs: http://past.example/archive/debian/20261101T120000Z",
                          "URIs: http://past.example/archive/debian-security/20261101T120000Z"],
                         [line for line in lines if line.startswith("URIs:")])
        self.assertNotIn("now.example", "\n".join(lines))

    def test_apt_reads_what_it_has_written_and_believes_an_old_index(self):
        self.pin("20261101T120000Z")
        asked = subprocess.run(["apt-get", "-o", f"Dir={self.root}", "update", "--print-uris"], capture_output=True, text=True,
                               check=True).stdout
        self.assertEqual(["http://past.example/archive/debian-security/20261101T120000Z/dists/bookworm-security/InRelease",
                          "http://past.example/archive/debian/20261101T120000Z/dists/bookworm-updates/InRelease",
                          "http://past.example/archive/debian/20261101T120000Z/dists/bookworm/InRelease"],
                         sorted(re.findall(r"'(\S+/InRelease)'", asked)))
        shown = subprocess.run(["apt-config", "-o", f"Dir={self.root}", "shell", "valid", "Acquire::Check-Valid-Until"],
                               env={"APT_CONFIG": str(next((self.apt / "apt.conf.d").iterdir())), "PATH": "/usr/bin:/bin"},
                               capture_output=True, text=True, check=True).stdout
        self.assertEqual("valid='false'\n", shown)

    def test_no_moment_changes_nothing(self):
        self.assertEqual(0, self.pin("").returncode)
        self.assertEqual(SOURCES, self.sources.read_text(encoding="utf-8"))

    def test_what_is_no_moment_is_refused(self):
        for moment in ("yesterday", "20261101", "20261101T120000", "2026-11-01T12:00:00Z"):
            done = self.pin(moment)
            self.assertEqual((1, SOURCES), (done.returncode, self.sources.read_text(encoding="utf-8")), moment)
            self.assertIn("is no moment", done.stderr)

    def test_a_base_that_does_not_name_the_past_is_refused_and_left_as_it_is(self):
        for text in (SOURCES.replace("# http", "# was http"), SOURCES.replace("# http", "# was http", 1), ""):
            self.sources.write_text(text, encoding="utf-8")
            done = self.pin("20261101T120000Z")
            self.assertEqual((1, text), (done.returncode, self.sources.read_text(encoding="utf-8")))
            self.assertIn("past", done.stderr)


if __name__ == "__main__":
    unittest.main()
