"""Finds kube-apiserver, kubectl and etcd, or builds them from their Go modules, once a machine.

In this order: the directory that KUBEBUILDER_ASSETS names; the cache, ${XDG_CACHE_HOME:-~/.cache}/konductor; a build.
The cache's key holds the version and a hash of what the result is made of, so a change of the recipe builds anew. Two
callers at once build once.

Debian's etcd (3.4.23) would not do: it does not tell the server how far its watches are, and so a watch without a
resource version fails with "Too large resource version" as soon as somebody writes other resources.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import overlay

MODULE = Path(__file__).resolve().parents[1]
VERSION = re.search(r"k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text(encoding="utf-8")).group(1)
PROGRAMS = ("kube-apiserver", "kubectl", "etcd")
OLDEST_GO = (1, 24)
TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.24.13.linux-{arch}"  # fetched by a Go older than that
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PROCESSES = 2


def ldflags():
    where = "k8s.io/component-base/version"
    major, minor = VERSION[1:].split(".")[:2]
    values = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X {where}.{name}={value}" for name, value in values.items())


def recipe():
    """Everything that the result depends on, besides Go itself."""
    digest = hashlib.sha256(f"{ARCH} {ldflags()} {overlay.LINE.pattern} {overlay.MORE}".encode())
    for path in ["go.mod", "go.sum", "clock/shift.go", *sorted(
            str(p.relative_to(MODULE)) for p in MODULE.glob("cmd/*/*.go"))]:
        digest.update(f"\0{path}\0".encode() + (MODULE / path).read_bytes())
    return digest.hexdigest()[:12]


def cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "konductor"


def say(text):
    print(f"cluster: {text}", file=sys.stderr, flush=True)


class Programs:
    """Paths of the programs. shiftable: this kube-apiserver's clock can be set wrong (overlay.py)."""

    def __init__(self, directory, shiftable):
        self.directory = directory
        self.apiserver, self.kubectl, self.etcd = (str(directory / name) for name in PROGRAMS)
        self.shiftable = shiftable


def find():
    """The programs, built if need be. Raises OSError, with a sentence that says what to do, when that fails."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        missing = [n for n in PROGRAMS if not os.access(Path(given, n), os.X_OK)]
        if missing:
            raise OSError(f"KUBEBUILDER_ASSETS={given} has no {', '.join(missing)}; unset it to build them")
        return Programs(Path(given), False)
    return Programs(ensure(), True)


def ensure():
    """The cache's directory with the programs in it; builds them when they are not there."""
    target = cache() / f"kube-{VERSION[1:]}-{recipe()}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with lock(target.parent / "kube.lock"):
        if not target.is_dir():
            build(target)
    return target


@contextlib.contextmanager
def lock(path, why="another process builds"):
    """Held until the end of the block, or of the process."""
    with open(path, "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{why}; waiting for {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(target):
    go = find_go()
    say(f"building {', '.join(PROGRAMS)} {VERSION} with {go}: once a machine, some minutes; result in {target}")
    started = time.monotonic()
    for killed in target.parent.glob("kube-build.*"):  # nobody else builds: we have the lock
        shutil.rmtree(killed, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="kube-build.", dir=target.parent) as work:
        result = Path(work, "result")
        result.mkdir()
        replaced = overlay.write(Path(go_env(go, "GOROOT")), MODULE / "clock" / "shift.go", Path(work))
        go_run(go, "build", "-p", str(PROCESSES), "-trimpath", "-buildvcs=false", f"-overlay={replaced}",
               f"-ldflags={ldflags()}", "-o", f"{result}/", *[f"./cmd/{name}" for name in PROGRAMS])
        result.rename(target)
    say(f"built in {time.monotonic() - started:.0f} s")


# Go.


def find_go():
    """A Go that is new enough; an older one fetches such a toolchain, as a module and checked as one."""
    installed = [shutil.which("go"), "/usr/local/go/bin/go", *sorted(map(str, Path("/usr/lib").glob("go-*/bin/go")))]
    found = [(version_of(go), go) for go in installed if go and os.access(go, os.X_OK)]
    if not found:
        raise OSError("there is no Go to build kube-apiserver with; tools/deps cluster installs it")
    version, go = max(found)
    if version >= OLDEST_GO:
        return go
    module = TOOLCHAIN.format(arch=ARCH)
    say(f"{go} is {'.'.join(map(str, version))}, and {'.'.join(map(str, OLDEST_GO))} is needed: fetching {module}")
    with tempfile.TemporaryDirectory() as nowhere:
        go_run(go, "mod", "download", module, cwd=nowhere)
    root = Path(go_env(go, "GOMODCACHE")) / module
    return str(make_executable(root) / "bin" / "go")


def make_executable(root):
    """Modules are unpacked read-only and without the right to execute: so the toolchain is used from a copy."""
    copy = cache() / root.name.partition("@")[2]
    if not copy.is_dir():
        new = Path(tempfile.mkdtemp(prefix="go.", dir=cache()))
        shutil.copytree(root, new, dirs_exist_ok=True)
        new.chmod(0o755)
        for program in [*new.glob("bin/*"), *new.glob("pkg/tool/*/*")]:
            program.chmod(0o755)
        new.rename(copy)
    return copy


def version_of(go):
    text = subprocess.run([go, "version"], env=go_environment(), capture_output=True, text=True, cwd="/").stdout
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else (0, 0)


def go_environment():
    """Go's own, without cgo, and never another toolchain than the one that was chosen here."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOOS": "linux", "GOARCH": ARCH, "GOWORK": "off"}


def go_env(go, name):
    return subprocess.run([go, "env", name], env=go_environment(), capture_output=True, text=True, cwd="/",
                          check=True).stdout.strip()


def go_run(go, *arguments, cwd=MODULE):
    """Runs Go at the lowest priority; its output is ours."""
    code = subprocess.call(["nice", "-n", "19", go, *arguments], env=go_environment(), cwd=cwd, stdout=sys.stderr,
                           stdin=subprocess.DEVNULL)
    if code != 0:
        raise OSError(f"{go} {arguments[0]} ended with {code}; its reason is above")
