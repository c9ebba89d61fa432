"""Exit codes of every verb on a real API server, as custom resources and as Leases alone: the table of exit_codes.py, and what
only a server can be: one that hangs, that grants no rights, that does not know our kinds."""

import socket
import subprocess
import unittest

from exit_codes import ALL, Rows, put_in
from kube.cluster import Cluster as Server
from kube.test_koncli_steps import OnServer
from lib import PATIENCE, binary, check_sanitizers

SCRIPT = 'local k = require "konductor"\nk.once "job" { run = { "touch", "ran" } }\n'
# What konductor and koncli say where the server is of no use.
KONDUCTOR = {"rightless": (78, "missing"), "silent": (74, "127.0.0.1"), "undefined": (78, "konductor crds | kubectl apply")}
UNDEFINED = (1, "konductor crds | kubectl apply")


class OnKubernetes(Rows, OnServer):
    # Nothing of these asks a server.
    test_of_a_command_line_that_is_wrong = None

    def with_kubeconfig(self, path):
        self.extra["KUBECONFIG"] = path

    def konductor(self, state):
        """`plan` and `run` where the server is of no use end with its code, and run nothing."""
        code, words = KONDUCTOR[state]
        script = self.cluster.script(SCRIPT)
        started = [subprocess.Popen([binary(), verb, script, *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, env=self.environment(), cwd=self.cluster.directory)
                   for verb, more in (("plan", []), ("run", ["--listen", "off"]))]
        for process in started:
            self.addCleanup(self.end, process)
            out, err = process.communicate(timeout=300 * PATIENCE)
            with self.subTest(process.args[1:]):
                check_sanitizers(state, err)
                self.assertEqual((process.returncode, out), (code, ""), err)
                self.assertIn(words, err)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_without_rights(self):
        token = self.c.service_account(self.ns, "powerless")
        self.with_kubeconfig(self.c.kubeconfig(user=f"{self.ns}-powerless", token=token, namespace=self.ns))
        self.play_at_once("rightless", lambda argv: ([self.path, *argv], self.environment()))
        self.konductor("rightless")

    def test_of_a_server_that_hangs(self):
        """It takes connections and never says a word."""
        with socket.create_server(("127.0.0.1", 0), backlog=64) as mute:
            self.with_kubeconfig(self.c.kubeconfig(url=f"https://127.0.0.1:{mute.getsockname()[1]}", namespace=self.ns))
            self.play_at_once("silent", lambda argv: ([self.path, *argv], self.environment()))
            self.konductor("silent")


class AsCustomResources(OnKubernetes):
    def test_of_a_server_that_does_not_know_our_kinds(self):
        with Server() as bare:
            self.with_kubeconfig(bare.kubeconfig())
            code, words = UNDEFINED
            for verb in ALL:
                with self.subTest(verb):
                    self.assertIn(words, self.refused(code, *put_in(verb, [])))
            self.konductor("undefined")


class AsLeasesAlone(OnKubernetes):
    store = "kube-lease"


del OnKubernetes, OnServer, Rows

if __name__ == "__main__":
    unittest.main()
