"""What the pages show on a cluster: commands work as they stand there, transcripts are played again, manifests are taken."""

import subprocess
import unittest

import pages
from kube.cluster import shared_cluster
from kube.test_crds import install
from lib import PATIENCE, ROOT, Cluster as Replicas, check_sanitizers, tail
from test_docs import BLOCKS, Place

HERE = "on a cluster"


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared_cluster()
        install(cls.c)

    def place(self, replicas):
        """A namespace of its own, and the programs of the pages."""
        place = Place(replicas)
        (place.directory / "deploy").symlink_to(ROOT / "deploy")
        (place.directory / "bin" / "kubectl").symlink_to(self.c.programs.kubectl)
        config = self.c.kubeconfig(namespace=self.c.namespace())
        return place, {**self.c.environment(), **place.env(KUBECONFIG=config, STAY="1")}

    def test_commands_that_need_a_cluster_work(self):
        played = 0
        for page in sorted({block.page for block in BLOCKS if block.marker == HERE}):
            with self.subTest(page), Replicas() as replicas:
                played += self.play_page([block for block in BLOCKS if block.page == page], replicas)
        self.assertGreater(played, 8)

    def play_page(self, blocks, replicas):
        place, env = self.place(replicas)
        terminal, played = pages.Terminal(place.directory, env), 0
        try:
            for block in blocks:
                if block.file:
                    (place.directory / block.file).write_text(block.text, encoding="utf-8")
                elif block.marker == HERE:
                    self.play(block, place, env, terminal)
                    played += 1
        finally:
            terminal.close()
        check_sanitizers(blocks[0].page, terminal.path.read_text(errors="replace"))
        return played

    def play(self, block, place, env, terminal):
        if block.language == "console":
            for command, output in pages.steps_of(block.text):
                terminal.do(command, output, timeout=120)
            return
        done = subprocess.run(["bash", "-euc", block.text], cwd=place.directory, env=env, capture_output=True, text=True,
                              timeout=120 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, f"{block.where}\n{tail(done.stdout)}\n{tail(done.stderr)}")

    def test_manifests_are_taken_by_the_server(self):
        """Those that are no excerpts of a file, which is tested where it lies; and of kinds that are known here."""
        namespace, taken = self.c.namespace(), 0
        for block in BLOCKS:
            if block.language == "yaml" and not block.marker and "monitoring.coreos.com" not in block.text:
                with self.subTest(block.where):
                    self.c.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-",
                                   input=block.text)
                    taken += 1
        self.assertGreater(taken, 1)


if __name__ == "__main__":
    unittest.main()
