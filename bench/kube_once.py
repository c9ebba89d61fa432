"""A Once on an API server: one run among many replicas, and the one-shot check against a bare GET."""

import collections
import os
import statistics
import subprocess
import time

from kube_stage import Konductors, Party, bench_program, binary, check_history, percentile, static_program, wait_for

FLOW = """
local k = require "konductor"
k.flow "race" { k.stage(k.env "STAGE") { version = "1", run = { "sh", "-c", "read line < " .. k.env "GATE" } } }
"""


def race(group, script, number, count):
    gate = group.directory / f"gate{number}"
    os.mkfifo(gate)
    first = len(group.replicas)
    for i in range(count):
        group.start(script, name=f"r{number}-{i}", env={"STAGE": f"s{number}", "GATE": str(gate)})
    replicas = group.replicas[first:]
    wait_for(lambda: sum(len(r.events("start")) for r in replicas) >= 1, 60, "the winner's start", group.describe)
    wait_for(lambda: sum("waiting" in r.stderr for r in replicas) >= count - 1, 120, "the losers' wait", group.describe)
    with open(gate, "w", encoding="ascii") as out:
        out.write("go\n")
    codes = [replica.process.wait() for replica in replicas]
    assert codes == [0] * count, group.describe()
    return {name: [e["t_us"] for r in replicas for e in r.events(name)] for name in ("start", "stop", "complete", "skip")}


def run(report, party, rounds, count):
    runs, late, last = 0, [], []
    with Konductors(party) as group:
        mark = party.server.audit_mark()
        script = group.script(FLOW)
        for number in range(rounds):
            seen = race(group, script, number, count)
            runs += len(seen["start"])
            late += [(t - seen["stop"][0]) / 1000 for t in seen["skip"]]
            last.append((max(seen["skip"]) - seen["stop"][0]) / 1000)
        check_history(group)
        sent = collections.Counter(e["verb"] for e in party.requests(mark))
        conflicts = sum(e["responseStatus"]["code"] == 409 for e in party.answers(mark)) / rounds / count
    report.promise(f"{party.kind}: runs of {rounds} Onces by {count} replicas", str(runs), str(rounds), runs == rounds)
    p50 = statistics.median(late)
    report.row(f"{party.kind}: end of the work -> a loser goes on", f"p50 {p50:.1f}  p99 {percentile(late, 0.99):.1f} ms",
               "p50 <= 30 ms", p50 <= 30)
    report.row("  the last loser of each", f"p50 {statistics.median(last):.1f} ms")
    each = ", ".join(f"{n / rounds / count:.2f} {verb}" for verb, n in sorted(sent.items()))
    report.row("  requests a replica; of these conflicts", f"{sum(sent.values()) / rounds / count:.2f}; {conflicts:.2f}", each)


def main(report, server, rounds, count):
    report.title(f"One Once on {count} replicas")
    for kind in ("kube", "kube-lease"):
        run(report, Party(server, kind), rounds, count)


# The one-shot check.


def milliseconds(argv, env, codes):
    """From the start of a program to its end."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=quiet)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = (time.perf_counter() - began) * 1000
    assert code in codes, f"{argv} ended with {code}"
    return took


def programs(party):
    """name -> (argv, exit codes that it may have)."""
    server, name = party.server, "done"
    path = f"/apis/konductor.io/v1/namespaces/{party.namespace}/onces/{name}"
    get = [f"{server.url}{path}", str(server.ca_file), f"Authorization: Bearer {party.token}"]
    env = {"KUBECONFIG": str(party.kubeconfig), "KUBECACHEDIR": str(server.directory / "cache"), "HOME": str(server.directory),
           "PATH": os.environ["PATH"]}
    koncli = os.path.join(os.path.dirname(binary()), "koncli")
    made = {"koncli once check": [koncli, "once", "check", name, "--store", "kube"]}
    bare = static_program("http_get")
    if bare:
        made["libcurl, static"] = [bare, *get]
    made["libcurl, shared"] = [bench_program("http_get"), *get]
    made["curl"] = ["/usr/bin/curl", "-sf", "--cacert", get[1], "-H", get[2], get[0]]
    made["kubectl get"] = [server.programs.kubectl, "get", "onces.konductor.io", name, "-o", "json"]
    return {name: argv for name, argv in made.items() if os.access(argv[0], os.X_OK)}, env


def check(report, server, rounds):
    report.title("One-shot check of a Once that is done: the whole program, from its start to its end")
    party = Party(server, "kube")
    argvs, env = programs(party)
    koncli = argvs["koncli once check"]
    subprocess.run([binary(), "run", "@run-once", "--store", "kube", "--listen", "off", "--", "true"],
                   env={**env, "NAME": "done"}, check=True, capture_output=True)
    took = {name: [] for name in argvs}
    for _ in range(rounds):  # in turns, so that all have the same weather
        for name, argv in argvs.items():
            took[name].append(milliseconds(argv, env, (0,)))
    p50 = {name: statistics.median(values) for name, values in took.items()}
    base = p50.get("libcurl, static", p50["libcurl, shared"])
    for name, value in p50.items():
        ratio = f"{value / base:.2f} x the bare program"
        target = "<= 1.2 x" if argvs[name] is koncli else ""
        report.row(name, f"p50 {value:.1f}  min {min(took[name]):.1f} ms; {ratio}", target,
                   value <= 1.2 * base if target else None)
