"""Command lines and shell scripts for koncli as people have them, and what each of them really does.

Stand-ins are only the user's own commands (run-migrations, generate-report, ...) and `sleep`, which is shorter. A class here
is joined with one whose koncli() runs a command on its store."""

import os
import subprocess

from koncli_steps import Steps
from lib import wait_for

# Each stand-in says when it begins and ends; `busy` is there while one runs, and two at once leave `overlap`.
WORK = """#!/bin/sh
mkdir busy || touch overlap
echo "$(basename "$0")" >>done
while [ -e stay ]; do /bin/sleep 0.01; done
rmdir busy
"""
COMMANDS = ("run-migrations", "generate-report", "initialize-app", "run-main-process", "start-app")

ONCE_LINES = """
koncli once check app-init
koncli once create app-init --ttl 1h
koncli once list
koncli once delete app-init
"""

LEASE_LINES = """
koncli lease acquire db-migration --holder $HOSTNAME --ttl=10m
koncli lease renew db-migration --holder $HOSTNAME
koncli lease status db-migration
koncli lease release db-migration --holder $HOSTNAME
koncli lease acquire db-migration --holder $HOSTNAME --wait --timeout=5m
koncli lease release db-migration --holder $HOSTNAME
"""

INIT_CONTAINER = """
if ! koncli once check db-init | grep -q "has been executed"; then
echo "Running migrations..."
run-migrations
fi
"""

CONDITIONAL = """#!/bin/bash
ONCE_NAME="app-init"

if koncli once check $ONCE_NAME | grep -q "not been executed"; then
echo "First pod, running initialization..."
initialize-app
else
echo "Already initialized, skipping"
fi

start-app
"""

RESET = """#!/bin/bash
# Delete and recreate to reset
koncli once delete app-init
koncli once create app-init --ttl 1h
"""

CRONJOB = """
if koncli lease acquire daily-report --holder $HOSTNAME --timeout 0; then
echo "Acquired lease, generating report..."
generate-report
koncli lease release daily-report --holder $HOSTNAME
else
echo "Previous job still running, skipping"
exit 0
fi
"""

MIGRATION = """
if koncli lease acquire db-migration --holder $HOSTNAME --wait --timeout=5m; then
echo "Running migration..."
run-migrations
koncli lease release db-migration --holder $HOSTNAME
else
echo "Migration already completed by another pod"
fi
"""

RENEWAL_LOOP = """#!/bin/bash
LEASE_NAME="my-service-leader"
HOLDER_ID="$HOSTNAME-$$"
# Acquire initial lease
if koncli lease acquire $LEASE_NAME --holder $HOLDER_ID --ttl=30s; then
# Start renewal loop in background
while true; do
sleep 15 # Renew every 15 seconds
if ! koncli lease renew $LEASE_NAME --holder $HOLDER_ID; then
echo "Lost lease, shutting down"
exit 1
fi
done &
# Run main process
run-main-process
# Cleanup
koncli lease release $LEASE_NAME --holder $HOLDER_ID
fi
"""

HANDOVER = """
# Current holder releases
koncli lease release my-lease --holder $OLD_HOLDER
# New holder acquires
koncli lease acquire my-lease --holder $NEW_HOLDER --ttl=10m
"""


class Recipes(Steps):
    def setUp(self):
        super().setUp()
        for name in COMMANDS:
            self.cluster.file(f"bin/{name}", WORK, 0o755)
        self.cluster.file("bin/sleep", "#!/bin/sh\nexec /bin/sleep 0.05\n", 0o755)
        (self.cluster.directory / "bin" / "koncli").symlink_to(self.path.resolve())
        self.stay = self.cluster.directory / "stay"

    def start(self, script, hostname="pod-1", **env):
        """The script in a pod of that name; what it says goes to a file of that name."""
        path = f"{self.cluster.directory}/bin:{os.environ['PATH']}"
        with open(self.cluster.directory / f"{hostname}.log", "ab") as log:
            process = subprocess.Popen(["bash", "-c", script], env=self.environment({"PATH": path, "HOSTNAME": hostname, **env}),
                                       cwd=self.cluster.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def ends(self, process, code=0):
        wait_for(lambda: process.poll() is not None, what="the end of the script", describe=self.logs)
        self.assertEqual(process.returncode, code, self.logs())

    def play(self, script, hostname="pod-1", code=0, **env):
        """Runs it to its end; all that it has said so far."""
        self.ends(self.start(script, hostname, **env), code)
        return self.said_by(hostname)

    def said_by(self, hostname):
        return (self.cluster.directory / f"{hostname}.log").read_text()

    def logs(self):
        return "\n".join(path.read_text() for path in sorted(self.cluster.directory.glob("*.log")))

    def done(self):
        path = self.cluster.directory / "done"
        return path.read_text().split() if path.exists() else []

    def assert_never_two_at_once(self):
        self.assertFalse((self.cluster.directory / "overlap").exists(), self.logs())

    def test_the_lines_of_once_work_as_they_stand(self):
        self.play("set -e" + ONCE_LINES)

    def test_the_lines_of_lease_work_as_they_stand(self):
        self.play("set -e" + LEASE_LINES)

    def test_a_check_alone_claims_nothing_so_each_replica_does_the_work(self):
        self.play("koncli once create db-init --ttl 24h")
        self.play(INIT_CONTAINER, "pod-1")
        self.play(INIT_CONTAINER, "pod-2")
        self.assertEqual(self.done(), ["run-migrations"] * 2)

    def test_the_check_guards_what_was_executed_by_one_line_that_claims(self):
        self.play("koncli once run db-init -- run-migrations")
        self.play(INIT_CONTAINER, "pod-2")
        self.play("koncli once run db-init -- run-migrations", "pod-3")
        self.assertEqual(self.done(), ["run-migrations"])

    def test_conditional_initialization_takes_an_absent_once_for_not_executed(self):
        self.assertIn("First pod", self.play(CONDITIONAL))
        self.play("koncli once run app-init -- true")
        self.assertIn("Already initialized", self.play(CONDITIONAL, "pod-2"))
        self.assertEqual(self.done(), ["initialize-app", "start-app", "start-app"])

    def test_reset_lets_it_run_again(self):
        self.play("koncli once run app-init -- run-migrations")
        self.play(RESET)
        self.play("koncli once run app-init -- run-migrations")
        self.assertEqual(len(self.done()), 2)

    def test_the_cron_job_runs_alone_and_its_next_run_after_it(self):
        self.stay.touch()
        first = self.start(CRONJOB, "pod-1")
        wait_for(self.done, what="the report", describe=self.logs)
        self.assertIn("Previous job still running", self.play(CRONJOB, "pod-2"))
        self.stay.unlink()
        self.ends(first)
        self.play(CRONJOB, "pod-3")
        self.assertEqual(len(self.done()), 2)
        self.assert_never_two_at_once()

    def test_the_cron_job_of_no_host_name_is_refused_before_it_holds_anything(self):
        log = self.play(CRONJOB, "", code=0)
        self.assertIn("option '--holder' requires an argument", log)
        self.assertEqual(self.done(), [])

    def test_the_migration_job_runs_in_every_pod_and_never_in_two_at_once(self):
        pods = [self.start(MIGRATION, f"pod-{number}") for number in range(3)]
        for pod in pods:
            self.ends(pod)
        self.assertEqual(self.done(), ["run-migrations"] * 3)
        self.assert_never_two_at_once()

    def test_the_migration_job_with_once_run_migrates_once(self):
        pods = [self.start("koncli once run schema --version v1 -- run-migrations", f"pod-{number}") for number in range(3)]
        for pod in pods:
            self.ends(pod)
        self.assertEqual(self.done(), ["run-migrations"])

    def test_the_renewal_loop_renews_and_says_that_it_lost_though_its_main_process_goes_on(self):
        self.stay.touch()
        loop = self.start(RENEWAL_LOOP)
        wait_for(lambda: self.koncli("lease", "status", "my-service-leader").returncode == 0, what="the Lease")
        wait_for(lambda: self.status("lease", "my-service-leader").get("renewals", 0) >= 2, what="two renewals", describe=self.logs)
        self.ok("lease", "release", "my-service-leader", "--force")
        wait_for(lambda: "Lost lease, shutting down" in self.said_by("pod-1"), what="the end of the loop", describe=self.logs)
        self.assertIsNone(loop.poll(), "the main process stops only with lease run")
        self.stay.unlink()
        wait_for(lambda: loop.poll() is not None, what="the end of the script", describe=self.logs)

    def test_a_handover_by_two_lines_goes_from_one_holder_to_the_other(self):
        self.play("koncli lease acquire my-lease --holder old", "pod-1")
        self.play("set -e" + HANDOVER, "pod-1", OLD_HOLDER="old", NEW_HOLDER="new")
        self.assertEqual(self.status("lease", "my-lease")["holder"], "new")
