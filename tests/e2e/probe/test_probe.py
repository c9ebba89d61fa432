"""The probe endpoint of the whole program: from before the script is loaded until the end, whatever clients do."""

import http.client
import json
import os
import resource
import signal
import socket
import threading
import time
import unittest

from lib import PATIENCE, SANITIZER_KB, ClusterTest, wait_for

HOSTILE = 10_000
KUBELET_ADDRESS = "127.0.0.1"
ANOTHER_ADDRESS = "127.0.0.3"
# One try of the kubelet: its default for timeoutSeconds.
KUBELET_TIMEOUT_S = 1
# How long a connection lives at most, with some room.
CONNECTION_S = 4
TRIES = 20

LEADER = '''
local k = require "konductor"
k.lease "boss" { ttl = "15s", main = { "sleep", "1000" } }
'''


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class ProbeTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.listen = f"127.0.0.1:{self.port}"

    def get(self, path, port=None, timeout=60):
        """A connection that is refused or closed is an error, unless the machine was so slow that its time was over:
        then, as the kubelet does, it is tried again."""
        for _ in range(TRIES):
            began = time.monotonic()
            try:
                return self.get_once(path, port, timeout)
            except (OSError, http.client.HTTPException) as problem:
                if time.monotonic() - began < min(timeout, CONNECTION_S):
                    raise
                late = problem
        raise late

    def get_once(self, path, port, timeout):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def status(self, path, port=None):
        """The status, or None when nobody answers yet."""
        try:
            return self.get(path, port)[0]
        except ConnectionRefusedError:
            return None

    def wait_status(self, path, status, timeout=60, port=None):
        wait_for(lambda: self.status(path, port) == status, timeout, f"{path} to answer {status}", self.cluster.describe)


class States(ProbeTest):
    def test_it_answers_before_the_script_is_loaded(self):
        reading, writing = os.pipe()
        with open(reading, "rb") as script, open(writing, "w") as sender:
            replica = self.cluster.start("-", stdin=script, listen=self.listen)
            self.wait_status("/livez", 200)
            self.assertEqual(self.get("/readyz")[0], 503)
            self.assertEqual(self.get("/leaderz")[0], 503)
            sender.write(LEADER)
        replica.wait_event("start")
        self.wait_status("/readyz", 200)
        self.wait_status("/leaderz", 200)

    def test_the_leader_leads_and_the_standby_is_ready(self):
        script = self.cluster.script(LEADER)
        self.cluster.start(script, listen=self.listen).wait_event("start")
        self.wait_status("/leaderz", 200)
        standby_port = free_port()
        self.cluster.start(script, listen=f"127.0.0.1:{standby_port}")
        self.wait_status("/readyz", 200, port=standby_port)
        self.assertEqual(self.get("/leaderz", standby_port)[0], 503)
        for path in ("/", "/healthcheck"):
            status, body = self.get(path)
            self.assertEqual((status, json.loads(body)), (200, {"status": "ok", "state": "BecameLeader"}))
            status, body = self.get(path, standby_port)
            self.assertEqual((status, json.loads(body)), (404, {"status": "ok", "state": "BecameFollower"}))

    def test_it_says_that_it_is_stopping_while_the_child_still_works(self):
        go = self.cluster.directory / "go"
        os.mkfifo(go)
        script = self.cluster.script(f'''
            local k = require "konductor"
            k.lease "boss" {{ ttl = "15s", main = {{ "sh", "-c", "trap 'cat {go}; exit 0' TERM; echo up; sleep 1000 & wait" }} }}
        ''')
        replica = self.cluster.start(script, listen=self.listen)
        replica.wait_stdout("up")
        replica.signal(signal.SIGTERM)
        self.wait_status("/", 503)
        self.assertEqual(self.get("/readyz")[0], 503)
        self.assertEqual(self.get("/livez")[0], 200)
        self.assertTrue(replica.running)
        go.write_text("now")
        replica.wait()

    def test_liveness_fails_while_a_script_loops_and_then_the_program_ends(self):
        script = self.cluster.script('require("konductor").exec { "true" }\nwhile true do end')
        # The watchdog's time is long, so that nobody can be late to see it, and then short.
        replica = self.cluster.start(script, listen=self.listen, env={"KONDUCTOR_STUCK_MS": "1800000"})
        self.wait_status("/livez", 503)
        replica.kill()
        replica = self.cluster.start(script, listen=self.listen, env={"KONDUCTOR_STUCK_MS": None})
        self.assertEqual(replica.wait(), 70)

    def test_metrics_are_what_prometheus_reads(self):
        self.cluster.start(self.cluster.script(LEADER), listen=self.listen).wait_event("start")
        status, body = self.get("/metrics")
        self.assertEqual(status, 200)
        for line in body.splitlines():
            self.assertRegex(line, r"^# (HELP|TYPE) konductor_\w+ .+$|^konductor_\w+(\{.*\})? -?[0-9.e+]+$")
        self.assertTrue(body.endswith("\n"))


class Addresses(ProbeTest):
    def test_a_taken_address_that_was_asked_for_ends_the_run(self):
        with socket.create_server(("127.0.0.1", self.port)):
            done = self.cluster.run("run", "--listen", self.listen, self.cluster.script(LEADER))
        self.assertEqual(done.returncode, 78)
        self.assertIn(self.listen, done.stderr)
        self.assertIn("--listen", done.stderr)

    def test_a_taken_default_is_a_warning(self):
        try:
            taken = socket.create_server(("0.0.0.0", 5047))
        except OSError:
            taken = None  # by somebody else: as good
        try:
            script = self.cluster.script('local k = require "konductor"\nk.flow "f" { k.stage "s" { run = { "true" } } }')
            done = self.cluster.run("run", script)
        finally:
            if taken:
                taken.close()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("5047: another process does; there is none: choose another port by --listen, or --listen off\n", done.stderr)

    def test_what_is_no_address_ends_the_run_with_an_example(self):
        done = self.cluster.run("run", "--listen", "localhost:80", self.cluster.script(LEADER))
        self.assertEqual(done.returncode, 64)
        self.assertIn("127.0.0.1:8080", done.stderr)

    def test_off_has_no_second_thread(self):
        replica = self.cluster.start(self.cluster.script(LEADER), listen="off")
        replica.wait_event("start")
        self.assertEqual(len(os.listdir(f"/proc/{replica.pid}/task")), 1)

    def test_the_port_is_free_once_konductor_is_dead_though_its_child_had_to_be_killed(self):
        replica = self.cluster.start(self.cluster.script(LEADER), listen=self.listen)
        replica.wait_event("start")
        self.wait_status("/livez", 200)
        replica.kill()
        self.assertIsNone(self.status("/livez"))
        with socket.create_server(("127.0.0.1", self.port)):
            pass


class Client(ProbeTest):
    def test_the_exit_code_is_the_answer(self):
        self.cluster.start(self.cluster.script(LEADER), listen=self.listen).wait_event("start")
        url = f"http://{self.listen}"
        self.wait_status("/leaderz", 200)
        self.assertEqual(self.cluster.run("probe", f"{url}/leaderz").returncode, 0)
        self.assertEqual(self.cluster.run("probe", f"{url}/nothing").returncode, 1)

    def test_nobody_there_is_a_failure_with_a_sentence(self):
        done = self.cluster.run("probe", f"http://{self.listen}/livez")
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.listen, done.stderr)


class Hostile(ProbeTest):
    """Row 55 of the fault table."""

    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.held = min(hard, 4096) - 256
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        # What AddressSanitizer sets aside of freed memory is no growth of ours.
        options = self.cluster.env()["ASAN_OPTIONS"] + ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
        self.replica = self.cluster.start(self.cluster.script(LEADER), listen=self.listen, env={"ASAN_OPTIONS": options})
        self.replica.wait_event("start")
        self.wait_status("/readyz", 200)

    def attack(self, address, ended, problems):
        """Opens HOSTILE connections from address, all that we may hold at a time, each with half a request."""
        connections = []
        try:
            for i in range(HOSTILE):
                connection = socket.socket()
                connection.settimeout(30 * PATIENCE)
                connection.bind((address, 0))
                connection.connect(("127.0.0.1", self.port))
                try:
                    connection.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"x" * (i % 7))
                except ConnectionError:
                    pass  # dropped already
                connections.append(connection)
                if len(connections) == self.held:
                    connections.pop(0).close()
        except OSError as problem:
            problems.append(problem)
        finally:
            ended.set()
            for connection in connections:
                connection.close()

    def check_kubelet_under_attack(self, address):
        ended, problems, took = threading.Event(), [], []
        attacker = threading.Thread(target=self.attack, args=(address, ended, problems))
        attacker.start()
        try:
            while not ended.is_set():
                began = time.monotonic()
                status, _ = self.get("/readyz", timeout=KUBELET_TIMEOUT_S)
                took.append(time.monotonic() - began)
                self.assertEqual(status, 200)
        finally:
            attacker.join()
        self.assertEqual(problems, [])
        took.sort()
        print(f"\n  {HOSTILE} hostile connections from {address}: {len(took)} answers, p50 {took[len(took) // 2] * 1e3:.1f} ms,"
              f" slowest {took[-1] * 1e3:.1f} ms")
        self.assertEqual(self.get("/livez")[0], 200)
        self.assertTrue(self.replica.running)

    def test_the_kubelet_is_answered_while_ten_thousand_connections_come_from_elsewhere(self):
        self.check_kubelet_under_attack(ANOTHER_ADDRESS)

    def test_the_kubelet_is_answered_while_ten_thousand_connections_come_from_its_own_address(self):
        """As they do behind a node port, which gives all traffic the node's address."""
        self.check_kubelet_under_attack(KUBELET_ADDRESS)

    def test_memory_does_not_grow_with_hostile_connections(self):
        def resident_kb():
            with open(f"/proc/{self.replica.pid}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))

        self.attack(ANOTHER_ADDRESS, threading.Event(), [])
        first = resident_kb()
        self.attack(ANOTHER_ADDRESS, threading.Event(), [])
        # A connection's memory is 8 KiB: 64 of them, and nothing for the ten thousand that came and went.
        self.assertLess(resident_kb() - first, 1024 + SANITIZER_KB)


if __name__ == "__main__":
    unittest.main()
