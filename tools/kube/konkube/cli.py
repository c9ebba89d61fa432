"""The command line of tools/cluster."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from . import build
from .cluster import ETCD, Cluster

ROOT = Path(__file__).resolve().parents[3]
HELP = """\
A real Kubernetes API server (kube-apiserver, etcd, kubectl) on loopback ports, for tests, benches and by hand.

  tools/cluster up                  starts it and prints the path of a kubeconfig (admin) as last line
  tools/cluster kubectl get leases  kubectl on it
  tools/cluster restart etcd        or apiserver: ends it by TERM and starts it again
  tools/cluster down                ends it and removes its files in build/cluster/NAME
  tools/cluster run -- CMD ...      up, CMD with KUBECONFIG set, down, whatever happens; ends as CMD does
  tools/cluster build               only makes sure that the programs are there, prints their directory
"""


def directory(name):
    return ROOT / "build" / "cluster" / name


def attach(name):
    try:
        return Cluster.attach(directory(name))
    except (OSError, ValueError):
        raise SystemExit(f"tools/cluster: no cluster '{name}' is up; tools/cluster up starts it") from None


@contextlib.contextmanager
def only_one(name):
    """Two `up` or `down` of the same name, one after the other."""
    path = directory(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with build.lock(path.with_name(path.name + ".lock"), "another tools/cluster is at it"):
        yield path


def up(options):
    with only_one(options.name) as path:
        try:
            cluster = Cluster.attach(path)
            build.say(f"'{options.name}' is up already")
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            cluster = Cluster(options.servers, options.flag, directory=path, owned=False).up()
    for url in cluster.urls:
        print(url)
    print(cluster.kubeconfig())
    return 0


def down(options):
    with only_one(options.name) as path:
        with contextlib.suppress(OSError):
            Cluster.attach(path).down()
        shutil.rmtree(path, ignore_errors=True)
    return 0


def status(options):
    cluster = attach(options.name)
    everything = [ETCD, *range(cluster.servers)]
    for who in everything:
        where = f"http://127.0.0.1:{cluster.state['etcd_ports'][0]}" if who == ETCD else cluster.urls[who]
        state = f"pid {cluster.pid(who)}" if cluster.running(who) else "ended"
        print(f"{cluster.name(who):<12} {state:<12} {where}  {cluster.log(who)}")
    return 0 if all(map(cluster.running, everything)) else 1


def kubectl(options):
    cluster = attach(options.name)
    os.execve(cluster.programs.kubectl, ["kubectl", *options.command], {**os.environ, **cluster.environment()})


def restart(options):
    cluster = attach(options.name)
    for who in [ETCD] if options.what == ETCD else range(cluster.servers):
        cluster.end(who, signal.SIGTERM)
        cluster.start(who)
    return 0


def run(options):
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise SystemExit("tools/cluster: run needs a command: tools/cluster run -- CMD ...")
    process = early = None

    def forward(number, _):
        if process:
            process.send_signal(number)
        elif early is None:
            raise SystemExit(128 + number)
        else:
            early.append(number)  # the command starts, and we do not know its pid yet

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    with Cluster(options.servers, options.flag) as cluster:
        environment = {**os.environ, **cluster.environment()}
        environment["PATH"] = f"{cluster.programs.directory}:{environment.get('PATH', os.defpath)}"
        early = []
        process = subprocess.Popen(command, env=environment)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    return code if code >= 0 else 128 - code


def build_only(_):
    print(build.find().directory)
    return 0


def parser():
    top = argparse.ArgumentParser(prog="tools/cluster", description=HELP,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name, function, text, named=True, starts=False):
        sub = verbs.add_parser(name, help=text)
        sub.set_defaults(function=function)
        if named:
            sub.add_argument("--name", default="default", help="which of several clusters (default: default)")
        if starts:
            sub.add_argument("--servers", type=int, default=1, metavar="N", help="so many API servers on one etcd")
            sub.add_argument("--flag", action="append", default=[], metavar="--FLAG=VALUE",
                             help="for each kube-apiserver, as --flag=--min-request-timeout=5; may be repeated")
        return sub

    verb("up", up, "start it", starts=True)
    verb("down", down, "end it")
    verb("status", status, "what runs; exit code 1 when something does not")
    verb("kubectl", kubectl, "run kubectl on it").add_argument("command", nargs=argparse.REMAINDER)
    verb("restart", restart, "end and start one kind of server").add_argument("what", choices=["apiserver", ETCD])
    verb("run", run, "run a command on a cluster of its own", named=False, starts=True).add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- CMD ...")
    verb("build", build_only, "build the programs if they are not there", named=False)
    return top


def main(arguments):
    options = parser().parse_args(arguments)
    try:
        return options.function(options)
    except (OSError, ValueError) as error:
        print(f"tools/cluster: {error}", file=sys.stderr)
        return 1
