"""The play of tools/quickstart: five replicas of the shop get a new release, without konductor and with it.

Standard library only.  The replicas of the first part run entrypoint.sh, those of the second `konductor run shop.lua`;
both have the same database, prepared as release 1 left it.  Everything lives in a temporary directory, which is kept
when something goes wrong.
"""

import ctypes
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from board import GREEN, RED, Board, heading, paint, say
from story import Story
from venv_cache import python_environment

HERE = Path(__file__).resolve().parent
KONDUCTOR = os.environ["KONDUCTOR_BIN"]
REPLICAS = 5
PATIENCE_S = 120 * float(os.environ.get("KONDUCTOR_TEST_PATIENCE", "1"))
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Failed(Exception):
    """The demonstration did not go as it must; the text says what went wrong."""


LIBC = ctypes.CDLL(None)


def die_with_me():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port():
    """A port that nobody listens on, below those that the kernel gives to connections: it stays free until it is used."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def kill_group(process):
    """Kills what is left of the process and its group, and waits for the end of each of them."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    try:
        while True:
            os.waitpid(-process.pid, 0)
    except ChildProcessError:
        pass


class Replica:
    """One replica: its process, its port, and the files that it writes."""

    def __init__(self, directory, name, argv, env):
        self.name = name
        self.port = free_port()
        self.log = directory / f"{name}.log"
        self.events = directory / f"{name}.events"
        self.argv = [word.replace("EVENTS", str(self.events)) for word in argv]
        self.env = {**env, "PORT": str(self.port), "KONDUCTOR_HOLDER_ID": name}
        self.process = None
        self.crashes = 0
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, cwd=HERE, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True, preexec_fn=die_with_me)

    def serves(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def last_line(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1].strip() if lines else "(it said nothing)"

    def terminate(self):
        if self.process.poll() is None:
            self.process.terminate()

    def reap(self, seconds):
        """Its exit code; after `seconds` everything that is left of it is killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            kill_group(self.process)


class Shop:
    """A database as release 1 left it, and the replicas that get release 2."""

    def __init__(self, directory, venv):
        self.directory = directory
        self.directory.mkdir()
        self.replicas = []
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("KONDUCTOR_")}
        self.env.update(
            PATH=f"{venv}/bin:{os.environ['PATH']}",
            PYTHONPATH=str(HERE),
            PYTHONDONTWRITEBYTECODE="1",
            DATABASE_URL=f"sqlite:///{directory}/shop.db",
            SHOP_CACHE=str(directory / "cache.json"),
            IMAGE_TAG="2.0",
            KONDUCTOR_STORE=f"sqlite:{directory}/state.db",
        )
        self.chore("alembic", "upgrade", "0001")
        self.chore("python", "-m", "shop", "catalogue")

    def chore(self, *argv, fails=True):
        done = subprocess.run(argv, cwd=HERE, env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if fails and done.returncode != 0:
            raise Failed(f"{' '.join(argv)} failed: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def wrong(self):
        """What is wrong with the data, a line each."""
        return self.chore("python", "-m", "shop", "check", fails=False)

    def start(self, name, argv):
        self.replicas.append(Replica(self.directory, name, argv, self.env))
        return self.replicas[-1]

    def stop(self):
        """TERM to all, then their exit codes in order of start."""
        for replica in self.replicas:
            replica.terminate()
        codes = {replica.name: replica.reap(40) for replica in self.replicas}
        self.replicas = []
        return codes


def until_served(replicas, board, step):
    """Calls step(replica) for each that does not serve yet, until all of them do."""
    waiting = list(replicas)
    deadline = time.monotonic() + PATIENCE_S
    while waiting:
        if time.monotonic() > deadline:
            raise Failed(f"{', '.join(r.name for r in waiting)}: no answer over HTTP within {PATIENCE_S:g} s")
        for replica in list(waiting):
            step(replica)
            if replica.process.poll() is None and replica.serves():
                board.set(replica.name, f"serves http://127.0.0.1:{replica.port}/", good=True)
                waiting.remove(replica)
        board.tick()
        time.sleep(0.03)


def without(shop):
    """Part one, the usual entrypoint; what crashes is restarted, as Kubernetes would.  Returns what is wrong then."""
    board = Board([f"replica-{n}" for n in range(1, REPLICAS + 1)])
    for name in board.names:
        board.set(name, "alembic upgrade head && seed && warm-cache && gunicorn")
        shop.start(name, ["./entrypoint.sh"])

    def step(replica):
        code = replica.process.poll()
        if code is None:
            return
        replica.crashes += 1
        if replica.crashes > 5:
            raise Failed(f"{replica.name} crashes again and again: {replica.last_line()}")
        board.set(replica.name, f"CRASHED with {code}: {replica.last_line()}; restarted", bad=True)
        replica.start()

    until_served(shop.replicas, board, step)
    board.close()
    crashed = sum(replica.crashes > 0 for replica in shop.replicas)
    wrong = [f"{crashed} of {REPLICAS} replicas crashed on their first start"] if crashed else []
    wrong += shop.wrong()
    shop.stop()
    return wrong


def follow(replica, board, story):
    """Shows what the replica's event log says; raises when it has ended."""
    for text in filter(None, story.news(replica)):
        board.set(replica.name, text)
    code = replica.process.poll()
    if code is not None:
        raise Failed(f"{replica.name} ended with {code}: {replica.last_line()}")


def with_konductor(shop):
    """Part two.  Raises Failed unless each stage ran once, the data are right, and all end in peace."""
    board = Board([f"replica-{n}" for n in range(1, REPLICAS + 1)])
    story = Story()
    argv = [KONDUCTOR, "run", "shop.lua", "--listen", "off", "--events", "EVENTS"]
    for name in board.names:
        board.set(name, "konductor run shop.lua")
        shop.start(name, argv)
    until_served(shop.replicas, board, lambda replica: follow(replica, board, story))
    board.close()
    for line in story.who_ran():
        good(line)
    if story.ran_twice():
        raise Failed("a stage ran twice: " + ", ".join(story.ran_twice()))
    wrong = shop.wrong()
    if wrong:
        raise Failed("; ".join(wrong))
    good("the data are right: every price, every coupon")

    late = f"replica-{REPLICAS + 1}"
    heading(f"     Later {late} joins, with the same release")
    board = Board([late])
    before = story.runs()
    shop.start(late, argv)
    until_served(shop.replicas[-1:], board, lambda replica: follow(replica, board, story))
    board.close()
    if story.runs() != before or shop.wrong():
        raise Failed(f"{late} did something again")
    good("it found everything done and went straight to its web server")

    codes = shop.stop()
    if any(code != 0 for code in codes.values()):
        raise Failed(f"stopped by TERM, the replicas ended with {codes}")
    good("stopped by TERM: all six web servers shut down cleanly, exit code 0")


def good(text):
    say(paint(f"     + {text}", GREEN))


def bad(text):
    say(paint(f"     - {text}", RED))


def play(directory):
    venv = python_environment(say)
    heading("3/4  Without konductor: release 2 of the shop, five replicas at once, entrypoint.sh in each")
    say("     Revision 0002 turns the prices from euros into cents; it takes about two seconds.")
    shops = [Shop(directory / "without", venv), Shop(directory / "with", venv)]
    try:
        wrong = without(shops[0])
        if not wrong:
            raise Failed("the race went well this time, by luck; run it again")
        say("     All five answer now, and every light is green. But:")
        for line in wrong:
            bad(line)
        heading("4/4  With konductor: the same release, the same five replicas, tools/demo/shop.lua in each")
        with_konductor(shops[1])
    finally:
        for shop in shops:
            shop.stop()


def leave(number, _frame):
    sys.exit(128 + number)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)  # the orphans of a replica that dies are ours to wait for
    directory = Path(tempfile.mkdtemp(prefix="konductor-demo-"))
    keep = False
    try:
        play(directory)
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        keep = True
        say(paint(f"\nquickstart: FAILED: {error}", RED))
        say(f"The logs of the replicas and their databases are in {directory}")
        return 1
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    say(paint("\nquickstart: OK. Without konductor the release broke the shop; with it, each step ran once.", GREEN))
    say("Next: tools/demo/shop.lua (the whole script), scripts/ (ready-made ones), README.md, docs/architecture.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
