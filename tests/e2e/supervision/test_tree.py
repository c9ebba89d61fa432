"""The whole tree of a program: nothing of it outlives konductor, its deadline, or its own last word to the store."""

import os
import signal
import subprocess
import unittest

from lib import PATIENCE, SANITIZER_KB, ClusterTest, binary, boot_ms, children, marked, wait_for

MAIN = '''
local k = require "konductor"
k.flow "t" { k.main() }
'''
# A daemon: forked twice, in a session of its own, deaf to requests; and a shell with children of its own.
FAMILY = """
(setsid sh -c 'trap "" TERM INT HUP; echo daemon; while :; do sleep 0.02; done' &)
sh -c 'sleep 1000 & sleep 1000 & wait' &
wait
"""
ORPHANS = """
(setsid sh -c 'trap "echo asked; exit" TERM; echo daemon > up; while :; do sleep 0.02; done' &)
until [ -s up ]; do sleep 0.01; done
exit 3
"""


def unshare(*options):
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--pid", "--fork", *options]

class Tree(ClusterTest):
    wrapper = ()

    def start_main(self, shell, **how):
        self.replica = self.cluster.start(
            self.cluster.script(MAIN, "main.lua"), command=("sh", "-c", shell), wrapper=self.wrapper, **how)
        return self.replica

    def konductor(self):
        """The pid of konductor itself, which is not the wrapper's."""
        return wait_for(lambda: children(self.replica.pid), what="konductor")[0] if self.wrapper else self.replica.pid

    def expect_nothing_left(self):
        wait_for(lambda: not marked(self.cluster.mark), what="the end of the tree", describe=self.cluster.describe)

    def test_stopping_ends_the_whole_tree_before_konductor(self):
        replica = self.start_main(FAMILY, options=["--grace", "300ms"])
        replica.wait_stdout("daemon")
        os.kill(self.konductor(), signal.SIGTERM)
        self.assertEqual(replica.wait(), 128 + signal.SIGTERM)
        self.assertEqual(marked(self.cluster.mark), [])

    def test_what_a_program_leaves_behind_is_ended_and_waited_for(self):
        replica = self.start_main(ORPHANS, options=["--grace", "1000s"])
        self.assertEqual(replica.wait(), 3)
        self.assertEqual(marked(self.cluster.mark), [])
        self.assertEqual(replica.stdout, "asked\n")

    def test_the_tree_dies_with_konductor(self):
        replica = self.start_main(FAMILY)
        replica.wait_stdout("daemon")
        os.kill(self.konductor(), signal.SIGKILL)
        replica.wait()
        self.expect_nothing_left()


class TreeOfPid1(Tree):
    wrapper = unshare("--mount-proc")

    def test_orphans_of_others_are_reaped(self):
        script = self.cluster.script('''
            local k = require "konductor"
            k.lease "boss" { ttl = "15s", main = { "sleep", "1000" } }
        ''')
        self.cluster.start(script, name="holder").wait_event("start")
        self.replica = self.cluster.start(script, name="waiter", wrapper=self.wrapper)
        self.replica.wait_stderr("held by")
        konductor = self.konductor()
        fifo = self.cluster.directory / "fifo"
        os.mkfifo(fifo)
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        subprocess.run(
            ["nsenter", "--target", str(konductor), "--pid", *user, "sh", "-c", f"sh -c 'read word < {fifo}' &"],
            check=True, timeout=60 * PATIENCE, env=self.cluster.env())
        stray = wait_for(lambda: children(konductor), what="a stray child of konductor")
        self.assertEqual(len(stray), 1)
        with open(fifo, "w", encoding="ascii") as file:
            file.write("go\n")
        wait_for(lambda: not children(konductor), what="the reaping of the stray")
        self.assertTrue(self.replica.running)


class TreeOfPid1WithAForeignProc(Tree):
    """/proc is the one of another namespace, whose numbers mean other processes here: it must not be used."""

    wrapper = unshare()


@unittest.skipIf(SANITIZER_KB, "a sanitizer reads its options from /proc")
class TreeWithoutProc(Tree):
    wrapper = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c",
               'mount -t tmpfs none /proc && "$@"; exit $?', "sh"]
    if os.geteuid() != 0:
        wrapper[1:1] = ["--user", "--map-root-user"]

    def konductor(self):
        shell = wait_for(lambda: children(self.replica.pid), what="the shell around konductor")[0]
        return wait_for(lambda: children(shell), what="konductor")[0]


class Guard(ClusterTest):
    def start_family(self, script=MAIN, command=("sh", "-c", FAMILY)):
        replica = self.cluster.start(self.cluster.script(script), command=command)
        replica.wait_stdout("daemon")
        return replica

    def test_a_killed_guard_takes_the_tree_with_it_and_konductor_says_so(self):
        replica = self.start_family()
        guard, = children(replica.pid)
        os.kill(guard, signal.SIGKILL)
        self.assertEqual(replica.wait(), 128 + signal.SIGKILL)
        self.assertEqual(marked(self.cluster.mark), [])

    def deadman_of_a_stopped_konductor_ms(self):
        lease = f'''
            local k = require "konductor"
            k.lease "boss" {{ ttl = "3s", main = {{ "sh", "-c", [[{FAMILY}]] }} }}
        '''
        replica = self.start_family(lease, command=())
        replica.signal(signal.SIGSTOP)
        stopped_ms = boot_ms()
        wait_for(lambda: marked(self.cluster.mark) == [replica.pid], what="the end of the tree")
        took_ms = boot_ms() - stopped_ms
        replica.kill()
        return took_ms

    def test_the_deadman_fires_though_konductor_is_stopped(self):
        """In time, unless the machine lets the guard wait, which is not every time."""
        took_ms = []
        while not took_ms or took_ms[-1] >= 3000:
            self.assertLess(len(took_ms), 10, took_ms)
            took_ms.append(self.deadman_of_a_stopped_konductor_ms())

    def test_output_ends_with_the_tree_though_others_live(self):
        done = subprocess.run(
            ["sh", "-c", '"$@" | cat', "sh", *self.command_line("sh", "-c", "echo words; exit 0")],
            env=self.cluster.env(), capture_output=True, text=True, timeout=60 * PATIENCE, check=True)
        self.assertEqual(done.stdout, "words\n")

    def command_line(self, *command):
        return [binary(), "run", str(self.cluster.script(MAIN)), "--listen", "off", "--", *command]
