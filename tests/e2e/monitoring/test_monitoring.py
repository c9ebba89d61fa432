"""What a process says on /metrics is as Prometheus wants it; alert rules, dashboard and pages speak of what it says, and
the rules alert when they should.  promtool judges."""

import json
import re
import shutil
import socket
import subprocess
import unittest
import urllib.request

from lib import ROOT, ClusterTest, wait_for

MONITORING = ROOT / "deploy" / "monitoring"
PROMTOOL = str(ROOT / "tools" / "promtool")
# A stage that fails once, and a lease: by the time it is held, every family has a value.
SCRIPT = '''
local k = require "konductor"
k.flow "shop" {
  k.stage "migrate" { run = { "sh", "-c", "test -e tried || { touch tried; exit 3; }" }, retries = 1 },
}
k.lease "boss" { ttl = "15s", main = { "sleep", "1000" } }
'''
ONCE, LEASE = 'kind="Once",name="shop.migrate"', 'kind="Lease",name="boss"'


def promtool(*argv, **more):
    done = subprocess.run([PROMTOOL, *argv], capture_output=True, text=True, check=False, **more)
    return done.returncode, done.stdout + done.stderr


def metrics_in(text):
    return set(re.findall(r"\bkonductor_[a-z_]+", text))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def expressions():
    """Of the dashboard's panels, as Grafana sends them to Prometheus."""
    dashboard = json.loads((MONITORING / "konductor.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], re.sub(r"\$(namespace|name)\b", ".*", re.sub(r"\$__\w+", "5m", target["expr"]))


class Monitoring(ClusterTest):
    def scrape(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def start(self, name):
        port = free_port()
        return self.cluster.start(self.cluster.script(SCRIPT), name=name, listen=f"127.0.0.1:{port}"), port

    def wait_said(self, port, *lines):
        """The whole text once each of the lines stands in it."""
        def missing():
            text = self.scrape(port)
            return [line for line in lines if f"\n{line}\n" not in text]

        wait_for(lambda: not missing(), what="metrics", describe=lambda: f"missing: {missing()}\n{self.scrape(port)}")
        return self.scrape(port)

    def leader(self):
        """The port of one that has done its stage, and leads."""
        replica, port = self.start("leader")
        replica.wait_event("start", name="boss")
        self.wait_said(port, f"konductor_holding{{{LEASE}}} 1")
        return port

    def test_promtool_finds_no_fault_with_the_metrics(self):
        code, said = promtool("check", "metrics", input=self.scrape(self.leader()))
        self.assertEqual((code, said), (0, ""))

    def test_the_values_are_what_has_happened(self):
        self.wait_said(
            self.leader(), f"konductor_holding{{{ONCE}}} 0", f"konductor_holding{{{LEASE}}} 1", "konductor_initialized 1",
            f'konductor_runs_total{{{ONCE},result="failure"}} 1', f'konductor_runs_total{{{ONCE},result="success"}} 1',
            f"konductor_run_duration_seconds_count{{{ONCE}}} 2", f"konductor_last_exit_code{{{ONCE}}} 0",
            f"konductor_hold_ttl_seconds{{{LEASE}}} 15.000", "konductor_waiting 0")
        standby, port = self.start("standby")
        standby.wait_event("join")
        said = self.wait_said(port, f"konductor_holding{{{LEASE}}} 0", f"konductor_holds_lost_total{{{LEASE}}} 0",
                              "konductor_waiting 1")
        self.assertNotIn(ONCE, said, "it was done")

    def test_what_rules_and_dashboard_ask_for_is_said_and_each_family_is_documented(self):
        text = self.scrape(self.leader())
        samples = metrics_in(re.sub(r"(?m)^#.*$", "", text))
        rules = (MONITORING / "konductor.rules.yml").read_text(encoding="utf-8")
        self.assertLessEqual(metrics_in(rules), samples)
        asked = [metrics_in(expression) for _, expression in expressions()]
        self.assertTrue(all(asked))
        self.assertLessEqual(set().union(*asked), samples)
        families = set(re.findall(r"(?m)^# HELP (\w+) ", text))
        page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
        self.assertEqual(set(re.findall(r"(?m)^\| `(konductor_\w+)` \|", page)), families)

    def test_the_rules_are_rules_and_alert_when_they_should(self):
        place = self.cluster.directory
        for path in (MONITORING / "konductor.rules.yml", ROOT / "tests" / "e2e" / "monitoring" / "alerts.yml"):
            shutil.copy(path, place)
        code, said = promtool("check", "rules", "konductor.rules.yml", cwd=place)
        self.assertEqual(code, 0, said)
        names = set(re.findall(r"alert: (\w+)", (place / "konductor.rules.yml").read_text(encoding="utf-8")))
        self.assertEqual(set(re.findall(r"alertname: (\w+)", (place / "alerts.yml").read_text(encoding="utf-8"))), names)
        code, said = promtool("test", "rules", "alerts.yml", cwd=place)
        self.assertEqual(code, 0, said)
        guide = (ROOT / "docs" / "guides" / "monitoring.md").read_text(encoding="utf-8")
        self.assertEqual(set(re.findall(r"`(Konductor\w+)`", guide)), names)

    def test_prometheus_understands_every_panel_of_the_dashboard(self):
        rules = [{"record": f"panel:{number}", "expr": expression, "labels": {"title": title}}
                 for number, (title, expression) in enumerate(expressions())]
        self.assertGreater(len(rules), 10)
        path = self.cluster.file("panels.yml", json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
        code, said = promtool("check", "rules", str(path))
        self.assertEqual(code, 0, said)


if __name__ == "__main__":
    unittest.main()
