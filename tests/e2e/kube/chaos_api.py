"""Faults of servers, rights, tokens, definitions and objects, for chaos.py. They take seconds and need the API, so two
threads do them, one for servers and one for what servers keep; each puts back what it took before it does another."""

import json
import queue
import threading

from kube.test_crds import GROUP, install
from lib import boot_ms, wait_for

RULES = [{"apiGroups": ["konductor.io", "coordination.k8s.io"], "resources": ["*"], "verbs": ["*"]}]
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
LATE_MS = 10000  # a request without an answer may be done so much later: a server is paused for 5 s at most
TROUBLE = (OSError, AssertionError, TimeoutError)  # servers are down, by the other thread


class Hand:
    """A thread that does one thing at a time."""

    def __init__(self):
        self.work = queue.Queue()
        self.busy = False
        self.mistakes = []
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def give(self, action):
        if self.busy:
            return False
        self.busy = True
        self.work.put(action)
        return True

    def live(self):
        while True:
            action = self.work.get()
            if action is None:
                return
            try:
                action()
            except Exception as mistake:  # what is wrong here is the run's own fault, and must end it
                self.mistakes.append(f"{action}: {mistake!r}")
            self.busy = False

    def finish(self):
        wait_for(lambda: not self.busy, 120, "the end of a fault")


def patiently(action):
    """Until it works."""

    def works():
        try:
            action()
            return True
        except TROUBLE:
            return False

    wait_for(works, 120, "the servers")


class Api:
    """Part of KubeChaos."""

    def begin_api(self):
        self.over = threading.Event()
        self.of_servers, self.of_objects = Hand(), Hand()
        self.spaces = {store: self.c.namespace("chaos") for store in ("kube", "kube-lease")}
        self.token_file = {}
        for store, ns in self.spaces.items():
            for user in ("alice", "bob"):
                self.c.grant(ns, user, {"kind": "User", "name": user}, RULES)
            self.token_file[store] = self.cluster.directory / f"token-{store}"
            self.write_token(store, self.c.service_account(ns, "rotated", RULES, seconds=86400))
        for user in ("alice", "bob"):
            for server in range(self.c.servers):
                wait_for(lambda u=user, s=server: self.c.request(
                    "GET", f"{GROUP}/namespaces/{ns}/onces", token=self.c.token(u), server=s).status == 200, what="rights")

    def end_api(self):
        """Everything is put back."""
        self.over.set()
        for hand in (self.of_servers, self.of_objects):
            hand.finish()
            self.problems += hand.mistakes
            hand.mistakes = []
        self.over.clear()

    def close(self):
        for hand in (self.of_servers, self.of_objects):
            hand.work.put(None)
            hand.thread.join(60)
        for proxy in self.proxies.values():
            proxy.close()

    def pause(self, *choices):
        self.over.wait(self.random.choice(choices))

    def write_token(self, store, token):
        new = self.token_file[store].with_suffix(".new")
        new.write_text(token, encoding="ascii")
        new.rename(self.token_file[store])

    def identity(self, store, proxy, server, plain):
        """A kubeconfig. Tokens with an end are for the server whose clock is right."""
        users = ["alice"] if plain else ["alice", "bob"] + ["rotated"] * (server == 0)
        user = self.random.choice(users)
        if user != "rotated":
            return self.c.kubeconfig(user, url=proxy.url, namespace=self.spaces[store], token=self.c.token(user))
        path = self.c.kubeconfig(f"{user}-{store}", url=proxy.url, namespace=self.spaces[store], token="of-a-file")
        path.write_text(path.read_text().replace("token: of-a-file", f"tokenFile: {self.token_file[store]}"))
        return path

    # Servers.

    def server_restarted(self):
        number = self.random.randrange(self.c.servers)
        return self.of_servers.give(lambda: (self.c.stop_apiserver(number), self.c.start_apiserver(number)))

    def server_killed(self):
        number = self.random.randrange(self.c.servers)
        return self.of_servers.give(lambda: (self.c.kill_apiserver(number), self.pause(0, 1, 4),
                                             self.c.start_apiserver(number)))

    def server_paused(self):
        number = self.random.randrange(self.c.servers)
        return self.of_servers.give(lambda: (self.c.pause_apiserver(number), self.pause(0.5, 2, 5),
                                             self.c.start_apiserver(number)))

    def etcd_stopped(self):
        return self.of_servers.give(lambda: (self.c.pause_etcd(), self.pause(0.3, 1, 4), self.c.start_etcd()))

    def etcd_killed(self):
        return self.of_servers.give(lambda: (self.c.kill_etcd(), self.pause(0, 1, 3), self.c.start_etcd()))

    def clock_set_wrong(self):
        """Not while a server starts: it signs a certificate for itself then, and would find that of the future."""
        seconds = self.random.choice((-3600, -2, 0, 2, 1800, 3600))
        return self.of_servers.give(lambda: self.c.set_clock(1, seconds))

    # Who may do what.

    def rights_removed(self):
        ns = self.spaces[self.random.choice(list(self.spaces))]
        path = f"{RBAC}/namespaces/{ns}/rolebindings"

        def flip():
            try:
                self.c.ask_ok("DELETE", f"{path}/bob")
            except TROUBLE:
                pass
            self.pause(0.3, 2, 4)
            binding = {"metadata": {"name": "bob"}, "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                                                  "name": "bob"}],
                       "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "bob"}}
            patiently(lambda: self.must(self.c.request("POST", path, binding).status in (201, 409)))

        return self.of_objects.give(flip)

    @staticmethod
    def must(true):
        if not true:
            raise AssertionError("not yet")

    def token_ended(self):
        """The service account is made anew: tokens of the old one are refused; later the file has a new one."""
        store = self.random.choice(list(self.spaces))
        path = f"/api/v1/namespaces/{self.spaces[store]}/serviceaccounts"

        def flip():
            patiently(lambda: self.must(self.c.request("DELETE", f"{path}/rotated").status in (200, 404)))
            patiently(lambda: self.must(
                self.c.request("POST", path, {"metadata": {"name": "rotated"}}).status in (201, 409)))
            self.pause(0, 0.5, 2)
            patiently(lambda: self.write_token(
                store, self.c.service_account_token(self.spaces[store], "rotated", 86400)))

        return self.of_objects.give(flip)

    def tight_level(self):
        """A level of priority and fairness for our users that lets next to nothing through, or nothing at all."""
        shares = self.random.choice((0, 1))
        level = {"metadata": {"name": "tight"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": {
                "type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 1}}}}}
        schema = {"metadata": {"name": "tight"}, "spec": {
            "priorityLevelConfiguration": {"name": "tight"}, "matchingPrecedence": 10, "rules": [{
                "subjects": [{"kind": "User", "user": {"name": name}} for name in ("alice", "bob")],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]}]}}

        def flip():
            for kind, body in (("prioritylevelconfigurations", level), ("flowschemas", schema)):
                patiently(lambda k=kind, b=body: self.must(self.c.request("POST", f"{FLOW}/{k}", b).status in (201, 409)))
            self.pause(1, 3, 5)
            for kind in ("flowschemas", "prioritylevelconfigurations"):
                patiently(lambda k=kind: self.must(self.c.request("DELETE", f"{FLOW}/{k}/tight").status in (200, 404)))

        return self.of_objects.give(flip)

    # Objects.

    def collection(self, store, kind):
        if store == "kube":
            return f"{GROUP}/namespaces/{self.spaces[store]}/{kind}s"
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.spaces[store]}/leases"

    def path_of(self, store, kind, name):
        prefix = "once." if store == "kube-lease" and kind == "once" else ""
        return f"{self.collection(store, kind)}/{prefix}{name}"

    def some_object(self):
        store = self.random.choice(list(self.spaces))
        if self.random.random() < 0.5:
            return store, "once", self.random.choice(self.names(store))
        return store, "lease", f"boss-{self.random.choice((0, 1, 2) if store == 'kube' else (3, 4))}"

    def object_deleted(self):
        store, kind, name = self.some_object()

        def act():
            since = boot_ms()
            try:
                self.c.request("DELETE", self.path_of(store, kind, name), timeout=5)
                until = boot_ms()
            except TROUBLE:
                until = boot_ms() + LATE_MS
            self.tell_deleted(kind.capitalize(), name, since, until)

        return self.of_objects.give(act)

    def object_edited(self):
        store, kind, name = self.some_object()
        note = {"metadata": {"annotations": {"note": str(self.random.random())}, "labels": {"seen": "yes"}}}

        def act():
            try:
                self.c.request("PATCH", self.path_of(store, kind, name), note, headers=MERGE, timeout=5)
            except TROUBLE:
                pass

        return self.of_objects.give(act)

    def definition_deleted(self):
        """All objects of a kind go with it; it is made again at once."""
        kind = self.random.choice(("once", "lease"))
        names = sorted({n for w in range(20) for n in [f"page-{w * 10 + i}" for i in range(10)]} if kind == "once"
                       else {f"boss-{n}" for n in range(3)})

        def act():
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}s.konductor.io"
            since = boot_ms()
            patiently(lambda: self.must(self.c.request("DELETE", path).status in (200, 404)))
            patiently(lambda: self.must(self.c.request("GET", path).status == 404))
            for name in names:
                self.tell_deleted(kind.capitalize(), name, since)
            patiently(lambda: install(self.c))

        return self.of_objects.give(act)

    def namespace_terminating(self):
        """Who comes to a namespace that is being deleted is told so, and ends."""

        def act():
            try:
                ns = self.c.namespace("doomed")
                self.c.grant(ns, "alice", {"kind": "User", "name": "alice"}, RULES)
                self.c.ask_ok("DELETE", f"/api/v1/namespaces/{ns}")
            except TROUBLE:
                return
            path = self.c.kubeconfig("alice", namespace=ns, token=self.c.token("alice"))
            script = self.cluster.script('require "konductor".once "doomed" { run = { "true" } }\n')
            done = self.cluster.run("run", "--listen", "off", script, env={
                "KONDUCTOR_STORE": "kube-lease", "KUBECONFIG": str(path), "KONDUCTOR_NAMESPACE": ns})
            if done.returncode not in (74, 78):
                self.problems.append(f"in a namespace that ends: {done.returncode}, {done.stderr}")

        return self.of_objects.give(act)

    def knows(self, name, version):
        """Does the object of that Once say that this version is done?"""
        for store in self.spaces:
            answer = self.c.request("GET", self.path_of(store, "once", name))
            if answer.status == 200 and store == "kube":
                status = answer.json.get("status", {})
            elif answer.status == 200:
                status = json.loads(answer.json["metadata"]["annotations"]["konductor.io/status"])
            else:
                continue
            before = [h["version"] for h in status.get("history", [])]
            return status.get("executed") and status.get("version") == version or version in before
        return False

    FAULTS = [(server_restarted, 0.3), (server_killed, 0.4), (server_paused, 0.3), (etcd_stopped, 0.3),
              (etcd_killed, 0.3), (clock_set_wrong, 0.5), (rights_removed, 0.4), (token_ended, 0.4), (tight_level, 0.3),
              (object_deleted, 1), (object_edited, 2), (definition_deleted, 0.15), (namespace_terminating, 0.3)]
