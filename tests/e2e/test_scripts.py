"""Every ready-made script, run as its head says, from inside the binary."""

import unittest

from lib import ROOT, ClusterTest, wait_for


class BuiltIn(ClusterTest):
    def run_all(self, count, name, *command, **env):
        replicas = self.cluster.start_many(count, name, command=command, env=env)
        return [replica.wait() for replica in replicas]

    def lines(self, name):
        path = self.cluster.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def test_each_is_listed_in_the_help_with_what_it_does(self):
        text = self.cluster.run("help", "scripts").stdout
        for path in (ROOT / "scripts").glob("*.lua"):
            with self.subTest(script=path.stem):
                first = path.read_text().splitlines()[0]
                self.assertIn(f"@{path.stem} ", text)
                self.assertIn(first.lstrip("- "), text)

    def test_a_variable_that_is_missing_leads_to_the_help_of_the_script(self):
        done = self.cluster.run("run", "@once-per-version", "--listen", "off", "--", "true")
        self.assertEqual(done.returncode, 65)
        for name in ("INIT", "IMAGE_TAG"):
            self.assertIn(f"environment variable {name} is not set; konductor help @once-per-version tells what it is\n", done.stderr)

    def test_once_per_version(self):
        init = "echo init >> runs"
        for tag, runs in (("1", 1), ("1", 1), ("2", 2)):
            self.assertEqual(self.run_all(3, "@once-per-version", "sh", "-c", "echo main >> mains", INIT=init, IMAGE_TAG=tag),
                             [0, 0, 0])
            self.assertEqual(len(self.lines("runs")), runs)
        self.assertEqual(len(self.lines("mains")), 9)

    def test_init_stages(self):
        env = {f"INIT_{i}": f"echo {i} >> runs" for i in (1, 2, 3)}
        self.assertEqual(self.run_all(3, "@init-stages", "sh", "-c", "exit 4", IMAGE_TAG="1", **env), [4, 4, 4])
        self.assertEqual(self.lines("runs"), ["1", "2", "3"])

    def test_leader(self):
        work = "echo $KONDUCTOR_HOLDER >> runs; exec sleep 1000"
        start = lambda name, priority: self.cluster.start(
            "@leader", name=name, command=["sh", "-c", work], env={"LEASE": "shop-leader", "PRIORITY": priority,
                                                                          "TTL": "30m"})
        a = start("a", 0)
        a.wait_event("start", name="shop-leader")
        b = start("b", 0)
        b.wait_event("join")
        c = start("c", 5)
        c.wait_event("join")
        self.assertEqual(self.lines("runs"), ["a"])
        self.assertEqual(a.stop(), 143)
        wait_for(lambda: self.lines("runs") == ["a", "c"], what="the one with the higher priority",
                 describe=self.cluster.describe)
        c.kill()
        wait_for(lambda: self.lines("runs") == ["a", "c", "b"], what="the one that is left", describe=self.cluster.describe)

    def test_mutex_exec(self):
        inside = "mkdir inside && echo x >> runs && rmdir inside"
        self.assertEqual(self.run_all(5, "@mutex-exec", "sh", "-c", inside, LOCK="backup", WAIT="30s"), [0] * 5)
        self.assertEqual(len(self.lines("runs")), 5)
        self.assertEqual(self.run_all(1, "@mutex-exec", "sh", "-c", "exit 9"), [9])

    def test_mutex_exec_gives_up_with_75(self):
        holder = self.cluster.start("@mutex-exec", command=["sleep", "1000"])
        holder.wait_event("start")
        late = self.cluster.start("@mutex-exec", command=["touch", "ran"], env={"WAIT": "100ms"})
        self.assertEqual(late.wait(), 75)
        self.assertIn('k.lease("lock"):with: not available within 100ms', late.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())

    def test_singleton(self):
        first = self.cluster.start("@singleton", command=["sleep", "1000"])
        first.wait_event("start")
        second = self.cluster.start("@singleton", command=["touch", "ran"])
        self.assertEqual(second.wait(), 0)
        self.assertIn("not started: ", second.stderr)
        self.assertFalse((self.cluster.directory / "ran").exists())
        self.assertEqual(first.stop(), 143)
        self.assertEqual(self.run_all(1, "@singleton", "touch", "ran"), [0])
        self.assertTrue((self.cluster.directory / "ran").exists())

    def test_run_once(self):
        for version, runs in (("1", 1), ("1", 1), ("2", 2)):
            self.assertEqual(self.run_all(3, "@run-once", "sh", "-c", "echo x >> runs", NAME="import", VERSION=version), [0] * 3)
            self.assertEqual(len(self.lines("runs")), runs)

    def test_run_once_that_fails_for_good_exits_1(self):
        self.assertEqual(self.run_all(1, "@run-once", "false", RETRIES="0"), [1])

    def test_a_missing_command_is_a_mistake_before_anything_is_held_or_counted_as_an_attempt(self):
        for name in ("mutex-exec", "run-once", "semaphore", "singleton"):
            with self.subTest(script=name):
                done = self.cluster.run("run", f"@{name}", "--listen", "off")
                self.assertEqual(done.returncode, 65)
                self.assertIn('there is none\nkonductor run: 1 mistake in the script; nothing was run', done.stderr)

    def test_a_semaphore_that_nobody_could_pass_is_a_mistake(self):
        for permits in ("0", "many"):
            replica = self.cluster.start("@semaphore", command=["true"], env={"PERMITS": permits})
            self.assertEqual(replica.wait(), 65)
            self.assertIn("PERMITS is not a number from 1 on", replica.stderr)


if __name__ == "__main__":
    unittest.main()
