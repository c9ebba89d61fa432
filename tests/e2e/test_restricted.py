"""Kernels and sandboxes that forbid what a just-in-time compiler does."""

import ctypes
import unittest

from lib import ClusterTest

PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1


def refuse_exec_gain():
    """No page of this process and its children that is not executable may become so."""
    return ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


SCRIPT = """
local k = require "konductor"
local sum = 0
for i = 1, 1000000 do sum = sum + i % 7 end  -- hot enough to be compiled
k.flow "t" { k.main { "echo", tostring(sum) } }
"""


class NoExecutableMemory(ClusterTest):
    def test_a_script_runs_on_the_interpreter_where_compiling_is_forbidden(self):
        def forbid():
            if refuse_exec_gain() != 0:
                raise OSError("this kernel cannot forbid it")

        try:
            replica = self.cluster.start(self.cluster.script(SCRIPT), preexec_fn=forbid)
        except Exception as refused:  # raised in the child and handed to us as SubprocessError
            raise unittest.SkipTest(str(refused)) from refused
        self.assertEqual(replica.wait(), 0, replica.stderr)
        self.assertEqual(replica.stdout, "2999998\n")


if __name__ == "__main__":
    unittest.main()
