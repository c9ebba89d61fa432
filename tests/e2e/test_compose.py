"""The compose file and the Dockerfile of docs/quickstart.md are what they should be, and are played without an engine.

What an engine would make of them is processes with a root, a process table, a network and a host name of their own, and a
volume in common.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import pages
import yaml
from kube.containers import ENTER, first_process
from lib import PATIENCE, ROOT, ClusterTest, Replica, binary

PAGE = ROOT / "docs" / "quickstart.md"
NAMESPACES = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
# Before the container's own root: $1 is its host name.
BEFORE = 'ip link set lo up && hostname "$1" && shift && exec "$@"'


def can_isolate():
    return os.geteuid() == 0 and subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


def block(name):
    found, = [each for each in pages.blocks_of(PAGE) if each.text.startswith(f"# {name}\n")]
    return found.text


def script():
    found, = [each for each in pages.blocks_of(PAGE) if each.file == "init.lua"]
    return found.text


def dockerfile():
    """Its instructions, by their word."""
    return dict(line.split(" ", 1) for line in block("Dockerfile").splitlines() if re.match(r"[A-Z]+ ", line))


class Files(unittest.TestCase):
    compose = yaml.safe_load(block("compose.yaml"))

    @unittest.skipUnless(shutil.which("docker-compose"), "needs docker-compose; no engine")
    def test_docker_compose_takes_the_file_as_it_is_meant(self):
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "compose.yaml").write_text(block("compose.yaml"), encoding="utf-8")
            done = subprocess.run(["docker-compose", "-f", "compose.yaml", "config"], cwd=directory, text=True,
                                  capture_output=True, timeout=60 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        meant, = yaml.safe_load(done.stdout)["services"].values()
        service, = self.compose["services"].values()
        for key in ("environment", "deploy", "stop_grace_period"):
            self.assertEqual(meant[key], service[key])
        self.assertEqual(meant["healthcheck"]["test"], service["healthcheck"]["test"])

    def test_its_volumes_are_declared_and_have_the_store_in_them(self):
        for service in self.compose["services"].values():
            name, path = service["volumes"][0].split(":")
            self.assertIn(name, self.compose["volumes"])
            self.assertTrue(service["environment"]["KONDUCTOR_STORE"].startswith(f"sqlite:{path}/"))

    def test_the_engine_waits_longer_than_konductor(self):
        help_text = subprocess.run([binary(), "help", "run"], check=True, text=True, capture_output=True).stdout
        grace = int(re.search(r"--grace .*?Default: (\d+)s", help_text, re.DOTALL)[1])
        for service in self.compose["services"].values():
            self.assertGreater(int(service["stop_grace_period"].removesuffix("s")), grace)

    def test_the_script_is_where_the_entrypoint_looks(self):
        made = dockerfile()
        self.assertEqual(json.loads(made["ENTRYPOINT"])[:2], ["konductor", "run"])
        self.assertEqual(json.loads(made["ENTRYPOINT"])[2], f"{made['WORKDIR']}/init.lua")


@unittest.skipUnless(can_isolate(), "needs the right to make namespaces")
class Containers(ClusterTest):
    service = Files.compose["services"]["shop"]

    def setUp(self):
        super().setUp()
        self.volume = self.cluster.directory / "volume"
        self.volume.mkdir()
        self.app = self.cluster.directory / "app"
        self.image = self.cluster.directory / "image"
        self.image.mkdir()
        (self.image / "konductor").symlink_to("/opt-konductor")
        self.cluster.file("app/init.lua", script())
        self.program("image/alembic", "echo $HOSTNAME >> /state/migrated; [ ! -e /state/hang ] || exec sleep 1000")
        self.program("app/seed", "echo $HOSTNAME >> /state/seeded")
        self.program("image/gunicorn", "exec sleep 1000")

    def program(self, name, text):
        self.cluster.file(name, f"#!/bin/sh\n{text}\n", 0o755)

    def environment(self, name, tag=None):
        more = {"IMAGE_TAG": tag} if tag else {}
        return self.cluster.env({**self.service["environment"], "HOSTNAME": name, "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                                 "HOME": "/root", "KUBECONFIG": None, **more})

    def start(self, name, tag=None):
        directory = self.cluster.directory / f"{name}.{len(self.cluster.replicas)}"
        root, nothing = directory / "root", directory / "none"
        for each in (root, nothing):
            each.mkdir(parents=True)
        made = dockerfile()
        pairs = ["/state", self.volume, made["WORKDIR"], self.app, "/usr/local/bin", self.image, "/opt-konductor", binary()]
        argv = [*NAMESPACES, "sh", "-c", BEFORE, "-", name, "sh", "-c", ENTER, "-", str(root), str(nothing), *map(str, pairs),
                "--", "sh", "-c", f'cd {shlex.quote(made["WORKDIR"])} && exec "$@"', "-", *json.loads(made["ENTRYPOINT"])]
        with open(directory / "stdout", "wb") as out, open(directory / "stderr", "wb") as err:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                       env=self.environment(name, tag), start_new_session=True)
        container = Replica(self.cluster, name, process, directory)
        self.cluster.replicas.append(container)
        return container

    def up(self, tag=None):
        return [self.start(f"shop-{number + 1}", tag) for number in range(self.service["deploy"]["replicas"])]

    def exec(self, container, *argv):
        """What `docker compose exec` does."""
        inside = ["nsenter", "--target", str(first_process(container)), "--mount", "--pid", "--net", "--uts", "--ipc", "--root",
                  "--wd", *argv]
        return subprocess.run(inside, env=self.environment(container.name), text=True, capture_output=True,
                              timeout=60 * PATIENCE, check=False)

    def lines(self, name):
        path = self.volume / name
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    def wait_all_serve(self, containers):
        for each in containers:
            each.wait_stderr("main: started gunicorn")

    def stop(self, containers):
        for each in containers:
            os.kill(first_process(each), signal.SIGTERM)
        for each in containers:
            self.assertEqual(each.wait(), 128 + signal.SIGTERM, each.describe())

    def test_one_container_migrates_and_all_serve_and_are_healthy(self):
        containers = self.up()
        self.wait_all_serve(containers)
        self.assertEqual((len(self.lines("migrated")), len(self.lines("seeded"))), (1, 1))
        kind, *probe = self.service["healthcheck"]["test"]
        self.assertEqual(kind, "CMD")
        for each in containers:
            self.assertEqual(self.exec(each, *probe).returncode, 0)
        self.assertIn("2 of 2 stages done", self.exec(containers[0], "konductor", "plan", "/app/init.lua").stdout)
        self.stop(containers)

    def test_the_next_up_migrates_again_only_with_another_tag(self):
        for tag, expected in (("1.4.2", 1), ("1.4.2", 1), ("1.4.3", 2)):
            containers = self.up(tag)
            self.wait_all_serve(containers)
            self.assertEqual(len(self.lines("migrated")), expected, tag)
            self.stop(containers)

    def test_a_container_that_is_killed_while_it_migrates_is_followed_at_once(self):
        (self.volume / "hang").touch()
        first = self.start("shop-1")
        first.wait_for(lambda: self.lines("migrated"), what="its migration")
        others = [self.start("shop-2"), self.start("shop-3")]
        for each in others:
            each.wait_stderr("is being worked on by shop-1")
        (self.volume / "hang").unlink()
        os.kill(first_process(first), signal.SIGKILL)
        self.wait_all_serve(others)
        self.assertEqual(len(self.lines("migrated")), 2)
        self.assertTrue(any("(executor shop-1 is dead)" in each.stderr for each in others), self.cluster.describe())
        self.stop(others)


if __name__ == "__main__":
    unittest.main()
