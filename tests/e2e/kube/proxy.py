"""A TCP proxy for one client, whose faults a test switches on and off while connections run. TLS passes through.

    with Proxy(c.state["ports"][0]) as p:
        kubeconfig = c.kubeconfig(url=p.url)
        p.freeze()                # half-open: neither side is read any more, the sockets stay
        p.heal()                  # everything as at first

Directions: "up" is client to server, "down" is server to client. Each fault holds for the connections there are and
for new ones, until heal() or the fault's own opposite.

    delay(up=s, down=s)     each byte is delivered that much later, in order
    hold("up", ...)         bytes are kept, and delivered when healed: a partition that TCP survives
    drop("up", ...)         bytes are thrown away; heal() resets the connections that lost some
    strand()                bytes of the connections there are are thrown away, for ever; new ones work: what is left
                            of connections when a machine on the way has forgotten them
    freeze()                nothing is read; who connects is accepted and gets no answer
    reset()                 RST to both ends of all connections, now
    reset_after(n)          RST once n bytes of answers have passed on a connection since; the first `times` of them
    truncate_after(n)       the same, ending in FIN to the client
    refuse()                new connections are refused; accept() takes them again
    cut_all()               refuse() and reset(): the server is gone

A server that is not there shows as a connection that is reset, not as one that is refused.

connections (accepted so far), open (now), bytes["up"], bytes["down"] (delivered) and lost (connections that dropped
bytes) count.
"""

import asyncio
import contextlib
import socket
import struct
import threading

from kube import cluster  # noqa: F401  makes konkube importable
from konkube.keeper import Ports

DIRECTIONS = ("up", "down")
PORTS = Ports()


class Cut:
    """What reset_after() and truncate_after() set up."""

    def __init__(self, after, reset, times):
        self.after, self.reset, self.times = after, reset, times


class Connection:
    """One client's and its server's socket, and a task for each direction."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.client, self.server = client, server
        self.dropped = self.stranded = False
        self.cut, self.passed = None, 0
        self.tasks = []

    async def run(self):
        try:
            await self.proxy.loop.sock_connect(self.server, self.proxy.target)
        except OSError:
            self.abort()
            return
        pumps = [asyncio.create_task(self.pump("up", self.client, self.server)),
                 asyncio.create_task(self.pump("down", self.server, self.client))]
        self.tasks += pumps
        await asyncio.wait(pumps)
        self.close()

    def close(self):
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        for end in (self.client, self.server):
            if end.fileno() >= 0:
                self.proxy.loop.remove_reader(end)  # before its number is somebody else's
                self.proxy.loop.remove_writer(end)
                end.close()
        self.proxy.alive.discard(self)

    def abort(self):
        """RST to both ends."""
        for end in (self.client, self.server):
            if end.fileno() >= 0:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    async def pump(self, direction, source, target):
        """Reads as fast as it may, delivers when it is due."""
        queue = asyncio.Queue()
        reader = asyncio.create_task(self.read(direction, source, queue))
        self.tasks.append(reader)
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            await self.proxy.allowed(direction)
            if self.stranded or direction in self.proxy.dropping:
                self.dropped = True  # also when it is the end: nobody hears of it
            elif not data:
                break
            elif not await self.deliver(direction, target, data):
                return
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    async def read(self, direction, source, queue):
        loop = asyncio.get_running_loop()
        data = True
        while data:
            await self.proxy.readable.wait()
            try:
                data = await loop.sock_recv(source, 65536)
            except OSError:
                self.abort()
                return
            await self.proxy.readable.wait()
            queue.put_nowait((loop.time() + self.proxy.delays[direction], data))

    async def deliver(self, direction, target, data):
        """False when the connection was cut instead."""
        cut = self.proxy.cut if direction == "down" else None
        if cut is not self.cut:
            self.cut, self.passed = cut, 0
        if cut and self.passed + len(data) > cut.after and cut.times > 0:
            data = data[:cut.after - self.passed]
        else:
            cut = None
        try:
            await asyncio.get_running_loop().sock_sendall(target, data)
        except OSError:
            self.abort()
            return False
        self.passed += len(data)
        self.proxy.bytes[direction] += len(data)
        if not cut:
            return True
        cut.times -= 1
        if cut.reset:
            self.abort()
        else:
            target.shutdown(socket.SHUT_WR)
        return False


class Proxy:
    def __init__(self, target_port, target_host="127.0.0.1", host="127.0.0.1"):
        """host: the address of ours that clients come to."""
        self.target = (target_host, target_port)
        self.host = host
        self.port = PORTS.take()
        self.connections = 0
        self.lost = 0
        self.alive = set()
        self.bytes = dict.fromkeys(DIRECTIONS, 0)
        self.normal()
        self.loop = asyncio.new_event_loop()
        self.readable = asyncio.Event()
        self.changed = set()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.listener = None
        self.heal()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def url(self):
        return f"https://{self.host}:{self.port}"

    @property
    def open(self):
        return len(self.alive)

    def close(self):
        asyncio.run_coroutine_threadsafe(self.shut(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        PORTS.release(self.port)

    # Faults.

    def normal(self):
        self.delays = dict.fromkeys(DIRECTIONS, 0.0)
        self.dropping, self.holding = set(), set()
        self.cut = None

    def heal(self):
        def change():
            self.normal()
            self.readable.set()
            for connection in [c for c in self.alive if c.dropped]:
                self.lost += 1
                connection.abort()
            self.listen()

        self.call(change)

    def delay(self, up=0.0, down=0.0):
        self.call(lambda: self.delays.update(up=up, down=down))

    def hold(self, *directions):
        self.call(lambda: self.holding.update(directions or DIRECTIONS))

    def drop(self, *directions):
        self.call(lambda: self.dropping.update(directions or DIRECTIONS))

    def strand(self):
        self.call(lambda: [setattr(connection, "stranded", True) for connection in self.alive])

    def freeze(self):
        self.call(self.readable.clear)

    def reset(self):
        self.call(lambda: [connection.abort() for connection in list(self.alive)])

    def reset_after(self, count, times=1):
        self.call(lambda: setattr(self, "cut", Cut(count, True, times)))

    def truncate_after(self, count, times=1):
        self.call(lambda: setattr(self, "cut", Cut(count, False, times)))

    def refuse(self):
        self.call(self.unlisten)

    def accept(self):
        self.call(self.listen)

    def cut_all(self):
        self.refuse()
        self.reset()

    # What follows runs in the loop's thread.

    def call(self, function):
        """Runs it in the loop and returns when it is done."""
        async def run():
            function()
            for event in list(self.changed):
                event.set()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    async def allowed(self, direction):
        """Waits while that direction is held, or everything is frozen."""
        while direction in self.holding or not self.readable.is_set():
            event = asyncio.Event()
            self.changed.add(event)
            await event.wait()
            self.changed.discard(event)

    def listen(self):
        if self.listener:
            return
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.loop.add_reader(self.listener, self.accept_waiting)

    def unlisten(self):
        if self.listener:
            self.accept_waiting()  # who is connected already stays
            self.loop.remove_reader(self.listener)
            self.listener.close()
            self.listener = None

    def accept_waiting(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            server = socket.socket()
            server.setblocking(False)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, client, server)
            self.alive.add(connection)
            connection.tasks = [self.loop.create_task(connection.run())]

    async def shut(self):
        self.unlisten()
        for connection in list(self.alive):
            connection.abort()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left)
