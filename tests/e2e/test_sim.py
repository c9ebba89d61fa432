"""konductor sim: what it prints, what it ends with, and that a seed is the same world in every process."""

import json
import re
import signal
import subprocess
import unittest
from pathlib import Path

from lib import PATIENCE, ClusterTest, binary, check_sanitizers, wait_for

HEAD = 'local k = require "konductor"\n'

FLOW = HEAD + """
k.flow "shop" {
  k.stage "migrate" { run = { "migrate" }, version = k.env("TAG", "1") },
  k.main { "serve" },
}
"""
# Nobody ever does it, so that nobody comes to an end.
NEVER = HEAD + 'k.once("nobody"):wait()\n'


class Sim(ClusterTest):
    def sim(self, script, *words, code=0, **env):
        path = self.cluster.script(script)
        done = subprocess.run([binary(), "sim", str(path), *words], stdin=subprocess.DEVNULL, text=True, capture_output=True,
                              timeout=300 * PATIENCE, cwd=self.cluster.directory, env={**self.cluster.env(), **env}, check=False)
        check_sanitizers("sim", done.stderr)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def test_it_tells_how_many_worlds_held_and_which_faults_they_met(self):
        out, err = self.sim(FLOW, "--seeds", "20")
        self.assertEqual(err, "")
        self.assertRegex(out, r"20 worlds of 2 to [4-6] replicas, nothing broke\n")
        self.assertRegex(out, r"\n\d+\.\d simulated hours, \d+ commands, \d+ events\n")
        self.assertRegex(out, r"\nfaults: .*crash \d+, .*freeze \d+")

    def test_a_world_that_breaks_is_told_with_the_line_that_shows_it_and_the_code_is_1(self):
        out, _ = self.sim(NEVER, "--seeds", "2", "--replicas", "2", "-e", "A=b c", "--only", "none", code=1)
        self.assertIn("seed 1: DEAD at ", out)
        self.assertIn("2 worlds of 2 replicas, 2 of them broke", out)
        line = re.search(r"see it happen: konductor sim (\S+) (.*)", out)
        self.assertEqual(line[2], "--seed 1 --trace --replicas 2 --only none -e 'A=b c'")
        out, _ = self.sim(NEVER, "--seed", "1", "--trace", "--replicas", "2", "--only", "none", code=1)
        self.assertIn("DEAD at ", out.splitlines()[-1])
        self.assertRegex(out, r"(?m)^ +0\.\d{3}  r1 ")

    def test_the_first_world_that_broke_is_made_smaller_and_the_line_for_that_breaks_too(self):
        out, _ = self.sim(NEVER, "--seeds", "1", code=1)
        line = re.search(r"it takes only 1 replica and no fault: konductor sim \S+ (.*)", out)
        self.assertEqual(line[1], "--seed 1 --trace --replicas 1 --only none")
        self.assertIn("DEAD at ", self.sim(NEVER, *line[1].split(), code=1)[0])

    def test_correct_scripts_of_every_shape_hold_and_wrong_ones_are_told(self):
        once = 'k.once "a" { mode = "AtMostOnce", run = function() k.exec { "one" } k.exec { "two" } end }\n'
        flow = ('k.flow "f" { version = "1", k.stage "a" { run = { "a" } },\n'
                '  k.stage "b" { after = "a", run = function() k.sleep "30s" end }, k.main { "serve" } }\n')
        kept = 'k.once "a" { ttl = "10s", run = { "work" } }\n'
        for script in (once, flow, kept):
            with self.subTest(script):
                self.assertIn("nothing broke", self.sim(HEAD + script, "--seeds", "80")[0])
        raises = 'local n = k.exec({ "x", capture = true }).output\nprint("n " .. tonumber(n))\n'
        self.assertRegex(self.sim(HEAD + raises, "--seeds", "3", code=1)[0], r"SCRIPT at .* r\d: \S+:3: attempt to concatenate")
        for work in ("error 'no'", 'coroutine.wrap(function() k.exec { "x" } end)()', "coroutine.yield(1)"):
            with self.subTest(work):
                out, _ = self.sim(HEAD + f"k.once 'a' {{ run = function() {work} end }}\n", "--seeds", "3", "--only", "none")
                self.assertRegex(out, r"replicas that ended: \d+ with exit code 1\n")

    def test_replicas_and_worlds_share_nothing_and_pairs_has_an_order(self):
        spoils = 'string.format, table.count = nil, (table.count or 0) + 1\nprint(table.count)\n'
        for name in "for name in pairs { alpha = 1, beta = 2, gamma = 3, delta = 4 } do k.once(name) { run = { name } } end\n", spoils:
            script = HEAD + name + 'k.once "z" { run = { "work" } }\n'
            traces = {self.sim(script, "--seed", "4", "--trace")[0] for _ in range(3)}
            self.assertEqual(len(traces), 1)
        self.assertNotIn("  2\n", traces.pop())

    def test_only_the_kinds_of_faults_that_are_asked_for_happen(self):
        out, _ = self.sim(FLOW, "--seeds", "20", "--only", "crash,watch_loss")
        self.assertRegex(out, r"\nfaults: crash \d+, watch_loss \d+\n$")
        self.assertNotIn("faults", self.sim(FLOW, "--seeds", "3", "--only", "none")[0])

    def test_json_has_the_same_and_is_one_line(self):
        told = json.loads(self.sim(FLOW, "--seeds", "3", "--seed", "7", "-o", "json")[0])
        self.assertEqual((told["seeds"], told["firstSeed"], told["broken"]), (3, 7, []))
        self.assertGreater(told["faults"]["foreign"] + told["faults"]["watch_loss"] + told["commands"], 0)
        told = json.loads(self.sim(NEVER, "--seeds", "1", "--only", "none", "-o", "json", code=1)[0])
        self.assertEqual([finding["rule"] for finding in told["broken"][0]["findings"]], ["DEAD"])

    def test_a_seed_is_the_same_world_in_another_process_with_the_compiler_and_without(self):
        for seed in ("3", "8"):
            first, _ = self.sim(FLOW, "--seed", seed, "--trace")
            self.assertEqual(self.sim(FLOW, "--seed", seed, "--trace")[0], first)
            self.assertEqual(self.sim(FLOW, "--seed", seed, "--trace", KONDUCTOR_JIT="off")[0], first)
            self.assertGreater(len(first.splitlines()), 20)

    def test_the_script_finds_the_variables_that_are_given_and_no_others(self):
        script = FLOW.replace('"TAG", "1"', '"TAG"')
        self.assertIn("the environment variable TAG is not set; a simulation has those of -e: -e TAG=...",
                      self.sim(script, code=65, TAG="outside")[1])
        self.sim(script, "-e", "TAG=2", "--seeds", "2")

    def test_a_mistake_of_the_script_and_what_a_simulation_has_not_are_told_with_their_line(self):
        _, err = self.sim(HEAD + "local t = os.time()\n", code=65)
        self.assertRegex(err, r":2: os.time is not available in a simulation; use k.now\nkonductor sim: 1 mistake in the script; "
                              r"nothing was simulated\n$")

    def test_numbers_that_are_none_are_refused_with_what_is_taken(self):
        for words, said in (
                (["--seeds", "0"], "--seeds takes a whole number from 1 to 9007199254740991, not \"0\""),
                (["--seeds", "1e3"], 'not "1e3"'), (["--seed", "-1"], 'not "-1"'), (["--seed", "9007199254740992"], "to 9007199254740991"),
                (["--replicas", "0"], "--replicas takes a whole number from 1 to 100"), (["--replicas", "10000"], 'not "10000"'),
                (["--only", "crahs"], 'there is no kind of fault "crahs"; did you mean "crash"?'), (["--only", "late,x"], "there are busy, crash,"), (["--only", ""], '--only takes kinds of faults, or "none"'),
                (["--trace", "--seeds", "5"], "without --seeds"), (["--trace", "-o", "json"], "without -o json"),
                (["--env", "TAG"], '--env takes NAME=VALUE, not "TAG"'), (["--sedes", "1"], "--seeds")):
            with self.subTest(words=words):
                self.assertIn(said, self.sim(FLOW, *words, code=64)[1])

    def test_who_ends_it_early_is_told_what_is_known_so_far(self):
        path = self.cluster.script(FLOW)
        process = subprocess.Popen([binary(), "sim", str(path), "--seeds", "1000000000"], stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.cluster.env())
        self.addCleanup(process.kill)
        # Its signals are its own as soon as it plays, which nothing outside shows but the handler itself.
        status = Path(f"/proc/{process.pid}/status")
        wait_for(lambda: int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16) & 1 << signal.SIGINT - 1,
                 what="its handler")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60 * PATIENCE)
        self.assertEqual(process.returncode, 130, err)
        self.assertRegex(out, r"\d+ worlds? (of|was)|no world was played")


if __name__ == "__main__":
    unittest.main()
