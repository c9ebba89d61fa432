"""The TCP proxy does what it claims: on a plain server, so that bytes can be counted."""

import socket
import threading
import time
import unittest

from kube.cluster import wait_for
from kube.proxy import Proxy

PATIENCE = 20


class Echo:
    """Answers each byte with a copy, and keeps what it got."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got = b""
        self.ends = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        try:
            while data := peer.recv(65536):
                self.got += data
                peer.sendall(data)
            self.ends.append("FIN")
        except ConnectionResetError:
            self.ends.append("RST")
        finally:
            peer.close()


class TcpProxy(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.addCleanup(self.echo.listener.close)
        self.proxy = Proxy(self.echo.port)
        self.addCleanup(self.proxy.close)

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.proxy.port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def echoed(self, client, data):
        client.sendall(data)
        return self.receive(client, len(data))

    def receive(self, client, count):
        got = b""
        while len(got) < count and (data := client.recv(count - len(got))):
            got += data
        return got

    def silent(self, client, seconds=0.3):
        """True when nothing comes for so long: what a test of silence has to wait for."""
        client.settimeout(seconds)
        try:
            client.recv(1)
            return False
        except TimeoutError:
            return True
        finally:
            client.settimeout(PATIENCE)

    def test_bytes_pass_both_ways_and_are_counted(self):
        client = self.connect()
        data = bytes(range(256)) * 4000
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        self.assertEqual(self.receive(client, len(data)), data)
        self.assertEqual((self.proxy.connections, self.proxy.open), (1, 1))
        wait_for(lambda: self.proxy.bytes == {"up": len(data), "down": len(data)}, "the counts", PATIENCE)

    def test_the_end_of_one_side_reaches_the_other(self):
        client = self.connect()
        self.echoed(client, b"x")
        client.close()
        wait_for(lambda: self.echo.ends == ["FIN"], "the server's end", PATIENCE)
        wait_for(lambda: self.proxy.open == 0, "the proxy to forget it", PATIENCE)

    def test_delay_holds_each_direction_back_and_keeps_the_order(self):
        client = self.connect()
        for up, down in ((0.3, 0), (0, 0.3), (0.2, 0.2)):
            self.proxy.delay(up, down)
            started = time.monotonic()
            client.sendall(b"a")
            self.assertEqual(self.echoed(client, b"b"), b"a")
            self.assertEqual(self.receive(client, 1), b"b")
            self.assertGreaterEqual(time.monotonic() - started, up + down)
        self.proxy.heal()
        self.assertEqual(self.echoed(client, b"cd"), b"cd")

    def test_held_bytes_are_delivered_after_heal(self):
        client = self.connect()
        self.proxy.hold("down")
        client.sendall(b"held")
        wait_for(lambda: self.echo.got == b"held", "the server to have it", PATIENCE)
        self.assertTrue(self.silent(client))
        self.proxy.heal()
        self.assertEqual(self.receive(client, 4), b"held")

    def test_dropped_bytes_never_arrive_and_heal_resets_who_lost_some(self):
        hurt, well = self.connect(), self.connect()
        self.echoed(hurt, b"1")
        self.echoed(well, b"2")
        self.proxy.drop("up")
        hurt.sendall(b"lost")
        wait_for(lambda: any(c.dropped for c in self.proxy.alive), "the loss", PATIENCE)
        self.proxy.heal()
        with self.assertRaises(ConnectionResetError):
            hurt.recv(1)
        self.assertEqual(self.echoed(well, b"3"), b"3")
        self.assertNotIn(b"lost", self.echo.got)
        self.assertEqual(self.proxy.lost, 1)

    def test_a_frozen_proxy_accepts_and_says_nothing_until_heal(self):
        old = self.connect()
        self.echoed(old, b"1")
        self.proxy.freeze()
        new = self.connect()
        for client in (old, new):
            client.sendall(b"2")
            self.assertTrue(self.silent(client))
        self.assertEqual(self.echo.got, b"1")
        self.proxy.heal()
        for client in (old, new):
            self.assertEqual(self.receive(client, 1), b"2")

    def test_reset_sends_rst_to_both_ends(self):
        client = self.connect()
        self.echoed(client, b"x")
        self.proxy.reset()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        wait_for(lambda: self.echo.ends == ["RST"], "the server's reset", PATIENCE)
        self.assertEqual(self.echoed(self.connect(), b"y"), b"y")

    def test_reset_after_lets_so_many_bytes_pass_once(self):
        self.proxy.reset_after(3)
        client = self.connect()
        client.sendall(b"abcdef")
        self.assertEqual(self.receive(client, 3), b"abc")
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        self.assertEqual(self.echoed(self.connect(), b"abcdef"), b"abcdef")

    def test_truncate_after_ends_with_fin(self):
        self.proxy.truncate_after(2, times=2)
        for _ in range(2):
            client = self.connect()
            client.sendall(b"abcdef")
            self.assertEqual(self.receive(client, 6), b"ab")
            self.assertEqual(client.recv(1), b"")
        self.assertEqual(self.echoed(self.connect(), b"abcdef"), b"abcdef")

    def test_refused_connections_are_taken_again_on_the_same_port(self):
        client = self.connect()
        self.proxy.refuse()
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        self.assertEqual(self.echoed(client, b"x"), b"x")
        self.proxy.accept()
        self.assertEqual(self.echoed(self.connect(), b"y"), b"y")

    def test_cut_all_leaves_nothing(self):
        client = self.connect()
        self.echoed(client, b"x")
        self.proxy.cut_all()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        self.assertEqual(self.proxy.open, 0)

    def test_many_connections_at_once_keep_their_bytes_apart(self):
        clients = [self.connect() for _ in range(50)]
        for number, client in enumerate(clients):
            client.sendall(b"%03d" % number * 1000)
        for number, client in enumerate(clients):
            self.assertEqual(self.receive(client, 3000), b"%03d" % number * 1000)
        for client in clients:
            client.close()
        wait_for(lambda: self.proxy.open == 0, "all to be closed", PATIENCE)


if __name__ == "__main__":
    unittest.main()
