"""Runs the stages of tools/check and adds up their results.

A stage is a function that takes a Run and reports results through it.  A stage that cannot run (a build that fails, a
runner that is missing, a file without tests) counts as a failure; nothing is skipped in silence.  Output of what
passes is kept in build/check/*.log, output of what fails is printed too.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from check_counts import count_tap, count_tap_again, count_unittest, count_unittest_again

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "check"
JOBS = max(1, min(os.cpu_count() or 1, 8))
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", f"--suppressions={ROOT}/tests/valgrind.supp"]
VALGRIND_E2E = ["tests/e2e/test_run.py"]
# Process tests share the machine with each other.  A file of them that fails is run once more, alone, and told of in
# the summary; but not when a promise was seen broken or a sanitizer spoke, which no load explains, nor when it is one
# of many (docs/decisions/0030).
SECOND_TRIES = 3
VERDICTS = re.compile(r"breaks a promise|overlap|violation|twice|AddressSanitizer|LeakSanitizer|runtime error:|core dumped",
                      re.IGNORECASE)


class Run:
    """Results so far, and the one way to start a program."""

    def __init__(self, options):
        self.options = options
        self.stage = ""
        self.passed = {}
        self.failed = {}
        self.built = {}
        self.kube = None
        self.second_tries = []

    def add(self, passed, failed):
        self.passed[self.stage] = self.passed.get(self.stage, 0) + passed
        self.failed[self.stage] = self.failed.get(self.stage, 0) + failed

    def say(self, text):
        print(text, flush=True)

    def command(self, name, argv, timeout, env=None):
        """Runs argv in ROOT, in a process group of its own, which is killed when the time is over.
        Returns exit code (124 when late) and the output, which is also kept as build/check/NAME.log."""
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / (re.sub(r"[^\w.+-]+", "_", name) + ".log")
        with open(log, "wb") as out:
            process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                       env=dict(os.environ, **(env or {})), start_new_session=True)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = 124
            finally:
                kill_group(process.pid)
                process.wait()
        text = log.read_text(errors="replace")
        return code, text + (f"\nstopped after {timeout} s\n" if code == 124 else "")

    def unit(self, name, argv, timeout, count, env=None, show=False, forgive=False):
        """Runs one test program.  count(text) gives (passed, failed), or None when it shows no results; an exit code
        other than 0 is a failure even when the program counted none.  Without count the program is one test.
        show: print what it wrote even if it passes.  forgive: a failure that may be run once more is not counted.
        True when the program is to be run once more."""
        started = time.monotonic()
        code, text = self.command(f"{self.stage}.{name}", argv, timeout, env)
        if count is None:
            passed, failed = (1, 0) if code == 0 else (0, 1)
        else:
            passed, failed = count(text) or (0, 1)
        if code != 0 and failed == 0:
            failed = 1
        forgiven = forgive and failed > 0 and self.forgives(name, text)
        if not forgiven:
            self.add(passed, failed)
        seconds = time.monotonic() - started
        mark = "ok  " if failed == 0 else "FAIL"
        self.say(f"  {mark} {name}: {passed} passed, {failed} failed ({seconds:.1f} s)")
        if show and not failed:
            self.say(indent(text, 20))
        if failed:
            self.say(indent(text, 120) + f"\n    exit code {code}; command: {' '.join(map(str, argv))}")
        return forgiven

    def forgives(self, name, text):
        """Whether this failure of a process test is worth a second try; keeps count of them."""
        if VERDICTS.search(text) or len(self.second_tries) >= SECOND_TRIES:
            return False
        self.second_tries.append(f"{self.stage}: {name}")
        return True

    def units(self, work, jobs=JOBS, second_try=False):
        """Runs unit(*args, **kw) for each of work, some at a time; with second_try what failed alone once more."""
        with ThreadPoolExecutor(jobs) as pool:
            started = [pool.submit(self.unit, *args, **kw, forgive=second_try) for args, kw in work]
            again = [each for each, future in zip(work, started) if future.result()]
        for args, kw in again:
            self.say(f"  {args[0]} once more, alone:")
            self.unit(*args, **kw)

    def none(self, what):
        self.say(f"  FAIL {what}")
        self.add(0, 1)

    def build(self, preset):
        """Configures and builds build/PRESET once; True when that worked.  Every stage that needs it fails with it."""
        if self.built.get(preset) is False:
            self.none(f"build/{preset} does not build")
        elif preset not in self.built:
            started = time.monotonic()
            steps = [["cmake", "--preset", preset], ["cmake", "--build", f"build/{preset}", f"-j{JOBS}"]]
            ok = True
            for number, argv in enumerate(steps):
                code, text = self.command(f"build.{preset}.{number}", argv, 1800)
                if code != 0:
                    ok = False
                    self.say(indent(text, 60))
                    break
            self.built[preset] = ok
            self.say(f"  {'ok  ' if ok else 'FAIL'} build/{preset} ({time.monotonic() - started:.1f} s)")
            self.add(1 if ok else 0, 0 if ok else 1)
        return self.built[preset]


    def begin_api_server(self):
        """Builds kube-apiserver in the background, at the lowest priority: minutes, once a machine."""
        LOGS.mkdir(parents=True, exist_ok=True)
        with open(LOGS / "kube.build.log", "wb") as out:
            self.kube = subprocess.Popen(["nice", "-n", "19", "tools/cluster", "build"], cwd=ROOT, start_new_session=True,
                                         stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def api_server(self):
        """Waits for that build; True when the API server is there."""
        try:
            ok = self.kube.wait(3600) == 0
        except subprocess.TimeoutExpired:
            ok = False
        if not ok:
            self.none("tools/cluster build:\n" + indent((LOGS / "kube.build.log").read_text(errors="replace"), 60))
        return ok

    def end(self):
        if self.kube and self.kube.poll() is None:
            kill_group(self.kube.pid)
            self.kube.wait()


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def indent(text, lines):
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


# Stages.


def ctest_commands(run, build):
    """The C tests as CTest knows them: name, command, environment, time limit."""
    argv = ["ctest", "--test-dir", build, "--show-only=json-v1"]
    code, text = run.command(f"ctest.{build}", argv, 60)
    if code != 0:
        return []
    found = []
    for test in json.loads(text[text.index("{"):]).get("tests", []):
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        env = dict(pair.split("=", 1) for pair in properties.get("ENVIRONMENT", []))
        if "command" in test:
            found.append((test["name"], test["command"], env, properties.get("TIMEOUT", 600)))
    return found


def c_tests(run, preset, prefix=(), slow=1, env=None, count=count_tap):
    if not run.build(preset):
        return
    tests = ctest_commands(run, f"build/{preset}")
    if not tests:
        run.none("CTest knows no tests")
    run.units([
        ((name, [*prefix, *argv], limit * slow, count),
         {"env": {"CMOCKA_MESSAGE_OUTPUT": "TAP", **test_env, **(env or {})}})
        for name, argv, test_env, limit in tests
    ])


def sanitizer_env():
    return {
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
        "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0",
    }


def stage_build(run):
    run.build("dev")


def stage_c(run):
    c_tests(run, "dev")


def stage_c_sanitizers(run):
    c_tests(run, "sanitize", slow=3, env=sanitizer_env())


def stage_valgrind(run):
    """The C tests, and one process test on a konductor that runs in valgrind, which knows no code made at run time."""
    c_tests(run, "dev", prefix=VALGRIND, slow=5, count=count_tap_again)
    wrapper = LOGS / "konductor-in-valgrind"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(VALGRIND)} {ROOT}/build/dev/konductor "$@"\n')
    wrapper.chmod(0o755)
    e2e(run, wrapper, VALGRIND_E2E, {"KONDUCTOR_JIT": "off", "KONDUCTOR_TEST_PATIENCE": "10"})


def lua_env():
    return {"LUA_PATH": f"{ROOT}/lua/?.lua;{ROOT}/lua/?/init.lua;{ROOT}/tests/lua/?.lua;;"}


def specs(under):
    return sorted(str(p.relative_to(ROOT)) for p in (ROOT / under).rglob("*_spec.lua"))


def stage_lua(run):
    pure = [s for s in specs("tests/lua") if not s.startswith("tests/lua/core/")]
    if not pure:
        run.none("no specs in tests/lua")
    run.units([((spec, ["busted", "--lua=luajit", "--output=TAP", spec], 900, count_tap), {"env": lua_env()})
               for spec in pure])


def core_specs(run, preset):
    """Specs that need the core: they run in a task of the real loop."""
    found = specs("tests/lua/core")
    if not found:
        run.none("no specs in tests/lua/core")
    elif run.build(preset):
        env = sanitizer_env() if preset == "sanitize" else {}
        argv = [f"build/{preset}/lua_tests", "tests/lua/core_runner.lua", "--output=TAP"]
        run.units([((spec, [*argv, spec], 900, count_tap), {"env": env}) for spec in found])


def stage_lua_core(run):
    core_specs(run, "dev")


def stage_lua_core_sanitizers(run):
    core_specs(run, "sanitize")


def e2e_files(static=False):
    """Process tests that need no API server; those in tests/e2e/static are about the static binary alone, those in
    tests/e2e/image about the image."""
    found = process_tests("tests/e2e")
    left_out = ("tests/e2e/kube/", "tests/e2e/image/", *(() if static else ("tests/e2e/static/",)))
    return [path for path in found if not path.startswith(left_out)]


def kube_files(again=False):
    """Process tests on a real API server. again: without those about servers, recipes, manifests, pages and words, which
    are no other program's in another build, and those left to chance."""
    left_out = ("/harness/", "/test_chaos.py", "/test_seeds", "/test_koncli_recipes", "/test_deploy", "/test_examples",
                "/test_pages", "/test_exit_codes") if again else ()
    files = [path for path in process_tests("tests/e2e/kube") if not any(part in path for part in left_out)]
    # The largest first: they take longest, and the others run beside them.
    return sorted(files, key=lambda path: -(ROOT / path).stat().st_size)


def process_tests(under):
    return sorted(str(p.relative_to(ROOT)) for p in (ROOT / under).rglob("test_*.py"))


def e2e(run, binary, files, env=None, timeout=1800, count=count_unittest, jobs=JOBS):
    if not files:
        run.none("no tests in tests/e2e")
    env = {"KONDUCTOR_BIN": str(binary), "PYTHONPATH": str(ROOT / "tests" / "e2e"), "PYTHONDONTWRITEBYTECODE": "1",
           **(env or {})}
    run.units([((f, [sys.executable, "-m", "unittest", f], timeout, count), {"env": env}) for f in files], jobs,
              second_try=True)


def kube(run, binary, again):
    """These wait most of the time, for leases to lapse: one more of them runs at once."""
    e2e(run, binary, kube_files(again), timeout=1800, jobs=JOBS + 1)


def stage_e2e(run):
    if run.build("dev"):
        e2e(run, ROOT / "build" / "dev" / "konductor", e2e_files())


def stage_e2e_sanitizers(run):
    e2e_sanitizers(run, e2e_files())


def e2e_sanitizers(run, files):
    if run.build("sanitize"):
        env = {**sanitizer_env(), "KONDUCTOR_TEST_PATIENCE": "4", "KONDUCTOR_TEST_SANITIZER_KB": "300000"}
        e2e(run, ROOT / "build" / "sanitize" / "konductor", files, env, 3600, count_unittest_again)


def stage_kube(run):
    """On a real API server."""
    if run.build("dev") and run.api_server():
        kube(run, ROOT / "build" / "dev" / "konductor", again=False)


def stage_kube_sanitizers(run):
    if run.api_server():
        e2e_sanitizers(run, kube_files(again=True))


def built_by(run, tool):
    """Runs a tool that builds one thing; the path of that, its last line, or None."""
    started = time.monotonic()
    code, text = run.command(f"{run.stage}.build", [tool], 1800)
    lines = text.strip().splitlines() or [""]
    run.add(1 if code == 0 else 0, 0 if code == 0 else 1)
    run.say(f"  {'ok  ' if code == 0 else 'FAIL'} {tool}: {lines[-1]} ({time.monotonic() - started:.1f} s)")
    run.say(indent(text, 60) if code != 0 else indent("\n".join(lines[:-1]), 3))
    return lines[-1] if code == 0 else None


def stage_static(run):
    """The static binary, and every process test on it."""
    binary = built_by(run, "tools/build-static")
    if binary is None:
        return
    e2e(run, binary, e2e_files(static=True))
    if run.api_server():
        kube(run, binary, again=True)


def stage_image(run):
    """The image of the Dockerfile, and containers of it as a restricted pod has them."""
    image = built_by(run, "tools/image")
    if image is not None and run.api_server():
        e2e(run, ROOT / "build" / "dev" / "konductor", process_tests("tests/e2e/image"), {"KONDUCTOR_IMAGE": image})


def stage_fuzz(run):
    if not run.build("fuzz"):
        return
    work = []
    for source in sorted((ROOT / "tests" / "fuzz").glob("fuzz_*.c")):
        name = source.stem
        program = next((ROOT / "build" / "fuzz").rglob(name), None)
        kept = ROOT / "tests" / "fuzz" / "corpus" / name.removeprefix("fuzz_")
        if program is None or not kept.is_dir():
            run.none(f"{name}: " + ("not built" if program is None else f"no corpus in {kept.relative_to(ROOT)}"))
            continue
        found = LOGS / "fuzz" / name
        found.mkdir(parents=True, exist_ok=True)
        work.append(((name, [str(program), f"-max_total_time={run.options.fuzz}", "-timeout=60", "-rss_limit_mb=2048",
                             "-print_final_stats=1", f"-artifact_prefix={found}-", str(found), str(kept)],
                      run.options.fuzz + 600, None), {}))
    if not work:
        run.none("no fuzz targets")
    run.units(work)


BENCHES = {
    "once_race.py": ["50", "10"],
    "winner_killed.py": ["10"],
    "handover.py": ["30", "20"],
    "idle.py": ["100", "10"],
    "allocations.py": ["1000"],
    "kube.py": ["handover", "steady", "waiters", "once"],
    "kube_mixed.py": ["10"],
    "koncli.py": ["20"],
    "just_one_init.py": ["3", "3"],
}


def stage_bench(run):
    """Short runs of the programs in bench/: they prove counts and histories, and print figures beside their floor."""
    if run.build("dev") and run.build("bench"):
        for name, arguments in BENCHES.items():
            if name.startswith(("kube", "koncli", "just_one_init")) and not run.api_server():
                continue
            run.unit(name, [sys.executable, f"bench/{name}", *arguments], 1800, None, show=True)


def stage_lint(run):
    run.build("dev")
    run.unit("tools/lint", ["tools/lint", "--tidy"], 1800, count_tap)


STAGES = {
    "build": stage_build,
    "lint": stage_lint,
    "c": stage_c,
    "lua": stage_lua,
    "lua-core": stage_lua_core,
    "e2e": stage_e2e,
    "kube": stage_kube,
    "c-sanitizers": stage_c_sanitizers,
    "lua-core-sanitizers": stage_lua_core_sanitizers,
    "e2e-sanitizers": stage_e2e_sanitizers,
    "kube-sanitizers": stage_kube_sanitizers,
    "valgrind": stage_valgrind,
    "bench": stage_bench,
    "static": stage_static,
    "image": stage_image,
    "fuzz": stage_fuzz,
}
QUICK = ["build", "lint", "c", "lua", "lua-core", "e2e", "kube"]
NEED_API_SERVER = {"kube", "kube-sanitizers", "bench", "static", "image"}


def timed(run, name):
    """Runs a stage; returns the seconds that it took."""
    run.stage = name
    run.say(f"== {name}")
    started = time.monotonic()
    try:
        STAGES[name](run)
    except (OSError, ValueError) as error:
        run.none(f"the stage could not run: {error}")
    return time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(prog="tools/check", description="Builds konductor and runs every test.")
    parser.add_argument("--quick", action="store_true", help="no sanitizers, valgrind, fuzzing, static binary, image")
    parser.add_argument("--only", action="append", choices=STAGES, metavar="STAGE", help="only that stage; repeatable")
    parser.add_argument("--fuzz", type=int, default=10, metavar="SECONDS", help="time for each fuzz target")
    parser.add_argument("--list", action="store_true", help="print the stages and stop")
    options = parser.parse_args()
    if options.list:
        print("\n".join(STAGES))
        return 0
    run = Run(options)
    stages = list(options.only or (QUICK if options.quick else STAGES))
    if NEED_API_SERVER & set(stages):
        run.begin_api_server()
    try:
        times = {name: timed(run, name) for name in stages}
    finally:
        run.end()
    run.say("\nstage                    passed  failed   seconds")
    for name, seconds in times.items():
        run.say(f"{name:<24} {run.passed.get(name, 0):>6}  {run.failed.get(name, 0):>6}  {seconds:>8.1f}")
    for name in run.second_tries:
        run.say(f"needed a second try: {name}")
    failed = sum(run.failed.values())
    print(f"{sum(run.passed.values())} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
