"""The static binary alone, as PID 1 on a root file system that has nothing else but /proc, as in an empty image."""

import os
import shutil
import subprocess
import unittest

from lib import ClusterTest, binary

SCRIPT = '''
local k = require "konductor"
k.flow "shop" {
  k.stage "migrate" { version = "1", run = { "/konductor", "version" } },
  k.stage "seed" { after = "migrate", version = "1", run = function(ctx) ctx:exec { "/konductor", "version" } end },
  k.main { "/konductor", "help" },
}
'''


def is_dynamic(path):
    with open(path, "rb") as program:
        return b"/ld-linux" in program.read(4096)


@unittest.skipIf(is_dynamic(binary()), "needs the static binary: KONDUCTOR_BIN=$(tools/build-static | tail -n 1)")
class EmptyRoot(ClusterTest):
    def setUp(self):
        super().setUp()
        self.root = self.cluster.directory / "root"
        (self.root / "proc").mkdir(parents=True)
        shutil.copy(binary(), self.root / "konductor")
        self.cluster.file("root/init.lua", SCRIPT)
        self.namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        if os.geteuid() != 0:
            self.namespaces.insert(1, "--map-root-user")
        if subprocess.run([*self.namespaces, "true"], capture_output=True).returncode != 0:
            self.skipTest("no namespaces here")

    def run_in_root(self, *args):
        enter = f'mount -t proc proc {self.root}/proc && exec chroot {self.root} /konductor "$@"'
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        env = self.cluster.env({"KONDUCTOR_STORE": "sqlite:/state.db", "PATH": path})
        return subprocess.run([*self.namespaces, "sh", "-c", enter, "sh", *args], capture_output=True, text=True,
                              env=env, timeout=300)

    def test_a_flow_runs_its_stages_once_and_its_main_each_time(self):
        first = self.run_in_root("run", "--listen", "127.0.0.1:0", "/init.lua")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(first.stdout.count("LuaJIT"), 2, first.stdout)
        self.assertIn("konductor run init.lua", first.stdout)
        second = self.run_in_root("run", "--listen", "127.0.0.1:0", "/init.lua")
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertEqual(second.stdout.count("LuaJIT"), 0, second.stdout)
        self.assertIn("konductor run init.lua", second.stdout)

    def test_not_even_proc_is_needed(self):
        env = self.cluster.env({"KONDUCTOR_STORE": "sqlite:/state.db"})
        enter = ["unshare", "--map-root-user"] if os.geteuid() != 0 else []
        done = subprocess.run([*enter, "chroot", str(self.root), "/konductor", "run", "--listen", "off", "/init.lua"],
                              capture_output=True, text=True, env=env, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("LuaJIT"), 2, done.stdout)

    def test_it_copies_itself_into_a_volume(self):
        (self.root / "volume").mkdir()
        done = self.run_in_root("install", "/volume")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.root / "volume/konductor").read_bytes(), (self.root / "konductor").read_bytes())

    def test_luas_compiler_is_on(self):
        self.assertIn("(JIT on)", self.run_in_root("version").stdout)


if __name__ == "__main__":
    unittest.main()
