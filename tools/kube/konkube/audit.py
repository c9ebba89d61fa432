"""What the API servers logged about requests: the evidence for how many there were, of whom, with which result.

    mark = c.audit_mark()
    ...
    for event in c.audit(mark, user="alice"): event["verb"], event["requestURI"], event["responseStatus"]["code"]
"""

import json
import threading
import time
import uuid

ENDS = ("ResponseComplete", "ResponseStarted", "Panic")
OURS = "/audit-mark/"


class Log:
    """One server's log, read as it grows, by any thread."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()  # two that read on from one place would count it twice
        self.offset = 0
        self.events = []  # with the offset of their line
        self.waiting = {}  # received and not answered, in this order: audit ID to URI
        self.received = set()  # our own requests

    def read(self):
        with self.lock:
            self.read_on()
        return self

    def read_on(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return
        for line in text[:text.rfind(b"\n") + 1].splitlines(keepends=True):
            self.take(line)
            self.offset += len(line)

    def take(self, line):
        try:
            event = json.loads(line)
        except ValueError:
            return  # the server was killed while it wrote this
        if event["stage"] == "RequestReceived":
            self.waiting[event["auditID"]] = event["requestURI"]
            self.received.add(event["requestURI"])
        elif event["stage"] in ENDS:
            self.waiting.pop(event["auditID"], None)
        if not event["requestURI"].startswith(OURS):
            self.events.append((self.offset, event))

    def unanswered(self, until):
        """URIs of requests that were received before our own request `until`, itself included, and have no end."""
        self.read()
        if until not in self.received:
            return [until]
        uris = list(self.waiting.values())
        return uris[:uris.index(until) + 1] if until in uris else [u for u in uris if not u.startswith(OURS)]

    def new_life(self):
        """The server starts again: what its former life left unanswered stays so, and a line may be cut off."""
        if self.read().path.exists() and self.path.stat().st_size > self.offset:
            with open(self.path, "ab") as file:
                file.write(b"\n")
            self.read()
        self.waiting.clear()


class Audit:
    """Part of Cluster (cluster.py)."""

    def audit_log(self, server):
        logs = self.__dict__.setdefault("audit_logs", {})
        if server not in logs:
            logs[server] = Log(self.directory / f"audit-{server}.log")
        return logs[server]

    def audit_mark(self):
        """Now, in every server's log: requests answered before this are not in audit(mark)."""
        self.audit_settle()
        return {n: self.audit_log(n).read().offset for n in range(self.servers)}

    def audit(self, mark=None, settle=True, stage="ResponseComplete", **fields):
        """Events since the mark, in order of their time, each with `server`. One per request, of the stage it ended
        with; stage="ResponseStarted" shows watches, from their beginning; stage=None shows everything.

        settle   waits until all requests that were answered before this call are in the log
        fields   user, verb, code, or resource, namespace, name, subresource, apiGroup of the object
        """
        if settle:
            self.audit_settle()
        events = [{**event, "server": n} for n in range(self.servers)
                  for offset, event in self.audit_log(n).read().events if offset >= (mark or {}).get(n, 0)]
        events.sort(key=lambda e: e["stageTimestamp"])
        return [e for e in events if stage in (None, e["stage"]) and matches(e, fields)]

    def audit_settle(self, timeout=20):
        """Each request is logged when it is received, before it is worked on, and again when it is answered, which may
        be after the client has the answer. So: a request of our own to each server, and then wait until every request
        received before it has its end in the log. A server that is down or paused is read as it is."""
        for server in range(self.servers):
            own = OURS + uuid.uuid4().hex
            try:
                self.request("GET", own, server=server, timeout=5)
            except OSError:
                continue
            deadline = time.monotonic() + timeout
            while unanswered := self.audit_log(server).unanswered(own):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not in the audit log of server {server} after {timeout} s: {unanswered}")
                time.sleep(0.005)


def matches(event, fields):
    for name, wanted in fields.items():
        if name == "user":
            found = event["user"]["username"]
        elif name == "verb":
            found = event["verb"]
        elif name == "code":
            found = event.get("responseStatus", {}).get("code")
        else:
            found = event.get("objectRef", {}).get(name)
        if found != wanted:
            return False
    return True
