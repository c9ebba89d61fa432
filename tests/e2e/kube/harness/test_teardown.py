"""Clusters that leave nothing behind, however they end; the command line of tools/cluster; the build."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from kube.cluster import Cluster, wait_for
from konkube import build
from lib import ROOT

TOOL = str(ROOT / "tools" / "cluster")
PATIENCE = 60
# A test process that only says which processes it started, and waits for the end of its input.
OWNER = """
import sys
from kube.cluster import Cluster
with Cluster() as c:
    print(c.keeper.pid, c.pid("etcd"), c.pid(0), c.directory, flush=True)
    sys.stdin.read()
"""


def lives(pid):
    """False also for one that has ended and waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Teardown(unittest.TestCase):
    """Nothing is left, however it ends."""

    def owner(self):
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "e2e")}
        process = subprocess.Popen([sys.executable, "-c", OWNER], text=True, env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.addCleanup(lambda: process.returncode is None and process.communicate(timeout=PATIENCE))
        *pids, directory = process.stdout.readline().split()
        self.assertTrue(all(map(lives, pids)))
        return process, pids, Path(directory)

    def assert_gone(self, pids):
        wait_for(lambda: not any(map(lives, pids)), f"the end of {pids}", PATIENCE)

    def test_the_end_of_a_with_block_ends_every_process_and_removes_the_directory(self):
        process, pids, directory = self.owner()
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertFalse(any(map(lives, pids)))
        self.assertFalse(directory.exists())

    def test_an_owner_that_is_killed_takes_everything_with_it(self):
        process, pids, directory = self.owner()
        process.kill()
        self.assert_gone(pids)
        wait_for(lambda: not directory.exists(), "the directory to be removed", PATIENCE)

    def test_a_keeper_that_is_killed_takes_its_servers_with_it(self):
        process, pids, _ = self.owner()
        os.kill(int(pids[0]), signal.SIGKILL)
        self.assert_gone(pids)

    def test_a_server_that_cannot_start_says_why_and_leaves_nothing(self):
        cluster = Cluster(flags=["--no-such-flag"])
        with self.assertRaisesRegex(OSError, "unknown flag: --no-such-flag"):
            cluster.up()
        self.assertFalse(cluster.directory.exists())
        self.assertIsNotNone(cluster.keeper.poll())


class Ports(unittest.TestCase):
    def test_a_port_that_somebody_else_took_is_replaced(self):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
            taken = [s.getsockname()[1] for s in sockets]

            class Unlucky(Cluster):
                def ask(self, do, **how):
                    found = super().ask(do, **how)
                    if do == "ports" and taken:
                        found[-1] = taken.pop()
                    return found

            c = stack.enter_context(Unlucky())
            self.assertEqual(c.request("GET", "/readyz").status, 200)
            ports = {s.getsockname()[1] for s in sockets}
            self.assertFalse(ports & {*c.state["ports"], *c.state["etcd_ports"]})
            self.assertEqual(taken, [])


class CommandLine(unittest.TestCase):
    def tool(self, *arguments, **how):
        return subprocess.run([TOOL, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240,
                              **how)

    def test_up_status_kubectl_restart_and_down_by_name(self):
        named = ["--name", f"test-{os.getpid()}"]
        self.addCleanup(self.tool, "down", *named)
        up = self.tool("up", *named)
        self.assertEqual(up.returncode, 0, up.stderr)
        config = up.stdout.splitlines()[-1]
        self.assertTrue(Path(config).is_file())
        self.assertEqual(self.tool("up", *named).stdout, up.stdout)
        self.assertEqual(self.tool("kubectl", *named, "create", "configmap", "x").returncode, 0)
        before = self.tool("status", *named)
        self.assertEqual((before.returncode, len(before.stdout.splitlines())), (0, 2))
        for what in ("etcd", "apiserver"):
            self.assertEqual(self.tool("restart", *named, what).returncode, 0)
        self.assertNotEqual(self.tool("status", *named).stdout, before.stdout)
        self.assertIn("configmap/x", self.tool("kubectl", *named, "get", "configmap", "-o", "name").stdout)
        self.assertEqual(self.tool("down", *named).returncode, 0)
        self.assertFalse(Path(config).parent.exists())
        self.assertEqual(self.tool("status", *named).returncode, 1)

    def test_run_ends_as_its_command_does_and_leaves_nothing(self):
        done = self.tool("run", "--", "sh", "-c", "kubectl get ns >&2; echo $KUBECONFIG; exit 7")
        self.assertEqual(done.returncode, 7)
        self.assertIn("kube-system", done.stderr)
        self.assertFalse(Path(done.stdout.strip()).parent.exists())

    def test_a_terminated_run_ends_its_command_and_its_servers(self):
        process = subprocess.Popen([TOOL, "run", "--", "sh", "-c", "echo $KUBECONFIG; exec sleep 1000"], text=True,
                                   stdout=subprocess.PIPE)
        config = process.stdout.readline().strip()
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 128 + signal.SIGTERM)
        process.stdout.close()
        self.assertFalse(Path(config).parent.exists())


class Programs(unittest.TestCase):
    def tool(self, **env):
        return subprocess.Popen([TOOL, "build"], env={**os.environ, **env}, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def test_an_installed_set_is_taken_as_it_is(self):
        with tempfile.TemporaryDirectory() as empty:
            there = build.find().directory
            done = self.tool(KUBEBUILDER_ASSETS=str(there), XDG_CACHE_HOME=empty)
            self.assertEqual(done.communicate(timeout=PATIENCE), (f"{there}\n", ""))
            done = self.tool(KUBEBUILDER_ASSETS=empty)
            self.assertIn("has no kube-apiserver, kubectl, etcd", done.communicate(timeout=PATIENCE)[1])
            self.assertEqual(done.returncode, 1)

    def test_a_second_caller_waits_for_the_first_ones_build_and_takes_its_result(self):
        with tempfile.TemporaryDirectory() as cache:
            mine = Path(cache, "konductor")
            mine.mkdir()
            with open(mine / "kube.lock", "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                second = self.tool(XDG_CACHE_HOME=cache)
                self.assertIn("another process builds", second.stderr.readline())
                result = mine / f"kube-{build.VERSION[1:]}-{build.recipe()}"
                result.symlink_to(build.find().directory)
            self.assertEqual(second.communicate(timeout=PATIENCE), (f"{result}\n", ""))


if __name__ == "__main__":
    unittest.main()
