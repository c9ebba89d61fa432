"""The image that tools/image built: what is in it, and that it does its work as a restricted pod has to run it."""

import filecmp
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from image.container import ROOT, Image, archive
from lib import wait_for
from pages import blocks_of

MAX_BYTES = 9_000_000  # promised, of the archive and of what it becomes on a node's disk
NAMES = ["bin/cp", "konductor", "usr/local/bin/just-one-init", "usr/local/bin/koncli", "usr/local/bin/konductor",
         "usr/local/bin/kubectl-konductor"]
# What a container does that lasts until somebody lets it go on: the program that it waits with is the only one there is.
SCRIPT = """
local k = require "konductor"
k.flow "shop" {
  k.stage "migrate" { version = "1", run = { "konductor", "version" } },
  k.main { "koncli", "lease", "acquire", "gate", "--wait" },
}
"""
STAGE = """
local k = require "konductor"
k.flow "shop" { k.stage "migrate" { version = "1", run = { "/shared/konductor", "version" } } }
"""


class ImageTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.image = Image(archive(), self.directory)

    def volume(self, name):
        """As an emptyDir is: root's, and for everybody to write."""
        path = self.directory / name
        path.mkdir()
        path.chmod(0o777)
        return path

    def run_well(self, *words, **how):
        done = self.image.run(*words, **how)
        self.assertEqual(0, done.returncode, done.stdout)
        return done.stdout


class Files(ImageTest):
    def test_it_has_the_program_its_names_and_the_list_of_what_is_linked_in_and_no_other_file(self):
        files = sorted(member.name for member in self.image.members if not member.isdir())
        self.assertEqual([*NAMES, "usr/share/sbom/konductor.spdx.json"], files)

    def test_its_names_are_one_file_on_the_disk(self):
        self.assertEqual(1, len({os.stat(self.image.root / name).st_ino for name in NAMES}))

    def test_archive_and_files_take_at_most_nine_megabytes(self):
        files = {member.name: os.stat(self.image.root / member.name) for member in self.image.members if member.isfile() or
                 member.islnk()}
        self.assertLessEqual(sum({each.st_ino: each.st_size for each in files.values()}.values()), MAX_BYTES)
        self.assertLessEqual(sum(member.size for member in self.image.members), MAX_BYTES)
        self.assertLessEqual(archive().stat().st_size, MAX_BYTES)

    def test_nothing_in_it_can_be_changed_by_who_runs_it_or_lends_rights(self):
        for member in self.image.members:
            self.assertEqual((0, 0), (member.uid, member.gid), member.name)
            self.assertEqual(0, member.mode & 0o7022, member.name)

    def test_its_user_is_a_number_that_is_not_roots(self):
        self.assertRegex(self.image.config["config"]["User"], r"^[1-9]\d*:[1-9]\d*$")

    def test_its_labels_have_the_version_that_the_program_tells(self):
        labels = {name.removeprefix("org.opencontainers.image."): value
                  for name, value in self.image.config["config"]["Labels"].items()}
        self.assertEqual(["description", "revision", "title", "version"], sorted(labels))
        self.assertEqual(labels["version"], json.loads(self.run_well("version", "-o", "json"))["konductor"])


class Containers(ImageTest):
    def koncli(self, state, *words):
        return self.run_well(*words, command=["koncli"], env={"KONDUCTOR_STORE": "sqlite:/state/db"}, volumes={"/state": state})

    def shop(self):
        """A container that has run its stage and stays in its main stage, and the volume of its records."""
        state, scripts = self.volume("state"), self.volume("scripts")
        (scripts / "init.lua").write_text(SCRIPT, encoding="utf-8")
        self.koncli(state, "lease", "acquire", "gate", "--holder", "test", "--ttl", "10h")
        container = self.image.start("run", "/etc/konductor/init.lua", env={"KONDUCTOR_STORE": "sqlite:/state/db"},
                                     volumes={"/state": state, "/etc/konductor": (scripts, "ro")})
        self.addCleanup(container.__exit__)
        container.wait_said("main: started koncli")
        wait_for(lambda: container.exec("/konductor", "probe").returncode == 0, what="ready", describe=container.said)
        return container, state

    def test_each_name_answers_as_what_it_is(self):
        for name, said in {"konductor": "konductor run", "koncli": "koncli once", "kubectl-konductor": "koncli once",
                           "just-one-init": "just-one-init"}.items():
            with self.subTest(name):
                self.assertIn(said, self.run_well("--help", command=[name]))

    def test_luas_compiler_is_on_and_can_be_turned_off(self):
        self.assertIn("(JIT on)", self.run_well("version"))
        self.assertIn("(JIT off)", self.run_well("version", env={"KONDUCTOR_JIT": "off"}))

    def test_a_flow_runs_as_nobody_without_rights_on_a_root_that_it_cannot_write(self):
        container, state = self.shop()
        fields, root = container.status()
        self.assertEqual(["65532"] * 4, fields["Uid"].split())
        self.assertEqual(["65532"] * 4, fields["Gid"].split())
        self.assertEqual({"0" * 16}, {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")})
        self.assertEqual("1", fields["NoNewPrivs"])
        self.assertIn("ro", root)
        self.assertIn("has been executed", self.koncli(state, "once", "check", "shop.migrate"))
        self.koncli(state, "lease", "release", "gate", "--force")
        done = container.wait()
        self.assertEqual(0, done.returncode, done.stdout)

    def test_an_exec_probe_finds_it_alive_and_no_leader(self):
        container, _ = self.shop()
        self.assertEqual(0, container.exec("konductor", "probe", "/livez").returncode)
        self.assertEqual(1, container.exec("konductor", "probe", "/leaderz").returncode)

    def test_the_end_of_a_pod_ends_it(self):
        container, state = self.shop()
        container.kill("TERM")
        done = container.wait()
        self.assertEqual(143, done.returncode, done.stdout)
        self.assertIn("has been executed", self.koncli(state, "once", "check", "shop.migrate"))


class InitContainers(ImageTest):
    """It copies itself into a volume, and another image, which has nothing of it, runs it from there."""

    def command(self, manifest, number):
        """The command of a container of a manifest, as it stands there."""
        text = (ROOT / "deploy" / manifest).read_text(encoding="utf-8")
        return re.findall(r"^\s+command: \[(.*)\]$", text, re.M)[number].split(", ")

    def other_image(self):
        root = self.directory / "other"
        root.mkdir()
        return root

    def test_install_does_what_the_deployment_asks_of_it(self):
        shared, state, scripts = self.volume("shared"), self.volume("state"), self.volume("scripts")
        (scripts / "init.lua").write_text(STAGE, encoding="utf-8")
        self.run_well(command=self.command("base/deployment.yaml", 0), volumes={"/shared": shared})
        self.assertTrue(filecmp.cmp(self.image.root / "konductor", shared / "konductor", shallow=False))
        how = {"root": self.other_image(), "env": {"KONDUCTOR_STORE": "sqlite:/state/db"},
               "volumes": {"/shared": (shared, "ro"), "/state": state, "/etc/konductor": (scripts, "ro")}}
        self.assertIn("LuaJIT", self.run_well(command=self.command("base/deployment.yaml", 1), **how))
        self.assertNotIn("LuaJIT", self.run_well(command=self.command("base/deployment.yaml", 1), **how))
        self.assertIn("has been executed", self.run_well("once", "check", "shop.migrate", command=["/shared/koncli"], **how))

    def test_install_again_replaces_what_a_restarted_pod_finds(self):
        shared = self.volume("shared")
        for _ in range(2):
            self.run_well("install", "/shared", volumes={"/shared": shared})
        self.assertEqual(["just-one-init", "koncli", "konductor"], sorted(os.listdir(shared)))

    def test_install_without_a_volume_says_what_cannot_be_written(self):
        done = self.image.run("install", "/usr/local/bin")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("Read-only file system", done.stdout)

    def test_cp_does_what_the_manifest_of_just_one_init_asks_of_it(self):
        shared, state = self.volume("just-one-init"), self.volume("state")
        said = self.run_well(command=self.command("examples/just-one-init.yaml", 0), volumes={"/just-one-init": shared})
        self.assertEqual("'/usr/local/bin/just-one-init' -> '/just-one-init/just-one-init'\n", said)
        command = self.command("examples/just-one-init.yaml", 1)[:2]
        said = self.run_well("/just-one-init/just-one-init", "--version", command=command, root=self.other_image(),
                             env={"LEASE_NAME": "the-lease-name", "KONDUCTOR_STORE": "sqlite:/state/db"},
                             volumes={"/just-one-init": (shared, "ro"), "/state": state})
        self.assertIn("the-lease-name: held, fence", said)
        self.assertIn("just-one-init (", said)


class OtherImages(ImageTest):
    """The line of docs/guides/image.md for the Dockerfile of somebody's program, built as it stands there."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.buildah, "umount", "--all")

    def buildah(self, *words):
        where = ["--root", self.directory / "root", "--runroot", self.directory / "run", "--storage-driver", "vfs"]
        done = subprocess.run(["buildah", *where, *words], text=True, capture_output=True, timeout=300, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout.strip().rpartition("\n")[2]

    def test_one_line_brings_the_program_into_another_image(self):
        line, = [block.text for block in blocks_of(ROOT / "docs/guides/image.md") if block.language == "dockerfile"]
        context = self.directory / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM scratch\n" + line, encoding="utf-8")
        self.buildah("tag", self.buildah("pull", "-q", f"oci-archive:{archive()}"), "konductor")
        self.buildah("bud", "-q", "--isolation", "chroot", "--pull-never", "-t", "other", context)
        root = Path(self.buildah("mount", self.buildah("from", "--pull-never", "other")))
        copy = root / "usr/local/bin/konductor"
        self.assertTrue(filecmp.cmp(self.image.root / "konductor", copy, shallow=False))
        self.assertTrue(os.access(copy, os.X_OK))


if __name__ == "__main__":
    unittest.main()
