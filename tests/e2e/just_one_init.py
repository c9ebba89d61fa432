"""konductor under the name just-one-init, for its tests: replicas of it, their work, and what their probes answer.

The work takes a lock of the kernel that lasts as long as any process of it, and writes a line when it begins; a second
one that begins meanwhile writes "overlap". So the line is the proof, whatever konductor believes.
"""

import http.client
import re
import subprocess

from lib import Replica, binary, check_sanitizers, wait_for

NAME = "just-one-init"
PORT = re.compile(r"probe endpoint on port (\d+)")
WORK = 'exec 9>>"$WORK_LOG.lock"; flock -n 9 || echo overlap >> "$WORK_LOG"; echo "$KONDUCTOR_HOLDER" >> "$WORK_LOG"; '


def work(then="exec sleep 100000"):
    """A command line that says when it begins, and goes on with `then`."""
    return ["sh", "-c", WORK + then]


def start(cluster, name, argv, *, env=None, wrapper=(), program=None):
    """Starts `just-one-init ARGV`, whose host name is `name`. Its probe endpoint takes a free port: see port()."""
    directory = cluster.directory / f"{name}.{len(cluster.replicas)}"
    directory.mkdir()
    made = {"HOSTNAME": name, "LISTEN_ADDR": "127.0.0.1:0", "RUST_LOG": "debug", "WORK_LOG": log_path(cluster),
            **(env or {})}
    # What stands behind a wrapper is found by its path, so its name must be the program's.
    first = [*wrapper, str(program or link(cluster))] if wrapper or program else [NAME]
    with open(directory / "stdout", "wb") as out, open(directory / "stderr", "wb") as err:
        process = subprocess.Popen([*first, *map(str, argv)], executable=None if wrapper or program else binary(),
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=cluster.env(made),
                                   cwd=cluster.directory, start_new_session=True)
    replica = Replica(cluster, name, process, directory)
    cluster.replicas.append(replica)
    return replica


def run(cluster, *argv, env=None, name=NAME, **how):
    """Runs it, or the program under another name, to its end."""
    made = {"LISTEN_ADDR": "off", **(env or {})} if name == NAME else env
    done = subprocess.run([name, *map(str, argv)], executable=binary(), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env=cluster.env(made), cwd=cluster.directory, timeout=600, check=False, **how)
    check_sanitizers(" ".join([name, *map(str, argv)]), done.stderr)
    return done


def link(cluster, name=NAME):
    """The program under that name, in the directory of the cluster."""
    path = cluster.directory / "bin" / name
    path.parent.mkdir(exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(binary())
    return path


def log_path(cluster):
    return cluster.directory / "work"


def begun(cluster):
    """The names of those whose work has begun, one after the other, with "overlap" where two worked at once."""
    path = log_path(cluster)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_begun(cluster, count):
    return wait_for(lambda: begun(cluster) if len(begun(cluster)) >= count else None, what=f"work number {count}",
                    describe=cluster.describe)


def port(replica):
    return int(replica.wait_for(lambda: PORT.search(replica.stderr), what="its port")[1])


def ask(replica, path="/"):
    """The answer of its probe endpoint: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port(replica), timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def wait_answer(replica, status, path="/"):
    wait_for(lambda: ask(replica, path)[0] == status, what=f"{status} from {replica.name}",
             describe=replica.cluster.describe)
