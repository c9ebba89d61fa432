"""konductor crds and konductor rbac on the command line: what they print, what they cannot know, what they refuse."""

import json
import unittest

from lib import ClusterTest

HEAD = 'local k = require "konductor"\n'
FLOW = HEAD + """
k.flow "shop" {
  k.stage "migrate" { run = { "true" }, version = k.env("IMAGE_TAG", "dev") },
  k.stage "warm" { after = "migrate", ttl = "24h", run = { "true" } },
}
"""


class Manifests(ClusterTest):
    def konductor(self, *argv, code=0, **env):
        done = self.cluster.run(*argv, env={"KONDUCTOR_STORE": None, "KONDUCTOR_NAMESPACE": None, **env})
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def role(self, script, *options, **env):
        path = self.cluster.script(script)
        return json.loads(self.konductor("rbac", path, "-o", "json", *options, **env))["items"]

    def names(self, items):
        return {name for rule in items[0]["rules"] for name in rule.get("resourceNames", [])}

    def test_crds_are_three_in_both_forms(self):
        self.assertEqual(self.konductor("crds").count("kind: CustomResourceDefinition"), 3)
        self.assertEqual(len(json.loads(self.konductor("crds", "-o", "json"))["items"]), 3)
        self.assertIn("must be one of", self.konductor("crds", "-o", "toml", code=64))

    def test_a_role_names_the_objects_of_the_script_in_the_namespace_that_is_meant(self):
        items = self.role(FLOW, "-n", "web", "--name", "shop", "--service-account", "shop-sa")
        self.assertEqual([item["kind"] for item in items], ["Role", "RoleBinding"])
        self.assertEqual({(i["metadata"]["name"], i["metadata"]["namespace"]) for i in items}, {("shop", "web")})
        self.assertEqual(items[1]["subjects"], [{"kind": "ServiceAccount", "name": "shop-sa", "namespace": "web"}])
        self.assertEqual(self.names(items), {"shop.migrate", "shop.warm"})
        self.assertEqual(self.role(FLOW, KONDUCTOR_NAMESPACE="env")[0]["metadata"]["namespace"], "env")

    def test_the_namespace_is_that_of_the_kubeconfig_that_is_named(self):
        path = self.cluster.file("kc", "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
                                 "contexts: [{name: a, context: {cluster: c, namespace: one}},\n"
                                 "           {name: b, context: {cluster: c, namespace: two}}]\ncurrent-context: a\n")
        for options, namespace in (((), "one"), (("--context", "b"), "two"), (("-n", "three"), "three")):
            items = self.role(FLOW, "--kubeconfig", path, *options)
            self.assertEqual(items[0]["metadata"]["namespace"], namespace)
        script = self.cluster.script(FLOW)
        self.assertIn('names the context "z"', self.konductor("rbac", script, "--kubeconfig", path, "--context", "z", code=78))
        self.assertIn("cannot read", self.konductor("rbac", script, "--kubeconfig", "none", code=78))
        self.assertIn("kind: Role", self.konductor("rbac", script, KUBECONFIG="none"))

    def test_the_store_is_that_of_the_option_or_of_the_environment(self):
        for options, env in ((["--store", "kube-lease"], {}), ([], {"KONDUCTOR_STORE": "kube-lease"})):
            rules = self.role(FLOW, *options, **env)[0]["rules"]
            self.assertEqual({rule["apiGroups"][0] for rule in rules}, {"coordination.k8s.io"})
        rules = self.role(FLOW, KONDUCTOR_STORE="sqlite")[0]["rules"]
        self.assertEqual({rule["apiGroups"][0] for rule in rules}, {"konductor.io"})

    def test_names_from_the_environment_are_those_of_the_command_and_that_is_said(self):
        script = HEAD + 'k.once(k.env "JOB") { run = { "true" } }'
        self.assertEqual(self.names(self.role(script, JOB="nightly")), {"nightly"})
        text = self.konductor("rbac", self.cluster.script(script), JOB="secret-value")
        self.assertIn("# It reads JOB from the environment", text)
        self.assertNotIn("secret-value", text.split("apiVersion")[0])
        self.assertIn("JOB is not set", self.konductor("rbac", self.cluster.script(script), code=65))

    def test_what_functions_name_is_not_known_and_can_be_added(self):
        script = HEAD + 'k.once "seed" { run = function() k.lease("db"):with({}, print) end }'
        self.assertIn('# once "seed" is a function', self.konductor("rbac", self.cluster.script(script)))
        self.assertEqual(self.names(self.role(script)), {"seed"})
        added = self.role(script, "--also", "lease/db", "--also", "Semaphore/reports")
        self.assertEqual(self.names(added), {"seed", "db", "semaphore.reports"})

    def test_holds_at_the_scripts_own_level_are_known_and_not_taken(self):
        script = HEAD + 'k.lease("db"):with({ ttl = "10s" }, function() k.exec { "touch", "ran" } end)'
        self.assertEqual(self.names(self.role(script)), {"db"})
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_rights_do_not_depend_on_the_command_so_none_need_be_given(self):
        for script, env, name in (("@leader", {"LEASE": "boss"}, "boss"), ("@run-once", {"NAME": "import"}, "import"),
                                  ("@once-per-version", {"APP": "web", "INIT": "true", "IMAGE_TAG": "1"}, "web.init"),
                                  ("@semaphore", {"SEMAPHORE": "jobs"}, "semaphore.jobs")):
            with self.subTest(script=script):
                without = self.konductor("rbac", script, **env)
                self.assertIn(f"[{name}]", without)
                self.assertEqual(self.konductor("rbac", script, "--", "worker", **env), without)

    def test_a_name_made_of_a_command_that_is_not_given_is_no_name(self):
        script = self.cluster.script(HEAD + "k.lease(k.command[1]) {}")
        self.assertIn('bad name "COMMAND"', self.konductor("rbac", script, code=65))
        self.assertIn("[worker]", self.konductor("rbac", script, "--", "worker"))

    def test_a_script_without_a_store_needs_no_rights(self):
        self.assertIn("needs no rights", self.konductor("rbac", self.cluster.script(HEAD + 'k.exec { "true" }'), code=64))

    def test_slips_are_refused_with_a_sentence(self):
        script = self.cluster.script(FLOW)
        for argv, words in [
            (["--also", "db"], "KIND/NAME is expected"), (["--also", "lease/DB"], 'write "d"'),
            (["--also", "semaphore/x"], "the kind is lease, once"), (["-n", "A"], "--namespace: bad name"),
            (["--service-account", "a_b"], "--service-account: bad name"), (["--name", ""], "--name: a name is empty"),
            (["--store", "sqlite"], "must be one of"),
        ]:
            with self.subTest(argv=argv):
                self.assertIn(words, self.konductor("rbac", script, *argv, code=64))
        self.assertIn(".lua:1:", self.konductor("rbac", self.cluster.script("k.flow {"), code=65))


if __name__ == "__main__":
    unittest.main()
