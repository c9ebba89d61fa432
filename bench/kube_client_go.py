"""client-go's leader election as a neighbour and contender: builds bench/client_go once a machine, starts candidates.

    with Candidates(kubeconfig, namespace) as others:
        a = others.start("boss", "a")          # flags as of the program, e.g. lease_duration="3s"
        a.wait_event("start")
        a.stop()                               # ends its work, then releases
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "tools" / "kube")]
from konkube import build  # noqa: E402
from lib import boot_ms, wait_for  # noqa: E402

MODULE = ROOT / "bench" / "client_go"
FILES = ("go.mod", "go.sum", "main.go")
VERSION = re.search(r"k8s\.io/client-go v(\S+)", (MODULE / "go.mod").read_text(encoding="utf-8")).group(1)


def program():
    """Path of the built program. Raises OSError with a sentence when it cannot be built."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(f"\0{name}\0".encode() + (MODULE / name).read_bytes())
    target = build.cache() / f"client-go-{VERSION}-{digest.hexdigest()[:12]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with build.lock(target.parent / "client-go.lock"):
            if not target.is_dir():
                make(target)
    return str(target / "client_go")


def make(target):
    build.say(f"building a candidate of client-go {VERSION}: once a machine")
    for killed in target.parent.glob("client-go-build.*"):  # nobody else builds: we have the lock
        shutil.rmtree(killed, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="client-go-build.", dir=target.parent) as work:
        result = Path(work, "result")
        build.go_run(build.find_go(), "build", "-p", str(build.PROCESSES), "-trimpath", "-buildvcs=false",
                     "-ldflags=-s -w", "-o", f"{result}/", ".", cwd=MODULE)
        result.rename(target)


class Candidate:
    """One process. Its events have the names of konductor's: start, stop; and leader, with the one it has heard of."""

    def __init__(self, identity, process, directory):
        self.name = identity
        self.process = process
        self.pid = process.pid
        self.directory = directory
        self.killed_us = None

    @property
    def stderr(self):
        return (self.directory / "stderr").read_text(errors="replace")

    def events(self, kind=None, **fields):
        try:
            lines = (self.directory / "events").read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines if line]
        return [e for e in found if kind in (None, e["event"]) and all(e.get(k) == v for k, v in fields.items())]

    def describe(self):
        code = self.process.poll()
        state = f"running, pid {self.pid}" if code is None else f"ended with {code}"
        return f"--- client-go {self.name}: {state}\n{self.events()}\n{self.stderr[-2000:]}"

    def wait_event(self, kind, timeout=60, **fields):
        return wait_for(lambda: self.events(kind, **fields), timeout, f"{kind} of {self.name}", self.describe)[0]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        wait_for(lambda: self.process.poll() is not None, timeout, f"the end of {self.name}", self.describe)
        return self.process.returncode

    def stop(self):
        """SIGTERM, which releases; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        """SIGKILL. The boot clock in ms just before."""
        at = boot_ms()
        self.process.kill()
        self.process.wait()
        self.killed_us = int(at * 1000)
        return at


class Candidates:
    """Some of them on one server; whatever is left ends with the block."""

    def __init__(self, kubeconfig, namespace):
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.program = program()
        self.directory = Path(tempfile.mkdtemp(prefix="client-go-"))
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def start(self, lease, identity, **flags):
        directory = self.directory / f"{len(self.all)}-{identity}"
        directory.mkdir()
        argv = [self.program, "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, "--name", lease,
                "--identity", identity, "--events", str(directory / "events"),
                *[f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]]
        env = {name: value for name, value in os.environ.items() if not name.startswith("KONDUCTOR_")}
        with open(directory / "stderr", "wb") as err:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, env=env,
                                       start_new_session=True)
        self.all.append(Candidate(identity, process, directory))
        return self.all[-1]

    def describe(self):
        return "\n".join(candidate.describe() for candidate in self.all)

    def close(self):
        for candidate in self.all:
            if candidate.process.poll() is None:
                candidate.process.kill()
            candidate.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
