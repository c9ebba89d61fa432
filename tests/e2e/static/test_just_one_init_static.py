"""The static binary as the image of just-one-init: a root with nothing in it but its names, and /proc."""

import os
import shutil
import subprocess
import unittest

from lib import ClusterTest, binary


def is_dynamic(path):
    with open(path, "rb") as program:
        return b"/ld-linux" in program.read(4096)


@unittest.skipIf(is_dynamic(binary()), "needs the static binary: KONDUCTOR_BIN=$(tools/build-static | tail -n 1)")
class EmptyImage(ClusterTest):
    def setUp(self):
        super().setUp()
        self.root = self.cluster.directory / "root"
        for directory in ("proc", "bin", "usr/local/bin", "just-one-init", "state"):
            (self.root / directory).mkdir(parents=True)
        shutil.copy(binary(), self.root / "usr/local/bin/just-one-init")
        os.link(self.root / "usr/local/bin/just-one-init", self.root / "bin/cp")
        self.namespaces = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "--pid", "--fork",
                           "--kill-child"]
        if subprocess.run([*self.namespaces, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no namespaces here")

    def run_in_root(self, *argv, **env):
        enter = f'mount -t proc proc {self.root}/proc && exec chroot {self.root} "$@"'
        env = self.cluster.env({"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin:/bin", "LISTEN_ADDR": "127.0.0.1:0", **env})
        return subprocess.run([*self.namespaces, "sh", "-c", enter, "sh", *argv], capture_output=True, text=True, env=env,
                              timeout=300, check=False)

    def test_its_init_container_and_its_container_run_as_the_manifest_has_them(self):
        done = self.run_in_root("cp", "-v", "/usr/local/bin/just-one-init", "/just-one-init/just-one-init")
        self.assertEqual((0, "'/usr/local/bin/just-one-init' -> '/just-one-init/just-one-init'\n"),
                         (done.returncode, done.stdout), done.stderr)
        shutil.rmtree(self.root / "usr")
        shutil.rmtree(self.root / "bin")
        done = self.run_in_root("/just-one-init/just-one-init", "--", "/just-one-init/just-one-init", "--version",
                                LEASE_NAME="the-lease-name", KONDUCTOR_STORE="sqlite:/state/db")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertTrue(done.stdout.startswith("just-one-init ("), done.stdout)
        self.assertIn("the-lease-name: held, fence", done.stderr)


if __name__ == "__main__":
    unittest.main()
