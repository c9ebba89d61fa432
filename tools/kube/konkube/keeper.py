"""The process that all servers of one cluster are children of.

    python3 keeper.py DIRECTORY [--lifeline FD] [--remove]

It starts, signals and reaps them as it is told through DIRECTORY/keeper.sock (one JSON object a line, one answer
each), and ends when it is told to, when it gets a TERM, or when the other end of the lifeline (a pipe) is closed:
that is, also when its owner is killed. It kills its children first. When it is killed itself, the kernel kills them
(PR_SET_PDEATHSIG). It also holds the locks by which two clusters never choose the same port.
"""

import argparse
import ctypes
import fcntl
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
FIRST_PORT = 10000
LIBC = ctypes.CDLL(None, use_errno=True)


class Ports:
    """Free ports below the ephemeral range. Each is held by a lock on a file until it is
    released or this process ends."""

    def __init__(self):
        self.directory = Path(tempfile.gettempdir()) / f"konductor-ports-{os.getuid()}"
        self.directory.mkdir(mode=0o700, exist_ok=True)
        low = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]
        self.end = int(low) if int(low) > FIRST_PORT + 1000 else 65536
        self.held = {}

    def take(self):
        while True:
            port = random.randrange(FIRST_PORT, self.end)
            lock = open(self.directory / str(port), "w", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            except OSError:
                lock.close()
                continue
            self.held[port] = lock
            return port

    def release(self, port):
        self.held.pop(port).close()


class Keeper:
    def __init__(self, directory, lifeline, remove):
        self.directory = directory
        self.lifeline = lifeline
        self.remove = remove
        self.ports = Ports()
        self.processes = {}
        self.ending = False
        self.waiting = []
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.on_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(socket_path(os.open(directory, os.O_RDONLY), "keeper.new"))
        self.listener.listen(16)
        os.rename(directory / "keeper.new", directory / "keeper.sock")  # it is there only when it answers

    def on_end(self, *_):
        self.ending = True

    # What one can ask for.

    def do_ports(self, count):
        return [self.ports.take() for _ in range(count)]

    def do_spawn(self, name, argv, env, log):
        """Starts a server. Its output is appended to the file `log`."""
        running = self.processes.get(name)
        if running and running.poll() is None:
            raise ValueError(f"{name} runs already")
        me = os.getpid()

        def die_with_keeper():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != me:
                os._exit(1)

        with open(log, "ab") as out:
            self.processes[name] = subprocess.Popen(
                argv, env=env, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, preexec_fn=die_with_keeper)
        return self.processes[name].pid

    def do_signal(self, name, number):
        """False when it does not run any more."""
        process = self.processes.get(name)
        if not process or process.poll() is not None:
            return False
        process.send_signal(number)
        return True

    def do_list(self):
        """Of each server that was ever started: pid, and exit code or null."""
        return {name: {"pid": p.pid, "code": p.poll()} for name, p in self.processes.items()}

    def do_down(self):
        self.ending = True

    # The loop.

    def serve(self, connection):
        connection.settimeout(10)
        try:
            with connection.makefile("r") as lines:
                ask = json.loads(lines.readline())
            try:
                answer = {"value": getattr(self, "do_" + ask.pop("do"))(**ask)}
            except (AttributeError, TypeError, ValueError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except (OSError, ValueError):
            pass
        if self.ending:
            self.waiting.append(connection)  # closed by our exit: so the caller knows when all is gone
        else:
            connection.close()

    def run(self):
        sources = [self.listener, self.wake] + ([self.lifeline] if self.lifeline is not None else [])
        while not self.ending:
            ready = select.select(sources, [], [])[0]
            if self.wake in ready:
                os.read(self.wake, 4096)
                for process in self.processes.values():
                    process.poll()
            if self.lifeline in ready and not os.read(self.lifeline, 1):
                self.ending = True
            if self.listener in ready:
                self.serve(self.listener.accept()[0])
        self.end()

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
        for process in self.processes.values():
            process.wait()
        if self.remove:
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            (self.directory / "keeper.sock").unlink(missing_ok=True)


def socket_path(directory_fd, name="keeper.sock"):
    """Short, however long the directory's own name is."""
    return f"/proc/self/fd/{directory_fd}/{name}"


def ask(directory, do, timeout=30, until_gone=False, **how):
    """Asks the keeper of directory. Raises OSError when there is none, ValueError when it refuses."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(socket_path(fd))
            connection.sendall(json.dumps({"do": do, **how}).encode() + b"\n")
            with connection.makefile("r") as lines:
                line = lines.readline()
                if until_gone:
                    lines.read()
    finally:
        os.close(fd)
    if not line:
        raise OSError(f"the keeper of {directory} ended without an answer")
    answer = json.loads(line)
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer["value"]


def start(directory, owned):
    """Starts a keeper for directory. owned: it ends when this process does, and then removes the directory.
    Returns the process and the lifeline: closing that is as good as asking it to end."""
    argv = [sys.executable, "-I", __file__, str(directory)]
    ours = theirs = None
    if owned:
        theirs, ours = os.pipe()
        argv += ["--lifeline", str(theirs), "--remove"]
    with open(directory / "keeper.log", "ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                   pass_fds=[theirs] if owned else [], cwd="/")
    if owned:
        os.close(theirs)
    deadline = time.monotonic() + 30
    while not (directory / "keeper.sock").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise OSError("the keeper did not start: " + (directory / "keeper.log").read_text(errors="replace"))
        time.sleep(0.005)
    return process, ours


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lifeline", type=int)
    parser.add_argument("--remove", action="store_true")
    options = parser.parse_args()
    Keeper(options.directory, options.lifeline, options.remove).run()


if __name__ == "__main__":
    main()
