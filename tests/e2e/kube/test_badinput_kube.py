"""Bad input, row by row (docs/testing.md): whatever is wrong with the cluster, with the way to it or with what is in it,
konductor run and koncli say what it is, end with the code of its kind, and start nothing."""

import json
import socket
import ssl
import subprocess
import threading
import unittest

import lib
from kube.cluster import wait_for as wait_for_servers
from kube.faults import FaultTest
from kube.http_proxy import answer
from kube.test_crds import GROUP, crd_list, install
from konkube import certs
from lib import wait_for

CONFIG = 78
MISTAKE = 65
GONE_BACK = 79
LEASES = "/apis/coordination.k8s.io/v1"
HTML = answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")


class TlsServer:
    """Shows a certificate and says nothing more."""

    def __init__(self, certificate, key):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.greet, args=(client,), daemon=True).start()

    def greet(self, client):
        try:
            with self.context.wrap_socket(client, server_side=True) as encrypted:
                encrypted.recv(1)
        except OSError:
            client.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class BadInput(FaultTest):
    def koncli(self, *args, **how):
        koncli = self.cluster.directory / "koncli"
        if not koncli.exists():
            koncli.symlink_to(lib.binary())
        done = subprocess.run([koncli, *args], capture_output=True, text=True, env=self.cluster.env(self.env(**how)),
                              timeout=60 * lib.PATIENCE, stdin=subprocess.DEVNULL)
        lib.check_sanitizers("koncli", done.stderr)
        return done

    def koncli_says(self, words, *args, code=1, **how):
        done = self.koncli(*args, **how)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def run_says(self, words, replica, code=CONFIG):
        self.assertEqual(replica.wait(), code, replica.describe())
        for word in words:
            self.assertIn(word, replica.stderr)
        self.assertEqual(replica.events("start"), [], replica.describe())

    def both_say(self, *words, **how):
        """Of a cluster that is not to be reached so."""
        self.run_says(words, self.lease(**how))
        self.run_says(words, self.once(**how))
        self.koncli_says(words, "lease", "list", **how)


class Way(BadInput):
    """What is wrong between here and the server."""

    def server(self, names="IP:127.0.0.1", authority=None, **how):
        directory = self.cluster.directory / f"server-{names.replace(':', '-')}-{how.get('days', 365)}"
        directory.mkdir()
        for suffix in ("crt", "key") if authority else ():
            (directory / f"ca.{suffix}").write_bytes((authority / f"ca.{suffix}").read_bytes())
        certs.issue(directory, "server", "/CN=bad server", "server", "ca" if authority else None, names, **how)
        server = TlsServer(directory / "server.crt", directory / "server.key")
        self.addCleanup(server.close)
        return server.url

    def authority(self):
        directory = self.cluster.directory / "authority"
        directory.mkdir()
        certs.issue(directory, "ca", "/CN=my authority", "authority")
        return directory

    def kubeconfig_of(self, url, authority):
        return self.c.kubeconfig(url=url, ca_file=authority / "ca.crt", namespace=self.ns)

    def test_a_certificate_that_is_signed_by_itself(self):
        self.both_say("CN=bad server is signed by itself", "CA certificates", url=self.server())

    def test_a_certificate_that_has_expired_or_a_clock_that_is_too_late(self):
        authority = self.authority()
        path = self.kubeconfig_of(self.server(authority=authority, days=-1), authority)
        self.both_say("CN=bad server expired at 20", "this machine's clock says 20", "one of them is wrong", kubeconfig=path)

    def test_a_certificate_of_the_future_or_a_clock_that_is_too_early(self):
        authority = self.authority()
        path = self.kubeconfig_of(self.server(authority=authority, start=1), authority)
        self.both_say("CN=bad server is not valid before 20", "this machine's clock says 20", kubeconfig=path)

    def test_a_certificate_for_another_name(self):
        authority = self.authority()
        path = self.kubeconfig_of(self.server(names="DNS:other.example", authority=authority), authority)
        self.both_say("'127.0.0.1'", "the server's certificate is for other.example", kubeconfig=path)

    def test_a_proxy_that_answers_html_is_named_and_waited_out(self):
        proxy = self.http()
        proxy.always(HTML)
        a = self.lease("a", url=proxy.url)
        a.wait_stderr("an HTML page came back (status 200), so a proxy or a login page answered")
        self.koncli_says(["an HTML page came back"], "lease", "list", url=proxy.url)
        self.assertEqual(a.events("start"), [])
        proxy.heal()
        a.wait_event("start")

    def test_a_proxy_that_answers_html_while_work_runs_ends_it_in_time(self):
        proxy = self.http()
        a = self.lease("a", url=proxy.url)
        a.wait_event("start")
        proxy.always(HTML)
        self.assert_dead_in_time(a)

    def test_a_name_server_that_never_answers_holds_nothing_up(self):
        mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        mute.bind(("127.0.0.53", 53))
        self.addCleanup(mute.close)
        resolv = self.cluster.file("resolv.conf", "nameserver 127.0.0.53\n")
        switch = self.cluster.file("nsswitch.conf", "hosts: dns\n")
        script = self.cluster.script('local k = require "konductor"\nk.lease "boss" { ttl = "3s", main = { "true" } }')
        path = self.c.kubeconfig(url="https://nowhere.example:6443", namespace=self.ns)
        konductor = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", 'mount --bind "$1" /etc/resolv.conf; mount --bind "$2" /etc/nsswitch.conf; '
             'shift 2; exec "$@"', "sh", resolv, switch, lib.binary(), "run", "--listen", "off", script],
            env=self.cluster.env(self.env(path)), stderr=subprocess.PIPE, text=True)
        self.assertIn("nowhere.example:6443", konductor.stderr.readline())
        asked = lib.boot_ms()
        konductor.terminate()
        self.assertEqual(konductor.wait(60), 143)
        self.assertLess(lib.boot_ms() - asked, 1000 * lib.PATIENCE)
        konductor.stderr.close()


class Who(BadInput):
    """What is wrong with kubeconfigs, exec plugins and rights."""

    def kubeconfig(self, name, user, more=""):
        return self.cluster.file(name, f"""
apiVersion: v1
kind: Config
current-context: x
clusters: [{{name: c, cluster: {{server: "{self.c.url}"{more}}}}}]
users: [{{name: u, user: {{{user}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u, namespace: {self.ns}}}}}]
""")

    def test_a_kubeconfig_that_is_not_there(self):
        self.both_say("cannot read /nonexistent/config: No such file", "--kubeconfig or KUBECONFIG",
                      kubeconfig="/nonexistent/config")

    def test_a_kubeconfig_that_names_files_that_are_not_there(self):
        for name, user, more in (("no-token", "tokenFile: /nonexistent/file", ""),
                                 ("no-ca", "token: t", ", certificate-authority: /nonexistent/file"),
                                 ("no-key", "client-certificate: /nonexistent/file, client-key: /nonexistent/file", "")):
            with self.subTest(name):
                self.both_say("/nonexistent/file", kubeconfig=self.kubeconfig(name, user, more))

    def plugin(self, text):
        path = self.cluster.file("plugin", f"#!/bin/sh\n{text}\n", 0o755)
        return self.kubeconfig("plugged", "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, "
                               f"command: {path}}}", f", certificate-authority: {self.c.ca_file}")

    def test_an_exec_plugin_that_calls_konductor_again(self):
        script = self.cluster.file("page.lua", 'local k = require "konductor"\nk.once "page" { run = { "true" } }')
        path = self.plugin(f"exec {lib.binary()} run --listen off {script}")
        self.run_says(["the exec plugin", "calls konductor with the kubeconfig that names it"], self.once(kubeconfig=path))

    def test_an_exec_plugin_that_hangs_ends_with_konductor(self):
        path = self.plugin(f"touch {self.cluster.directory}/asked\nexec sleep 1000")
        a = self.once("a", kubeconfig=path)
        wait_for((self.cluster.directory / "asked").exists, what="the plugin", describe=a.describe)
        self.assertEqual(a.stop(), 143)

    def test_what_an_exec_plugin_says_is_a_secret(self):
        path = self.plugin("""echo '{"token":"sesame-1"}'; echo bye >&2; exit 3""")
        a = self.lease("a", kubeconfig=path, options=["--log-level", "debug"])
        self.run_says(["exit code 3: bye"], a)
        self.assertNotIn("sesame", a.stderr + a.stdout + a._read("events"))

    def test_a_user_who_may_not_watch(self):
        rules = [{"apiGroups": ["konductor.io"], "resources": ["leases", "leases/status"],
                  "verbs": ["get", "list", "create", "update"]}]
        path = self.c.kubeconfig(user=f"{self.ns}-sa", token=self.c.service_account(self.ns, "sa", rules), namespace=self.ns)
        self.run_says(["watch", "leases"], self.lease(kubeconfig=path))


class Content(BadInput):
    """What is wrong with what somebody has put there."""

    store = "kube-lease"

    def put(self, annotations, spec=None, name="boss", labels=None):
        collection = f"{LEASES}/namespaces/{self.ns}/leases"
        self.c.request("DELETE", f"{collection}/{name}")
        self.c.ask_ok("POST", collection, {"metadata": {"name": name, "annotations": annotations, "labels": labels or {}},
                                           "spec": spec or {}})

    def test_an_object_of_that_name_that_somebody_else_made(self):
        self.put({}, {"holderIdentity": "them"}, "once.page", {"konductor.io/kind": "Once"})
        words = ["the Lease once.page cannot be read as the Once page: it was not made by konductor"]
        self.run_says(words, self.once())
        self.koncli_says(words, "once", "status", "page")
        self.koncli_says(words, "once", "list")

    def test_an_object_that_is_of_another_kind_by_its_label(self):
        self.put({"konductor.io/spec": "{}"}, name="boss", labels={"konductor.io/kind": "Semaphore"})
        self.run_says(["is a Semaphore by its label konductor.io/kind, not a Lease"], self.lease())

    def test_a_status_that_is_nonsense(self):
        for status, words in (
                ("[]", "konductor.io/status is damaged: no JSON object"),
                ("{", "konductor.io/status is damaged: not JSON"),
                ("[" * 3000, "konductor.io/status is damaged: not JSON"),
                ('{"a":' + "[" * 200 + "]" * 200 + "}", "JSON is nested deeper than 100"),
                ('{"holder":[],"op":{}}', "status.holder is a table; a string is expected"),
                ('{"fence":1e300,"holder":""}', "status.fence is 1e+300; a whole number from 0 on is expected"),
                ('{"fence":-5,"holder":""}', "status.fence is -5; a whole number"),
                ('{"fence":1e999,"holder":""}', "status.fence"),
                ('{"fence":1,"holder":"","ttlMs":-1}', "status.ttlMs is -1; a whole number from 1 on")):
            with self.subTest(status[:40]):
                self.put({"konductor.io/spec": "{}", "konductor.io/status": status})
                self.run_says([words], self.lease())

    def test_waiters_that_are_nonsense_are_passed_over_and_written_anew(self):
        """A queue says who comes first, and nothing of who holds."""
        for text in ("7", "{{{", '[null,{"id":"x"},null]'):
            with self.subTest(text):
                a, b = self.holder_and_waiter()
                joined = len(b.events("join"))
                self.annotate({"konductor.io/waiters": text})
                b.wait_event("join", count=joined + 1)
                queue = json.loads(self.object()["metadata"]["annotations"]["konductor.io/waiters"])
                self.assertEqual([waiter["id"] for waiter in queue], ["b"])
                self.assertTrue(a.running)
                a.kill()
                b.wait_event("start")
                self.assertEqual(b.stop(), 143)

    def test_a_status_that_becomes_nonsense_while_work_runs(self):
        a, b = self.holder_and_waiter()
        lease = self.object()
        lease["metadata"]["annotations"]["konductor.io/status"] = "{{{"
        wait_for(lambda: self.edit(lease), what="an edit")
        self.assertEqual(b.wait(), CONFIG, b.describe())
        self.assertEqual(b.events("start"), [])
        self.assert_dead_in_time(a)
        self.assertEqual(a.wait(), CONFIG, a.describe())
        self.assertIn("konductor.io/status is damaged", a.stderr)

    def edit(self, lease):
        """As an editor does: over the version that is there now."""
        lease["metadata"]["resourceVersion"] = self.object()["metadata"]["resourceVersion"]
        return self.c.request("PUT", self.path(), lease).status == 200

    def test_two_with_one_name_are_two(self):
        a = self.lease("a", KONDUCTOR_HOLDER="twin")
        a.wait_event("start")
        b = self.lease("b", KONDUCTOR_HOLDER="twin")
        b.wait_event("join")
        a.kill()
        b.wait_event("start")

    def test_a_finalizer_of_somebody_else_is_kept(self):
        a = self.lease("a")
        a.wait_event("start")
        self.finalizers(["example.com/mine"])
        a.wait_event("renew", count=len(a.events("renew")) + 2)
        self.assertEqual(self.object()["metadata"]["finalizers"], ["example.com/mine"])
        self.finalizers([])


class Resources(BadInput):
    """The same of custom resources, and what a script says."""

    def test_times_to_live_of_nothing_and_of_ages(self):
        for ttl, words in (("0s", '"0s" is too short; the shortest is 1s'), ("-1s", "a duration cannot be negative"),
                           ("999999999h", "longer than 290 years")):
            for line in (f'k.lease "boss" {{ ttl = "{ttl}", main = {{ "true" }} }}',
                         f'k.once "page" {{ ttl = "{ttl}", run = {{ "true" }} }}'):
                with self.subTest(line):
                    self.run_says([words], self.start(f'local k = require "konductor"\n{line}'), MISTAKE)
        refused = self.c.request("POST", self.path(name="").rstrip("/"), {
            "apiVersion": "konductor.io/v1", "kind": "Lease", "metadata": {"name": "boss"}, "spec": {"ttl": "0s"}})
        self.assertEqual(refused.status, 422)
        self.assertIn('"0s" is too short', refused.json["message"])

    def test_names_of_253_bytes_are_taken_and_longer_ones_are_not(self):
        for self.store in ("kube", "kube-lease"):
            for name, code in (("x" * (252 + (self.store == "kube")), 0), ("x" * 254, MISTAKE)):
                with self.subTest(store=self.store, size=len(name)):
                    a = self.start(f'local k = require "konductor"\nk.once "{name}" {{ run = {{ "true" }} }}')
                    self.assertEqual(a.wait(), code, a.describe())
                    if code:
                        self.assertIn("a name of 254 bytes is too long; at most 253", a.stderr)
                    done = self.koncli("once", "status", name)
                    self.assertEqual(done.returncode, 64 if code else 0, done.stderr)

    def test_expires_is_for_people_and_decides_nothing(self):
        a = self.once("a")
        self.assertEqual(a.wait(), 0)
        for expires in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "garbage"):
            once = self.object("Once", "page")
            once["status"]["expires"] = expires
            self.c.request("PUT", self.path("Once", "page") + "/status", once)
            with self.subTest(expires):
                again = self.once()
                self.assertEqual((again.wait(), again.events("start")), (0, []), again.describe())
                self.assertIn("it has been executed by a; nothing to do", again.stderr)

    def test_an_object_of_half_a_mebibyte_is_waited_for_and_handed_over(self):
        a, b = self.holder_and_waiter(ttl_ms=10000)
        self.annotate({"example.com/note": "x" * 250000})
        for manager in range(25):
            names = {f"example.com/{manager}-{i}-{'n' * 50}": "" for i in range(180)}
            self.c.ask_ok("PATCH", f"{self.path()}?fieldManager={'m' * 100}{manager}", {"metadata": {"labels": names}},
                          headers={"Content-Type": "application/merge-patch+json"})
        self.assertGreater(len(json.dumps(self.object())), 1 << 19)
        a.stop()
        b.wait_event("start")

    def test_the_choice_of_a_context_is_made_once(self):
        path = self.c.kubeconfig(namespace=self.ns, inline=True)
        mine = self.cluster.file("mine", path.read_text())
        a = self.lease("a", kubeconfig=mine)
        a.wait_event("start")
        mine.write_text(path.read_text().replace(self.c.url, "https://127.0.0.1:1"))
        a.wait_event("renew", count=len(a.events("renew")) + 2)
        self.assertEqual(a.events("stop"), [])


class Servers(BadInput):
    own = True
    definitions = False

    def test_definitions_of_another_version_alone(self):
        other = crd_list()
        for crd in other["items"]:
            for version in crd["spec"]["versions"]:
                version["name"] = "v9"
        self.c.kubectl("apply", "-f", "-", input=other)
        there = GROUP.replace("/v1", "/v9")
        wait_for_servers(lambda: self.c.request("GET", f"{there}/leases").status == 200, "the definitions")
        self.addCleanup(self.c.kubectl, "delete", "crd", "--all")
        self.both_say("does not know", "konductor crds | kubectl apply -f -", "kube-lease")

    def test_no_definitions(self):
        wait_for_servers(lambda: self.c.request("GET", f"{GROUP}/leases").status == 404, "the end of the definitions")
        self.both_say("does not know", "konductor crds | kubectl apply -f -", "kube-lease")


class Wiped(BadInput):
    """Another server at the same address, which knows nothing."""

    store = "kube-lease"
    own = True
    definitions = False

    def test_a_server_whose_memory_was_wiped_is_refused(self):
        empty = self.c.save_etcd()
        for i in range(300):  # versions that the other one has still to reach
            self.c.ask_ok("PATCH", f"/api/v1/namespaces/{self.ns}", {"metadata": {"labels": {"n": str(i)}}},
                          headers={"Content-Type": "application/merge-patch+json"})
        a = self.lease("a")
        a.wait_event("start")
        b = self.lease("b")
        b.wait_event("join")
        self.c.restore_etcd(empty)
        self.c.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.ns}})
        codes = (a.wait(), b.wait())
        self.assertEqual(set(codes), {GONE_BACK}, self.cluster.describe())
        self.assertEqual(len(self.cluster.events("start")), 1, self.cluster.describe())


if __name__ == "__main__":
    unittest.main()
