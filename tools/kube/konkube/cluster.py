"""class Cluster: etcd and some kube-apiservers on loopback ports, for one test or many.

    with Cluster(servers=2) as c:
        c.kubectl("create", "configmap", "x")          # as admin; CompletedProcess
        c.request("GET", "/api/v1/namespaces", server=1)
        c.kill_etcd(); c.start_etcd()

Every server is a child of a keeper (keeper.py), so all of it ends with this process, however that ends. A server is
0, 1, ...; each has its own port, audit log and clock. etcd has one member, or several, which are counted alike.
"""

import json
import os
import re
import secrets
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from . import build, certs, keeper, layout, rest
from .access import Access
from .audit import Audit
from .pod import Pod

READY_SECONDS = 120
CLASHES = 5
ETCD = layout.etcd_name(0)
LOST_RACE = re.compile(rb"repairip\.go.*already exists")


def wait_for(predicate, what, timeout=READY_SECONDS):
    """The first true value of predicate(). TimeoutError with `what` (text or function) when it does not come."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout} s for " + (what() if callable(what) else what))
        time.sleep(0.02)


class Cluster(Access, Audit, Pod):
    def __init__(self, servers=1, flags=(), server_flags=None, clocks=None, directory=None, owned=True, members=1):
        """Starts nothing yet: up() or `with` does.

        flags         more flags for every API server, e.g. ["--min-request-timeout=5"]
        server_flags  {number: [flags]} for some of them
        clocks        {number: seconds} by which a server's clock is wrong; set_clock() changes that later
        directory     where its files are; without one a temporary directory that is removed
        owned         it ends with this process
        members       of etcd; each API server knows them all
        """
        self.programs = build.find()
        self.owned = owned
        self.directory = Path(directory or tempfile.mkdtemp(prefix="konductor-kube-")).resolve()
        self.state = {
            "servers": servers, "members": members, "flags": list(flags),
            "tokens": {user: secrets.token_hex(16) for user in layout.TOKEN_USERS},
            "server_flags": {str(n): list(f) for n, f in (server_flags or {}).items()}, "ports": [], "etcd_ports": []}
        self.clocks = clocks or {}
        self.log_start = {}
        self.keeper = self.lifeline = None

    @classmethod
    def attach(cls, directory):
        """The running cluster of that directory. Raises OSError when there is none."""
        self = cls.__new__(cls)
        self.directory = Path(directory).resolve()
        self.programs = build.find()
        self.owned = False
        self.log_start = {}
        self.keeper = self.lifeline = None
        self.state = json.loads((self.directory / "cluster.json").read_text(encoding="utf-8"))
        self.ask("list")
        return self

    def __enter__(self):
        return self.up()

    def __exit__(self, *exc):
        self.down()

    # Up and down.

    def up(self):
        """Starts everything and waits until every server is ready. Takes 4 to 8 s. On failure nothing is left."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.keeper, self.lifeline = keeper.start(self.directory, self.owned)
            (self.directory / "pki").mkdir(exist_ok=True)
            certs.make(self.directory / "pki")
            layout.write_static(self.directory, self.state["tokens"])
            for number in range(self.servers):
                self.write_clock(number, 0)
            self.start_first(*map(layout.etcd_name, range(self.state["members"])))
            self.start_first(*range(self.servers))
            self.save()
            for number, seconds in self.clocks.items():  # not before: a server that is ahead takes fresh objects for old
                self.set_clock(number, seconds)
            wait_for(lambda: self.request("GET", "/api/v1/namespaces/default").status == 200, "the namespace default")
        except BaseException:
            self.down()
            raise
        return self

    def down(self):
        """Ends every server at once and removes the directory if it is a temporary one. May be called again."""
        try:
            self.ask("down", until_gone=True)
        except OSError:
            pass
        if self.keeper:
            if self.lifeline is not None:
                os.close(self.lifeline)
                self.lifeline = None
            self.keeper.wait()
        if self.owned:
            shutil.rmtree(self.directory, ignore_errors=True)

    def save(self):
        new = self.directory / "cluster.json.new"
        new.touch(mode=0o600)
        new.write_text(json.dumps(self.state), encoding="utf-8")
        new.rename(self.directory / "cluster.json")

    def ask(self, do, **how):
        return keeper.ask(self.directory, do, **how)

    # Servers. `who` is the number of an API server, or the name of a member of etcd.

    def name(self, who):
        return who if isinstance(who, str) else f"apiserver{who}"

    def log(self, who):
        """The path of what it wrote."""
        return self.directory / f"{self.name(who)}.log"

    def log_tail(self, who, lines=30):
        return "\n".join(self.log(who).read_text(errors="replace").splitlines()[-lines:])

    def running(self, who):
        found = self.ask("list").get(self.name(who))
        return bool(found) and found["code"] is None

    def pid(self, who):
        return self.ask("list")[self.name(who)]["pid"]

    def start_first(self, *group):
        """Starts them with new ports, again with others if somebody else got hold of one."""
        for _ in range(CLASHES):
            if group[0] == ETCD:
                self.state["etcd_ports"] = self.ask("ports", count=2 * len(group))
            else:
                for who in group:
                    self.state["ports"][who:who + 1] = self.ask("ports", count=1)
            for who in group:
                self.spawn(who)
            clashed = []
            for who in group:
                try:
                    self.wait_ready(who)
                except OSError:
                    if "address already in use" not in self.log(who).read_text(errors="replace"):
                        raise
                    clashed.append(who)
                    self.log(who).unlink()
            if not clashed:
                return
            group = self.forget_members(group) if isinstance(clashed[0], str) else clashed
        raise OSError(f"no free ports after {CLASHES} attempts")

    def forget_members(self, group):
        """Each knows the ports of all, so with one the others begin anew, too."""
        for who in group:
            self.end(who, signal.SIGKILL)
            self.log(who).unlink(missing_ok=True)
            shutil.rmtree(self.directory / who, ignore_errors=True)
        return group

    def spawn(self, who):
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory)}
        if isinstance(who, str):
            argv = layout.etcd(self.programs, self.directory, layout.etcd_member(who), self.state["etcd_ports"])
        else:
            extra = [*self.state["flags"], *self.state["server_flags"].get(str(who), ())]
            argv = layout.apiserver(self.programs, self.directory, who, self.state["ports"][who],
                                    self.state["etcd_ports"], extra)
            self.audit_log(who).new_life()
            if self.programs.shiftable:
                env["KONDUCTOR_CLOCK_FILE"] = str(self.directory / f"clock-{who}")
        self.log_start[who] = self.log(who).stat().st_size if self.log(who).exists() else 0
        self.ask("spawn", name=self.name(who), argv=argv, env=env, log=str(self.log(who)))

    def lost_race(self, server):
        """Two servers that start together may both create the address of the service "kubernetes". The one that comes
        second gives up, and ends a minute later instead of becoming ready: whatever supervises it starts it again."""
        with open(self.log(server), "rb") as log:
            log.seek(self.log_start.get(server, 0))
            return bool(LOST_RACE.search(log.read()))

    def wait_ready(self, who, timeout=READY_SECONDS):
        def ready():
            if not self.running(who):
                raise OSError(f"{self.name(who)} ended:\n{self.log_tail(who)}")
            if not isinstance(who, str) and self.lost_race(who):
                self.end(who, signal.SIGKILL)
                self.spawn(who)
            try:
                if isinstance(who, str):
                    return b"true" in self.ask_etcd(layout.etcd_member(who), "/health")
                return self.request("GET", "/readyz", server=who, timeout=5).status == 200
            except OSError:
                return False

        wait_for(ready, lambda: f"{self.name(who)} to be ready:\n{self.log_tail(who)}", timeout)

    def signal(self, who, number):
        return self.ask("signal", name=self.name(who), number=int(number))

    def end(self, who, number, timeout=90):
        self.signal(who, number)
        wait_for(lambda: not self.running(who), f"the end of {self.name(who)}", timeout)

    def start(self, who):
        """Resumes it if it is paused, starts it on its old port if it has ended, and waits until it is ready."""
        if not self.signal(who, signal.SIGCONT):
            self.spawn(who)
        self.wait_ready(who)

    # The same, by names.  stop: TERM and its own time to end; kill: at once; pause: it stays and does nothing.

    def stop_apiserver(self, server=0):
        self.end(server, signal.SIGTERM)

    def kill_apiserver(self, server=0):
        self.end(server, signal.SIGKILL)

    def pause(self, who):
        """Returns when all its threads stand still: until then one of them may answer."""
        def stopped():
            return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks.glob("*/stat"))
        self.signal(who, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.pid(who)}/task")
        wait_for(stopped, f"{self.name(who)} to stand still", 60)

    def pause_apiserver(self, server=0):
        self.pause(server)

    def start_apiserver(self, server=0):
        self.start(server)

    def stop_etcd(self, member=0):
        self.end(layout.etcd_name(member), signal.SIGTERM)

    def kill_etcd(self, member=0):
        self.end(layout.etcd_name(member), signal.SIGKILL)

    def pause_etcd(self, member=0):
        self.pause(layout.etcd_name(member))

    def start_etcd(self, member=0):
        self.start(layout.etcd_name(member))

    # Members of etcd.

    def ask_etcd(self, member, path, body=None):
        """What its port for clients answers; OSError. With a body it is a POST."""
        asked = urllib.request.Request(layout.etcd_url(self.state["etcd_ports"][2 * member]) + path,
                                       body if body is None else json.dumps(body).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=5) as answer:
            return answer.read()

    def etcd_leader(self):
        """The number of the member that the others follow; None while there is none."""
        for member in range(self.state["members"]):
            try:
                said = json.loads(self.ask_etcd(member, "/v3/maintenance/status", {}))
            except OSError:
                continue
            if said["header"]["member_id"] == said.get("leader"):
                return member
        return None

    # History and time.

    def save_etcd(self):
        """A copy of what etcd, of one member, holds now; it is killed and started for that. restore_etcd() goes back to it."""
        copy = self.directory / f"etcd-saved-{secrets.token_hex(4)}"
        self.kill_etcd()  # a TERM lets it wait 7 s for the servers' watches; it recovers from a kill as it should
        shutil.copytree(self.directory / "etcd", copy)
        self.start_etcd()
        return copy

    def restore_etcd(self, copy):
        """Back to a saved state, as after a restore from a backup: resource versions go back, too."""
        for number in range(self.servers):
            self.kill_apiserver(number)
        self.kill_etcd()
        shutil.rmtree(self.directory / "etcd")
        shutil.copytree(copy, self.directory / "etcd")
        self.start_etcd()
        for number in range(self.servers):
            self.spawn(number)
        for number in range(self.servers):
            self.wait_ready(number)

    def write_clock(self, server, seconds):
        if seconds and not self.programs.shiftable:
            raise OSError("the kube-apiserver of KUBEBUILDER_ASSETS has this machine's clock; unset it to build one")
        with open(self.directory / f"clock-{server}", "r+b" if (self.directory / f"clock-{server}").exists() else "wb",
                  buffering=0) as file:
            file.write(struct.pack("=q", seconds))  # in place: the server has it mapped

    def set_clock(self, server, seconds):
        """From now on that server's wall clock is so many seconds ahead of this machine's (negative: behind)."""
        self.write_clock(server, seconds)

    # kubectl.

    @property
    def servers(self):
        return self.state["servers"]

    def environment(self, user=layout.ADMIN):
        """Variables for a program that shall use this cluster as that user."""
        return {"KUBECONFIG": str(self.kubeconfig(user)), "KUBECACHEDIR": str(self.directory / "kubectl-cache")}

    def kubectl(self, *arguments, input=None, user=layout.ADMIN, check=True, timeout=300):
        """Runs kubectl; input: text, or an object to pass as JSON. check: AssertionError unless it succeeds."""
        if input is not None and not isinstance(input, str):
            input = json.dumps(input)
        done = subprocess.run(
            [self.programs.kubectl, *map(str, arguments)], input=input, capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL if input is None else None, env={**os.environ, **self.environment(user)})
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}")
        return done
