"""On a terminal: the program has it, its keys reach the program, and a shell's job control works through konductor."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

from lib import PATIENCE, ClusterTest, binary, children, marked, wait_for

MAIN = '''
local k = require "konductor"
k.flow "t" { k.main() }
'''
# Echoes lines in capitals; says at the start whether it is in the foreground.
PROGRAM = '''
import os, signal, sys
def interrupted(number, frame):
    os.write(1, b"interrupted\\n")  # print() may be what was interrupted
    os._exit(5)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"resized\\n"))
print("foreground", os.tcgetpgrp(0) == os.getpgrp(), flush=True)
while True:
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(6)
    print("<" + line.strip().upper() + ">", flush=True)
'''


class Terminal:
    """A command on a terminal of its own, of whose session it is the leader."""

    def __init__(self, argv, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, env)
        self.text = ""
        self.status = None

    def type(self, text):
        os.write(self.fd, text.encode())

    def _read(self, seconds):
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return False
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # EIO: nobody has it open any more
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, timeout=60):
        """Waits until pattern appears, and forgets everything up to its end.  Returns the match."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            match = re.search(pattern, self.text)
            if match:
                self.text = self.text[match.end():]
                return match
            if time.monotonic() > deadline or not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} did not come; the rest of what did:\n{self.text}")

    def wait(self):
        """Its exit code, -n for signal n."""

        def ended():
            self._read(0)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            return bool(pid)

        wait_for(ended, what="the end of the terminal's first process", describe=lambda: self.text)
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class TerminalTest(ClusterTest):
    def start(self, *argv):
        terminal = Terminal(list(argv), self.cluster.env({"PS1": "$ ", "TERM": "dumb"}))
        self.addCleanup(terminal.close)
        return terminal

    def command_line(self, *command):
        script = self.cluster.script(MAIN, "main.lua")
        return [binary(), "run", str(script), "--listen", "off", "--", *command]


class OnATerminal(TerminalTest):
    def start_program(self):
        terminal = self.start(*self.command_line(sys.executable, "-c", PROGRAM))
        terminal.expect("foreground True")
        return terminal

    def test_the_program_is_in_the_foreground_and_reads_what_is_typed(self):
        terminal = self.start_program()
        terminal.type("hello\n")
        terminal.expect("<HELLO>")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 6)

    def test_the_interrupt_key_is_the_programs_to_answer(self):
        terminal = self.start_program()
        terminal.type("\x03")
        terminal.expect("interrupted")
        self.assertEqual(terminal.wait(), 5)

    def test_a_change_of_the_windows_size_reaches_the_program(self):
        terminal = self.start_program()
        fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        terminal.expect("resized")

    def test_without_a_shell_to_continue_it_the_stop_key_does_not_freeze_it(self):
        terminal = self.start_program()
        terminal.type("\x1a")
        terminal.expect(r"\^Z")
        terminal.type("still\n")
        terminal.expect("<STILL>")

    def test_a_closed_terminal_ends_everything(self):
        terminal = self.start_program()
        os.close(terminal.fd)
        terminal.fd = os.open("/dev/null", os.O_RDONLY)
        wait_for(lambda: os.waitpid(terminal.pid, os.WNOHANG)[0], what="the end of konductor")
        terminal.status = 0
        wait_for(lambda: not marked(self.cluster.mark), what="the end of all")


class UnderAShell(TerminalTest):
    def setUp(self):
        super().setUp()
        self.shell = self.start("bash", "--norc", "--noediting", "-i")
        line = " ".join(map(str, self.command_line(sys.executable, "program.py")))
        self.cluster.file("program.py", PROGRAM)
        self.shell.type(f"cd {self.cluster.directory}; stty -echo; alias job='{line}'; echo se''t\n")
        self.shell.expect("set")

    def konductor(self):
        return wait_for(lambda: children(self.shell.pid), what="konductor")[0]

    def test_the_stop_key_gives_the_shell_back_and_fg_the_program(self):
        self.shell.type("job\n")
        self.shell.expect("foreground True")
        for word in ("one", "two"):
            self.shell.type("\x1a")
            self.shell.expect("Stopped")
            self.shell.type(f"echo $((6 * 7)) {word}\n")
            self.shell.expect(f"42 {word}")
            self.shell.type("fg\n")
            self.shell.expect("konductor run")
            self.shell.type(f"{word}\n")
            self.shell.expect(f"<{word.upper()}>")
        self.shell.type("\x03")
        self.shell.expect("interrupted")
        self.shell.type("echo code $?\n")
        self.shell.expect("code 5")

    def test_in_the_background_it_leaves_the_terminal_to_the_shell(self):
        self.shell.type("job &\n")
        self.shell.expect("foreground False")
        # The program reads from the terminal, which stops it, and with it the job.
        self.shell.type("\n")
        wait_for(lambda: self.state() == "T", what="the stop of konductor", describe=lambda: self.shell.text)
        self.shell.type("echo $((6 * 7)) alive\n")
        self.shell.expect("42 alive")
        self.shell.type("fg\n")
        self.shell.expect("konductor run")
        self.shell.type("now\n")
        self.shell.expect("<NOW>")

    def state(self):
        with open(f"/proc/{self.konductor()}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]

    def test_the_shell_has_the_terminal_again_afterwards(self):
        self.shell.type("job\n")
        self.shell.expect("foreground True")
        self.shell.type("\x03")
        self.shell.expect("interrupted")
        self.shell.type("cat\n")
        self.shell.type("mine\n")
        self.shell.expect("mine")
        self.shell.type("\x04")
        self.shell.type("echo code $?\n")
        self.shell.expect("code 0")
