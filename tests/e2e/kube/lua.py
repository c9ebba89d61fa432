"""Lua on the C core against a real API server: for tests of the stores themselves."""

import os
import subprocess
from pathlib import Path

from lib import ROOT, binary

installed = set()


def lua_tests():
    """The program that runs Lua on the core; the static build has none, and dev's is of the same sources."""
    beside = Path(binary()).with_name("lua_tests")
    return str(beside if beside.exists() else ROOT / "build" / "dev" / "lua_tests")


def crds():
    return subprocess.run([binary(), "crds"], capture_output=True, text=True, check=True).stdout


def install_crds(cluster):
    """The definitions of konductor.io/v1, once a cluster."""
    if cluster.url in installed:
        return
    cluster.kubectl("apply", "-f", "-", input=crds())
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/leases.konductor.io",
                    "crd/onces.konductor.io", "crd/records.konductor.io")
    installed.add(cluster.url)


def run_lua(text, env, timeout=120):
    """Runs a chunk as the main task of the core; what it prints, and its exit code."""
    path = ROOT / "build" / "check" / f"chunk-{os.getpid()}.lua"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    try:
        return subprocess.run([lua_tests(), str(path)], cwd=ROOT, env={**os.environ, **env}, capture_output=True,
                              text=True, timeout=timeout)
    finally:
        path.unlink()
