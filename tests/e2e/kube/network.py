"""A network of its own for clients, behind a router that a test can make swallow every packet without a word.

    network = Network()                              # PermissionError where namespaces cannot be made
    proxy = Proxy(port, host=network.here)           # what clients in there reach
    self.start(script, wrapper=network.wrapper)      # a client in there
    network.cut(); network.heal()
    network.connections()                            # of the clients: [(local, remote)], as their kernel sees them

Links stay up and nobody answers "unreachable": packets are dropped in the middle, in both directions, as by a switch that
died or a firewall that forgot. The namespaces belong to two sleeping processes and end with them, and those with us.
"""

import ctypes
import os
import secrets
import signal
import subprocess

PR_SET_PDEATHSIG = 1


def die_with_us():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Network:
    def __init__(self):
        if os.geteuid() != 0:
            raise PermissionError("only root may make networks")
        self.owners = []
        self.link = f"kon{secrets.token_hex(4)}"
        try:
            self.client, self.router = self.namespace(), self.namespace()
            self.run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.router)
        except (OSError, subprocess.CalledProcessError) as refused:
            self.close()
            raise PermissionError(f"cannot make a network: {getattr(refused, 'stderr', refused)}") from None
        self.connect()

    def namespace(self):
        """The pid of a process that has one of its own."""
        owner = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo made; exec sleep infinity"], text=True,
                                 stdout=subprocess.PIPE, preexec_fn=die_with_us)
        self.owners.append(owner)
        if owner.stdout.readline() != "made\n":
            raise OSError("unshare --net")
        return owner.pid

    @staticmethod
    def run(*argv):
        return subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True).stdout

    def within(self, pid, *argv):
        return self.run("nsenter", "--target", pid, "--net", *argv)

    def connect(self):
        """Here -- router -- client, with addresses of 198.18.0.0/15, which are for such things."""
        number = secrets.randbelow(1 << 14)
        net = f"198.{18 + (number >> 13)}.{(number >> 5) & 255}"
        base = (number & 31) * 8
        self.here, ours, theirs, client = (f"{net}.{base + n}" for n in (1, 2, 5, 6))
        self.run("ip", "addr", "add", f"{self.here}/30", "dev", self.link)
        self.run("ip", "link", "set", self.link, "up")
        self.within(self.router, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", self.client)
        for pid, device, address in ((self.router, "eth0", ours), (self.router, "eth1", theirs), (self.client, "eth0", client)):
            self.within(pid, "ip", "addr", "add", f"{address}/30", "dev", device)
            self.within(pid, "ip", "link", "set", device, "up")
        self.within(self.client, "ip", "link", "set", "lo", "up")
        self.within(self.client, "ip", "route", "add", "default", "via", theirs)
        self.run("ip", "route", "add", f"{net}.{base + 4}/30", "via", ours)
        self.heal()

    @property
    def wrapper(self):
        return ["nsenter", f"--target={self.client}", "--net"]

    def cut(self):
        self.within(self.router, "sysctl", "-qw", "net.ipv4.ip_forward=0")

    def heal(self):
        self.within(self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def connections(self):
        lines = self.within(self.client, "ss", "-tnH", "state", "established").splitlines()
        return [tuple(line.split()[2:4]) for line in lines]

    def close(self):
        for owner in self.owners:
            owner.kill()
            owner.wait()
            owner.stdout.close()
