"""Recipes of the shell as people have them, and what each of them really does.

The recipes are the files beside this one: in once/, lease/ and job/ as they are printed, in safe/ the line that keeps what
the printed one promises. Stand-ins are only the user's own commands (run-migrations, generate-report, ...) and `sleep`, which
is shorter. A class here is joined with one whose koncli() runs a command on its store."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

from koncli_steps import Steps
from lib import check_sanitizers, is_alive, wait_for

HERE = Path(__file__).resolve().parent

# Each stand-in says when it begins; `busy` is there while one runs, and two at once leave `overlap`. While `stay` is there
# it goes on; while `broken` is there it ends with 3.
WORK = """#!/bin/sh
mkdir busy || touch overlap
echo "$(basename "$0") $*" >>done
while [ -e stay ]; do /bin/sleep 0.01; done
rmdir busy
[ ! -e broken ] || exit 3
"""
MAIN = """#!/bin/sh
mkdir busy || touch overlap
trap 'rmdir busy; echo stop >>done; exit 0' TERM
echo start >>done
echo $$ >pid.new; mv pid.new pid
while :; do /bin/sleep 0.01; done
"""
COMMANDS = ("run-migrations", "generate-report", "initialize-app", "run-main-process", "start-app", "write-default-config",
            "aws", "superset")


def text_of(name):
    return (HERE / name).read_text(encoding="utf-8")


def script_of(name):
    """The text of a script; of a manifest that of its container."""
    text = text_of(name)
    if name.endswith(".yaml"):
        text = textwrap.dedent(re.search(r"- \|\n(( +).*\n(?:\2.*\n|\n)*)", text)[1])
    return text


def lines_of(name):
    """Its commands, without the remark above them."""
    return [line for line in text_of(name).splitlines() if line and not line.startswith("#")]


class Pods(Steps):
    """Scripts as processes that believe to be pods."""

    def setUp(self):
        super().setUp()
        for name in COMMANDS:
            self.cluster.file(f"bin/{name}", WORK, 0o755)
        self.cluster.file("bin/sleep", "#!/bin/sh\nexec /bin/sleep 0.05\n", 0o755)
        (self.cluster.directory / "bin" / "koncli").symlink_to(self.path.resolve())
        self.stay, self.broken, self.overlap = (self.cluster.directory / name for name in ("stay", "broken", "overlap"))

    def start(self, script, hostname="pod-1", argv=(), **env):
        """The script, or the command argv, in a pod of that name; what it says goes to a file of that name."""
        path = f"{self.cluster.directory}/bin:{os.environ['PATH']}"
        shell = ["bash" if script and script.startswith("#!/bin/bash") else "sh", "-c", script]
        with open(self.cluster.directory / f"{hostname}.log", "ab") as log:
            process = subprocess.Popen(argv or shell, env=self.environment({"PATH": path, "HOSTNAME": hostname, **env}),
                                       cwd=self.cluster.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def ends(self, process, code=0):
        wait_for(lambda: process.poll() is not None, what="the end of the script", describe=self.logs)
        check_sanitizers("the pods", self.logs())
        self.assertEqual(process.returncode, code, self.logs())

    def play(self, script, hostname="pod-1", code=0, **env):
        """Runs it to its end; all that it has said so far."""
        self.ends(self.start(script, hostname, **env), code)
        return self.said_by(hostname)

    def said_by(self, hostname):
        return (self.cluster.directory / f"{hostname}.log").read_text()

    def wait_said(self, hostname, text):
        wait_for(lambda: text in self.said_by(hostname), what=f"{text!r} of {hostname}", describe=self.logs)

    def logs(self):
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.cluster.directory.glob("*.log")))

    def done(self):
        path = self.cluster.directory / "done"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def wait_done(self, count):
        wait_for(lambda: len(self.done()) >= count, what=f"{count} commands", describe=self.logs)

    def assert_never_two_at_once(self):
        self.assertFalse(self.overlap.exists(), self.logs())

    def many(self, count, script, **how):
        """So many pods at once, until all have ended well."""
        for process in [self.start(script, f"pod-{number}", **how) for number in range(1, count + 1)]:
            self.ends(process)


class OnceRecipes(Pods):
    def test_each_line_of_once_works_as_it_stands(self):
        for line in lines_of("once/lines.bash"):
            self.play(line)

    def test_a_look_alone_claims_nothing_so_each_replica_does_the_work_one_after_the_other(self):
        self.play("koncli once create db-init --ttl 24h")
        for number in (1, 2, 3):
            self.play(script_of("once/init-container.yaml"), f"pod-{number}")
        self.assertEqual(self.done(), ["run-migrations"] * 3)

    def test_a_look_alone_claims_nothing_so_two_replicas_do_the_work_at_the_same_time(self):
        self.stay.touch()
        pods = []
        for number in (1, 2):
            pods.append(self.start(script_of("once/config-job.yaml"), f"pod-{number}"))
            self.wait_done(number)
        self.stay.unlink()
        for pod in pods:
            self.ends(pod)
        self.assertTrue(self.overlap.exists())

    def test_a_look_guards_what_was_done_by_a_line_that_claims(self):
        self.play("koncli once run db-init -- run-migrations")
        self.play(script_of("once/init-container.yaml"), "pod-2")
        self.assertEqual(self.done(), ["run-migrations"])

    def test_a_look_that_fails_is_taken_for_not_executed(self):
        self.play("koncli once run db-init -- run-migrations")
        self.play(script_of("once/init-container.yaml"), "pod-2", KONDUCTOR_STORE="sqlite:/dev/null/none")
        self.assertEqual(self.done(), ["run-migrations"] * 2)

    def test_each_run_of_the_provisioning_makes_another_bucket(self):
        for number in (1, 2):
            self.play(script_of("once/provision-job.yaml"), f"pod-{number}", AWS_ACCOUNT_ID="42")
        buckets = (self.cluster.directory / "done").read_text().splitlines()
        self.assertRegex(buckets[0], r"^aws s3 mb s3://42-my-app-\d+-[0-9a-f]{8}$")
        self.assertEqual(len(set(buckets)), 2)

    def test_conditional_initialization_takes_an_absent_once_for_not_executed(self):
        self.assertIn("First pod", self.play(script_of("once/conditional.bash")))
        self.play("koncli once run app-init -- true")
        self.assertIn("Already initialized", self.play(script_of("once/conditional.bash"), "pod-2"))
        self.assertEqual(self.done(), ["initialize-app", "start-app", "start-app"])

    def test_conditional_initialization_starts_the_program_though_it_failed(self):
        self.cluster.file("bin/initialize-app", "#!/bin/sh\nexit 3\n", 0o755)
        self.play(script_of("once/conditional.bash"))
        self.assertEqual(self.done(), ["start-app"])

    def test_the_safe_initialization_is_of_one_replica_and_before_every_start(self):
        self.many(3, script_of("safe/conditional.bash"))
        self.assertEqual(self.done()[0], "initialize-app")
        self.assertEqual(sorted(self.done()), ["initialize-app"] + ["start-app"] * 3)

    def test_the_safe_initialization_that_fails_starts_nothing_and_the_next_replica_tries(self):
        self.broken.touch()
        self.play(script_of("safe/conditional.bash"), code=3)
        self.broken.unlink()
        self.play(script_of("safe/conditional.bash"), "pod-2")
        self.assertEqual(self.done(), ["initialize-app", "initialize-app", "start-app"])

    def test_reset_by_two_lines_lets_every_version_run_again(self):
        for version in ("v1", "v2"):
            self.play(f"koncli once run app-init --version {version} -- run-migrations")
        self.play(script_of("once/reset.bash"))
        for version in ("v1", "v2"):
            self.play(f"koncli once run app-init --version {version} -- run-migrations")
        self.assertEqual(len(self.done()), 4)

    def test_reset_by_two_lines_is_refused_while_it_is_being_run(self):
        token = self.taken("once", "claim", "app-init", "--holder", "pod-9")
        said = self.play(script_of("once/reset.bash"), code=1)
        self.assertIn("--force", said)
        self.assertIn("exists already", said)
        status = self.status("once", "app-init")
        self.assertEqual((status["executor"], status["fence"]), ("pod-9", token))

    def test_the_safe_reset_is_of_one_version_and_refused_while_it_is_being_run(self):
        for version in ("v1", "v2"):
            self.play(f"koncli once run app-init --version {version} -- run-migrations")
        self.play(script_of("safe/reset.bash"))
        for version, runs in (("v1", 2), ("v2", 3)):
            self.play(f"koncli once run app-init --version {version} -- run-migrations")
            self.assertEqual(len(self.done()), runs)
        self.taken("once", "claim", "app-init", "--holder", "pod-9", "--version", "v3")
        self.play(script_of("safe/reset.bash"), code=5)

    def test_a_record_whose_time_is_over_lets_the_work_be_done_again(self):
        self.play("koncli once create app-init --ttl 1s")
        line = "koncli once run app-init -- initialize-app"
        self.play(line)
        wait_for(lambda: "the time of its record is over" in self.said("once", "check", "app-init"), what="its end")
        self.play(line)
        self.assertEqual(len(self.done()), 2)

    def test_stages_run_once_each_and_in_their_order_whoever_runs_them(self):
        self.many(3, script_of("safe/stages.bash"))
        self.assertEqual(self.done(), ["run-migrations", "write-default-config", "initialize-app"] + ["start-app"] * 3)

    def test_stages_go_on_where_they_stopped(self):
        self.cluster.file("bin/write-default-config", "#!/bin/sh\n[ -e mended ]\n", 0o755)
        self.play(script_of("safe/stages.bash"), code=1)
        (self.cluster.directory / "mended").touch()
        self.play(script_of("safe/stages.bash"), "pod-2")
        self.assertEqual(self.done(), ["run-migrations", "initialize-app", "start-app"])

    def test_an_upgrade_is_done_once_for_each_image_tag(self):
        for tag, expected in (("4.1.1", 1), ("4.1.2", 2), ("4.1.1", 2)):
            self.many(2, script_of("safe/superset.yaml"), IMAGE_TAG=tag)
            self.assertEqual(self.done(), ["superset"] * expected)
        self.assert_never_two_at_once()


class LeaseRecipes(Pods):
    def test_each_line_of_lease_works_as_it_stands(self):
        acquire, acquire_wait, renew, release, status = lines_of("lease/lines.bash")
        for line in (acquire, renew, status, release, acquire_wait, status, release):
            self.play(line)

    def test_the_cron_job_runs_alone_and_its_next_run_after_it(self):
        script = script_of("lease/cron-job.yaml")
        self.stay.touch()
        first = self.start(script)
        self.wait_done(1)
        self.assertIn("Previous job still running", self.play(script, "pod-2"))
        self.stay.unlink()
        self.ends(first)
        self.play(script, "pod-3")
        self.assertEqual(len(self.done()), 2)
        self.assert_never_two_at_once()

    def test_the_cron_job_hides_that_its_report_failed(self):
        self.broken.touch()
        self.play(script_of("lease/cron-job.yaml"), code=0)
        self.assertEqual(self.done(), ["generate-report"])

    def test_the_cron_job_that_dies_blocks_the_next_ones_for_its_time_to_live(self):
        self.play("koncli lease create daily-report --ttl 2h")
        self.stay.touch()
        first = self.start(script_of("lease/cron-job.yaml"))
        self.wait_done(1)
        first.kill()
        self.ends(first, -9)
        self.assertIn("Previous job still running", self.play(script_of("lease/cron-job.yaml"), "pod-2"))
        self.assertEqual(self.status("lease", "daily-report")["ttlMs"], 7200000)

    def test_the_cron_job_that_takes_longer_than_its_time_to_live_is_no_longer_alone(self):
        self.ok("lease", "create", "daily-report", "--ttl", "3s")
        self.stay.touch()
        first = self.start(script_of("lease/cron-job.yaml"))
        self.wait_done(1)

        def another():
            process = self.start(script_of("lease/cron-job.yaml"), "pod-2")
            wait_for(lambda: process.poll() is not None or len(self.done()) == 2, what="the second pod", describe=self.logs)
            return process if len(self.done()) == 2 else None

        second = wait_for(another, what="the end of the hold", describe=self.logs)
        self.stay.unlink()
        self.ends(second)
        self.ends(first, 5)
        self.assertTrue(self.overlap.exists())

    def test_the_cron_job_of_no_host_name_says_that_another_runs_and_ends_well(self):
        log = self.play(script_of("lease/cron-job.yaml"), "")
        self.assertIn("option '--holder' requires an argument", log)
        self.assertIn("Previous job still running", log)
        self.assertEqual(self.done(), [])

    def test_the_safe_cron_job_runs_alone_and_ends_well_when_another_runs(self):
        script = script_of("safe/cron-job.yaml")
        self.stay.touch()
        first = self.start(script)
        self.wait_done(1)
        self.play(script, "pod-2")
        self.stay.unlink()
        self.ends(first)
        self.broken.touch()
        self.play(script, "pod-3", code=1)
        self.assertEqual(self.done(), ["generate-report"] * 2)
        self.assert_never_two_at_once()

    def test_the_migration_job_migrates_in_every_pod_and_never_in_two_at_once(self):
        self.many(3, script_of("lease/migration-job.yaml"))
        self.assertEqual(self.done(), ["run-migrations"] * 3)
        self.assert_never_two_at_once()

    def test_the_migration_job_hides_that_its_migration_failed(self):
        self.broken.touch()
        self.play(script_of("lease/migration-job.yaml"), code=0)
        self.assertEqual(self.done(), ["run-migrations"])

    def test_the_migration_job_says_completed_whenever_it_could_not_acquire(self):
        log = self.play(script_of("lease/migration-job.yaml"), KONDUCTOR_STORE="sqlite:/dev/null/none")
        self.assertIn("Migration already completed by another pod", log)
        self.assertEqual(self.done(), [])

    def test_the_renewal_loop_renews_and_when_it_has_lost_its_main_process_goes_on(self):
        self.stay.touch()
        loop = self.start(script_of("lease/renewal-loop.bash"))
        wait_for(lambda: self.koncli("lease", "status", "my-service-leader").returncode == 0, what="the Lease")
        wait_for(lambda: self.status("lease", "my-service-leader").get("renewals", 0) >= 2, what="two renewals")
        self.ok("lease", "release", "my-service-leader", "--force")
        self.wait_said("pod-1", "Lost lease, shutting down")
        self.assertIsNone(loop.poll())
        other = self.start(script_of("lease/renewal-loop.bash"), "pod-2")
        self.wait_done(2)
        self.stay.unlink()
        self.ends(other)
        self.assertTrue(self.overlap.exists(), "the main processes of two leaders run at the same time")

    def leading(self, hostname="pod-1"):
        """A leader by the safe line; its main process ends when it is told to."""
        self.cluster.file("bin/run-main-process", MAIN, 0o755)
        return self.start(script_of("safe/leader.bash"), hostname)

    def test_the_safe_leader_stops_its_main_process_before_another_leads(self):
        first = self.leading()
        self.wait_done(1)
        second = self.leading("pod-2")
        self.queued("my-service-leader")
        first.terminate()
        self.ends(first)
        self.wait_done(3)
        self.assertEqual(self.done(), ["start", "stop", "start"])
        self.assertIsNone(second.poll())
        self.assert_never_two_at_once()

    def test_the_safe_leader_that_has_lost_stops_its_main_process_and_says_so_by_its_exit_code(self):
        first = self.leading()
        wait_for(lambda: (self.cluster.directory / "pid").exists(), what="the main process", describe=self.logs)
        self.ok("lease", "release", "my-service-leader", "--force")
        self.ends(first, 5)
        self.assertFalse(is_alive(int((self.cluster.directory / "pid").read_text())))

    def test_a_handover_by_two_lines_goes_from_one_holder_to_the_other_when_nobody_waits(self):
        self.taken("lease", "acquire", "my-lease", "--holder", "old")
        self.play("set -e\n" + script_of("lease/handover.bash"), OLD_HOLDER="old", NEW_HOLDER="new")
        self.assertEqual(self.status("lease", "my-lease")["holder"], "new")

    def test_a_handover_by_two_lines_goes_to_one_who_waits(self):
        self.taken("lease", "acquire", "my-lease", "--holder", "old")
        waiter = self.background("lease", "acquire", "my-lease", "--holder", "third", "--wait")
        self.queued("my-lease")
        self.play(script_of("lease/handover.bash"), code=5, OLD_HOLDER="old", NEW_HOLDER="new")
        self.assertEqual(self.code_of(waiter), 0)
        self.assertEqual(self.status("lease", "my-lease")["holder"], "third")

    def test_the_safe_handover_goes_to_the_new_holder_though_another_waits_longer(self):
        self.taken("lease", "acquire", "my-lease", "--holder", "old")
        self.background("lease", "acquire", "my-lease", "--holder", "third", "--wait")
        self.queued("my-lease")
        self.play(script_of("safe/handover.bash"), OLD_HOLDER="old", NEW_HOLDER="new")
        self.assertEqual(self.status("lease", "my-lease")["holder"], "new")

    def test_the_priority_of_a_lease_orders_nobody_and_that_of_a_candidate_does(self):
        self.ok("lease", "create", "my-lease", "--priority", "10")
        self.taken("lease", "acquire", "my-lease", "--holder", "old")
        waiters = {}
        for count, (holder, options) in enumerate((("first", []), ("second", []), ("urgent", ["--priority", "50"])), 1):
            waiters[holder] = self.background("lease", "acquire", "my-lease", "--holder", holder, "--wait", *options)
            self.queued("my-lease", count)
        for holder, next_one in (("old", "urgent"), ("urgent", "first"), ("first", "second")):
            self.ok("lease", "release", "my-lease", "--holder", holder)
            self.assertEqual(self.code_of(waiters[next_one]), 0)
            self.assertEqual(self.status("lease", "my-lease")["holder"], next_one)

    def test_a_lease_is_available_then_held_then_expired_and_free_for_the_next(self):
        phase = lambda: re.search(r"Available|Held|Expired", self.said("lease", "status", "my-lease"))[0]
        self.ok("lease", "create", "my-lease", "--ttl", "3s")
        self.assertEqual(phase(), "Available")
        self.taken("lease", "acquire", "my-lease", "--holder", "a", "--ttl", "10m")
        self.assertEqual(phase(), "Held")
        self.ok("lease", "renew", "my-lease", "--holder", "a", "--ttl", "3s")
        wait_for(lambda: phase() == "Expired", what="the end of the hold")
        self.taken("lease", "acquire", "my-lease", "--holder", "b", "--wait")
