"""kubectl is the measure of how kubeconfigs are read: it and konductor say the same of the same files."""

import base64
import json
import os
import subprocess
import unittest
from pathlib import Path

import lib
from kube.credentials import CredentialsTest, encoded
from lib import ROOT, binary


class Kubectl(CredentialsTest):
    SHOW = '''
        local core = require "konductor.core"
        local system = { read_file = core.read_file, decode_yaml = core.yaml.decode }
        local found, _, sentence = require("konductor.kube.credentials").find({}, core.environ(), system)
        core.write(1, found and core.json.encode(found) or sentence)
        return found and 0 or 1
    '''

    def ours(self, paths):
        runner = next(path for path in (Path(binary()).with_name("lua_tests"), ROOT / "build" / "dev" / "lua_tests")
                      if path.exists())
        done = subprocess.run([runner, self.cluster.script(self.SHOW)], capture_output=True, text=True, cwd=self.directory,
                              env=self.cluster.env(self.env(paths)), timeout=60 * lib.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def kubectls(self, paths):
        done = subprocess.run([self.c.programs.kubectl, "config", "view", "--minify", "--flatten", "--raw", "-o", "json"],
                              env={**self.c.environment(), "KUBECONFIG": str(paths)}, capture_output=True, text=True, check=True)
        view = json.loads(done.stdout)
        return view["clusters"][0]["cluster"], view["users"][0]["user"], view["contexts"][0]["context"]

    def agree(self, paths):
        ours = self.ours(paths)
        cluster, user, context = self.kubectls(paths)
        decoded = {name: base64.b64decode(value).decode() for name, value in {**cluster, **user}.items()
                   if name.endswith("-data")}
        self.assertEqual(ours["server"], cluster["server"].rstrip("/"))
        for mine, theirs in (("ca", "certificate-authority-data"), ("cert", "client-certificate-data"),
                             ("key", "client-key-data")):
            self.assertEqual(ours.get(mine), decoded.get(theirs), theirs)
        for mine, theirs in (("token", "token"), ("username", "username"), ("password", "password"),
                             ("token_file", "tokenFile")):
            self.assertEqual(ours.get(mine), user.get(theirs), theirs)
        for mine, theirs in (("proxy", "proxy-url"), ("tls_server_name", "tls-server-name")):
            self.assertEqual(ours.get(mine), cluster.get(theirs), theirs)
        self.assertEqual(ours.get("insecure", False), cluster.get("insecure-skip-tls-verify", False))
        self.assertEqual(ours.get("namespace"), context.get("namespace"))

    def file(self, name, text):
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def test_agrees_on_one_file(self):
        certificate, key = self.c.client_certificate("cert-user")
        for user, cluster in (("token: t", None), ("username: a\npassword: b", None),
                              (f"client-certificate: {certificate}\nclient-key: {key}", f"certificate-authority-data: {encoded(self.c.ca_file)}"),
                              (f"client-certificate-data: {encoded(certificate)}\nclient-key: {key}", None),
                              ("token: 'yes'", "insecure-skip-tls-verify: yes\ntls-server-name: a.b\nproxy-url: http://p:1"),
                              ("token: '12'\nunknown: {a: [1, 2]}", "insecure-skip-tls-verify: false")):
            with self.subTest(user=user, cluster=cluster):
                self.agree(self.kubeconfig(user, cluster))

    def test_agrees_on_what_is_text(self):
        texts = ["yEs", "tRUE", "0b2", "1e", ".", "nan", "2001-01-01", "2001-01-01T00:00:00Z", "12:30", "0x", "0x1p3", "_1",
                 "'1'", '"yes"', "! 1", "!!str 1", "a b", "a#b", '"\\x41\\u00e9"', "'it''s'", "a:b", "0y"]
        others = ["y", "N", "on", "Off", "TRUE", "0x1f", "0o17", "017", "09", "0b101", "1_000", "-0x1", "+12", "1.5", ".5", "1.",
                  "1e3", ".inf", "-.Inf", ".nan", "!!int '7'", "!!bool 'yes'", "[a]", "{a: b}"]
        for text in texts:
            with self.subTest(text=text):
                self.agree(self.kubeconfig(f"token: {text}"))
        for other in others:
            with self.subTest(other=other):
                path = self.kubeconfig(f"token: {other}")
                self.fails(path, 'user "u": token must be text')
                with self.assertRaises(subprocess.CalledProcessError):
                    self.kubectls(path)

    def test_agrees_on_several_files(self):
        (self.directory / "a").mkdir()
        self.file("a/ca.crt", self.c.ca_pem)
        one = self.file("a/one", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://one/', "
                        "certificate-authority: ca.crt}}]\nusers: [{name: u, user: {token: one}}]\n")
        two = self.file("two", "apiVersion: v1\nkind: Config\ncurrent-context: x\nusers: [{name: u, user: {token: "
                        "two}}]\ncontexts: [{name: x, context: {cluster: c, user: u, namespace: two}}]\n")
        three = self.file("three", "apiVersion: v1\nkind: Config\ncurrent-context: z\nclusters: [{name: c, cluster: {server: "
                          "'https://three', tls-server-name: never}}, {name: d, cluster: {server: 'https://d'}}]\nusers: []\n"
                          "contexts: [{name: z, context: {cluster: d, user: u}}, {name: x, context: {cluster: d}}]\n")
        gone = self.directory / "gone"
        for paths in ((one, two, three), (three, two, one), (gone, two, one), (one, gone, three, two, two), (two, three)):
            with self.subTest(paths=[path.name for path in paths]):
                self.agree(os.pathsep.join(map(str, paths)))


if __name__ == "__main__":
    unittest.main()
