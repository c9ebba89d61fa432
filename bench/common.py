"""What the benchmark programs share: replicas from tests/e2e/lib.py, the floor, and how figures are printed.

Every figure is printed beside a floor measured in the same run on the same machine, as a ratio: these are what can be
compared between machines. Nothing is asserted about time.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from lib import Cluster, binary, boot_ms, wait_for  # noqa: E402,F401  (for the programs)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(values, unit="ms"):
    return (f"min {min(values):.2f}  p50 {percentile(values, 0.5):.2f}  p90 {percentile(values, 0.9):.2f}  "
            f"p99 {percentile(values, 0.99):.2f}  max {max(values):.2f} {unit}  (n={len(values)})")


def bench_program(name):
    """Path of a C benchmark program; builds it when it is missing or old."""
    build = ROOT / "build" / "bench"
    if not (build / "build.ninja").exists():
        subprocess.run(["cmake", "--preset", "bench"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", str(build), name], check=True, stdout=subprocess.DEVNULL)
    return str(next(path for path in build.rglob(name) if os.access(path, os.X_OK) and path.is_file()))


def floor(processes, rounds=100):
    """p50 in ms of: one process commits one row to SQLite and rings the others, until the last of them has read it.
    50 ms of sleep before each round, as everybody sleeps before a hand-over."""
    out = subprocess.run([bench_program("floor_sqlite"), str(processes), str(rounds), "pipe", "50"], check=True,
                         capture_output=True, text=True).stdout
    return float(dict(word.split("=") for word in out.split())["p50_ms"])


def check_history(cluster, options=()):
    """Judges the event logs of a cluster; returns the report, raises with it when a promise was broken."""
    done = subprocess.run([str(ROOT / "tools" / "check-history"), *options, *cluster.event_files()],
                          capture_output=True, text=True, env={**os.environ, "KONDUCTOR_BIN": binary()})
    if done.returncode != 0:
        raise AssertionError(f"the history is broken:\n{done.stdout}{done.stderr}")
    return done.stdout


def merge_events(cluster, kind=None, **fields):
    return sorted(cluster.events(kind, **fields), key=lambda event: event["t_us"])
