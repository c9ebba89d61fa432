#!/usr/bin/env python3
"""What one renewal on SQLite allocates, and whether memory grows: counted in konductor itself, on the path that every
renewal takes, only more often (bench/renewing.lua).

    bench/allocations.py [RENEWALS]

A library is preloaded to count (bench/count_malloc.c), so the static binary cannot be measured: the build with the
same optimization is taken instead.
"""

import os
import struct
import subprocess
import sys

from common import ROOT, Cluster, bench_program

WARM_UP = 500
SCRIPT = """
local k = require "konductor"
k.lease "seat" { ttl = "1h", main = { "sleep", "1000" } }
"""


def build_counter(directory):
    library = str(directory / "count_malloc.so")
    subprocess.run(["cc", "-O2", "-fno-builtin", "-shared", "-fPIC", "-o", library,
                    str(ROOT / "bench" / "count_malloc.c")], check=True)
    return library


def read_mark(path):
    content = path.read_bytes()
    requests, size, live = struct.unpack("=3q", content[:24])
    heap, _, resident = content[24:].split()[:3]
    return {"requests": requests, "bytes": size, "live": live, "heap": int(heap),
            "resident": int(resident) * os.sysconf("SC_PAGESIZE")}


def measure(lua_tests, renewals):
    """Differences over that many renewals: requests to malloc, their bytes, bytes not given back, growth of the Lua
    heap after a full collection, and growth of the resident memory. lua_tests: the program of tests/c/lua_tests.c."""
    with Cluster() as cluster:
        env = {"LD_PRELOAD": build_counter(cluster.directory), "KON_COUNT_FILE": cluster.directory / "counts",
               "MARK_AT": f"{WARM_UP} {WARM_UP + renewals}"}
        holder = cluster.start(cluster.script(SCRIPT), env=env, events=False,
                               wrapper=[lua_tests, str(ROOT / "bench" / "renewing.lua")])
        last = cluster.directory / "mark.2"
        holder.wait_for(lambda: last.exists() and last.read_bytes().count(b" ") >= 7, 120, "the last renewal")
        before, after = read_mark(cluster.directory / "mark.1"), read_mark(last)
        holder.stop()
    return {name: after[name] - before[name] for name in before}


def main():
    renewals = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    grown = measure(bench_program("lua_tests"), renewals)
    print(f"C allocations a renewal: {grown['requests'] / renewals:.2f}, {grown['bytes'] / renewals:.0f} bytes "
          f"(n={renewals})")
    print(f"after them, not given back: {grown['live']} bytes of C, {grown['heap']} bytes of Lua; "
          f"resident memory {grown['resident'] / 1024:+.0f} KiB")


if __name__ == "__main__":
    main()
