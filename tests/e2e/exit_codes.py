"""Exit codes of koncli, as a table: state of the world, command line, exit code, words of its one sentence.

Whatever does not end with 0 says why on standard error and nothing on standard output that a script could mistake for an
answer; "-" as words: it says nothing at all, because it was asked quietly. Rows of one state run one after the other in one
world. docs/reference/exit-codes.md lists every code of every verb, and the table has a row for each of them.

KONCLI holds on every store: test_exit_codes.py plays it on SQLite, kube/test_exit_codes_kube.py on a real API server."""

import os
import re
import shlex
import signal
import subprocess

from lib import PATIENCE, check_sanitizers, wait_for

ONCE = ["create", "check", "status", "list", "run", "claim", "done", "fail", "reset", "resolve", "delete"]
LEASE = ["create", "acquire", "renew", "release", "run", "status", "list", "delete"]
ALL = [*(f"once {verb}" for verb in ONCE), *(f"lease {verb}" for verb in LEASE), "status"]
# The first word of a row's command line may stand for several verbs: then what follows is put in behind each of them, and
# the arguments that it needs stand after that; NAME=x changes the name among them, NAMELESS leaves it out.
SEVERAL = {
    "ALL": ALL,
    "NAMED": [verb for verb in ALL if verb.split()[-1] not in ("list", "status") or verb.endswith("e status")],
    "WAITING": ["once run", "lease acquire", "lease run"],
    "HOLDING": ["once run", "once claim", "once done", "once fail", "lease acquire", "lease renew", "lease release", "lease run"],
    "GRANTED": ["once done", "once fail", "once resolve", "lease renew", "lease release"],
    "TIMED": ["once create", "once run", "lease create", "lease acquire", "lease renew", "lease run"],
    "RUNNING": ["once run", "lease run"],
    "PLAIN": ["version", "help", "completion"],
    "LIMITED": [verb for verb in ALL if verb != "once run"],  # which waits for its turn, so also for its store
    "SETTLED": [verb for verb in ALL if verb != "once resolve"],
}
MORE = {"once resolve": "--ran", "once run": "-- true", "lease run": "-- true", "completion": "bash"}

KONCLI = """
absent | once check job                    | 0  | has not been executed
absent | once check job -q                 | 2  | -
absent | once status job                   | 2  | there is no Once "job"
absent | once done job                     | 2  | there is no Once "job"
absent | once fail job                     | 2  | there is no Once "job"
absent | once reset job                    | 2  | there is no Once "job"
absent | once resolve job --ran            | 2  | there is no Once "job"
absent | once delete job                   | 2  | there is no Once "job"
absent | lease status db                   | 2  | there is no Lease "db"
absent | lease renew db                    | 2  | there is no Lease "db"
absent | lease release db                  | 2  | there is no Lease "db"
absent | lease release db --force          | 2  | there is no Lease "db"
absent | lease delete db                   | 2  | there is no Lease "db"
absent | once list -o name                 | 0  |
absent | lease list -o name                | 0  |
absent | once create job                   | 0  | Once "job" created
absent | lease create db                   | 0  | Lease "db" created
absent | once claim other                  | 0  |
absent | lease acquire other               | 0  |
absent | once claim job/1                  | 64 | "/" at place 4
absent | lease acquire other/1             | 64 | "/" at place 6

free | once check job                      | 0  | has not been executed
free | once check job -q                   | 5  | -
free | once status job                     | 0  | Pending
free | once list                           | 0  | job
free | once create job                     | 1  | exists already
free | once done job                       | 5  | nobody
free | once fail job                       | 5  | nobody
free | once resolve job --ran              | 2  | no claim to settle
free | once reset job --version v9         | 2  | v9
free | once run one -- sh -c 'exit 9'      | 9  |
free | once run two -- sh -c 'kill -9 $$'  | 137 |
free | once run three --run-timeout 100ms -- sleep 1000 | 124 |
free | once run four -- /none              | 127 |
free | once run five -- /etc/passwd        | 126 |
free | once run job --version v1 -- true   | 0  |
free | lease create db                     | 1  | exists already
free | lease status db                     | 0  | Available
free | lease list                          | 0  | db
free | lease renew db                      | 5  | nobody holds it
free | lease release db                    | 5  | nobody holds it
free | lease release db --force            | 2  | nobody
free | lease run db -- sh -c 'exit 9'      | 9  | -
free | lease run db -- sh -c 'kill -9 $$'  | 137 | -
free | lease run db --run-timeout 100ms -- sleep 1000 | 124 |
free | lease run db -- /none               | 127 |
free | lease run db -- /etc/passwd         | 126 |
free | lease run db -- true                | 0  |
free | lease acquire db --holder a         | 0  |
free | lease renew db --holder a           | 0  | renewed
free | lease release db --holder a         | 0  | released
free | lease delete db                     | 0  | deleted
free | status                              | 0  | job

held | once check job                      | 0  | is being run by a
held | once check job -q                   | 5  | -
held | once claim job --holder a           | 5  | is being run by a
held | once claim job --holder b           | 5  | is being run by a
held | once claim job --holder b --version v9 | 5 | by a
held | once run job --no-wait -- true      | 5  | is being run by a
held | once run job --timeout BRIEF -- true | 3 | not available within BRIEF
held | once done job --holder b            | 5  | held by "a"
held | once fail job --holder b            | 5  | held by "a"
held | once done job --holder a --token 1  | 5  | not 1
held | once fail job --holder a --token 1  | 5  | not 1
held | once reset job                      | 5  | a
held | once resolve job --ran              | 5  | a
held | once delete job                     | 5  | a
held | lease acquire db --holder a         | 5  | held by a
held | lease acquire db --holder b         | 5  | held by a
held | lease acquire db --holder b --timeout BRIEF | 3 | not available within BRIEF
held | lease run db --holder b -- true     | 5  | held by a
held | lease run db --holder b --timeout BRIEF -- true | 3 | not available within BRIEF
held | lease renew db --holder b           | 5  | held by "a"
held | lease renew db --holder a --token 1 | 5  | not 1
held | lease release db --holder b         | 5  | held by "a"
held | lease release db --force --token 1  | 5  | 1
held | lease delete db                     | 5  | held by "a"
held | once done job --holder a            | 0  |
held | lease release db --force            | 0  | taken from "a"
held | once claim more --holder a          | 0  |
held | once fail more --holder a           | 0  | failed, attempt 1

done | once check job                      | 0  | has been executed by a
done | once check job -q                   | 0  |
done | once check job -q --version v9      | 5  | -
done | once claim job --version v1         | 5  | has been executed by a
done | once run job --version v1 -- false  | 0  |
done | once done job --holder b            | 5  | has been executed by a
done | once fail job --holder a            | 5  | has been executed by a
done | once resolve job --ran              | 2  | no claim to settle
done | once reset job --version v9         | 2  | v9
done | once reset job                      | 0  | v1
done | once check job -q                   | 5  | -
done | once delete job                     | 0  | deleted

failed | once check job                    | 0  | failed for good
failed | once check job -q                 | 5  | -
failed | once status job                   | 0  | koncli once reset job
failed | once claim job                    | 1  | koncli once reset job
failed | once run job -- true              | 1  | koncli once reset job
failed | once reset job                    | 0  |

doubt | once check job                     | 0  | may or may not have run
doubt | once check job -q                  | 5  | -
doubt | once claim job                     | 5  | may or may not have run
doubt | once run job -- true               | 5  | koncli once resolve job --ran or --not-run
doubt | once reset job                     | 5  | --ran or --not-run
doubt | once resolve job --ran             | 0  |

misused | ALL --nosuch                     | 64 | unknown option '--nosuch'
misused | ALL --stroe kube                 | 64 | Did you mean '--store'?
misused | SETTLED --not-run                | 64 | unknown option '--not-run'
misused | once resolve job --ran --wait    | 64 | unknown option '--wait'
misused | ALL -o xml                       | 64 | must be one of
misused | once list --store                | 64 | requires an argument
misused | ALL --store ''                   | 64 | --store is empty
misused | ALL --store nonsense             | 64 | there is no store "nonsense"
misused | ALL --store sqlite:a --store kube | 64 | option '--store' must be used at most 1 time
misused | ALL --store sqlite:a --kubeconfig b | 64 | --kubeconfig is for Kubernetes
misused | ALL --store sqlite:a --context b | 64 | --context is for Kubernetes
misused | ALL -n a --namespace b           | 64 | at most 1 time
misused | ALL --namespace A/b              | 64 | namespace
misused | NAMED NAMELESS                   | 64 | missing argument 'name'
misused | NAMED NAME=''                    | 64 | a name is empty
misused | NAMED NAME=a/b                   | 64 | "/" at place 2
misused | NAMED NAME=Job                   | 64 | write "j"
misused | NAMED second                     | 64 | too many arguments
misused | once list job                    | 64 | too many arguments
misused | lease list db                    | 64 | too many arguments
misused | status job                       | 64 | too many arguments
misused | WAITING --timeout -1s            | 64 | --timeout: bad duration "-1s": a duration cannot be negative
misused | WAITING --timeout=-1s            | 64 | a duration cannot be negative
misused | WAITING --timeout 10             | 64 | did you mean "10s"?
misused | HOLDING --holder ''              | 64 | --holder is empty
misused | HOLDING --holder --quiet         | 64 | option '--holder' requires an argument
misused | GRANTED --token -1               | 64 | --token: "-1" is no whole number
misused | GRANTED --token x                | 64 | --token: "x" is no whole number
misused | TIMED --ttl 0                    | 64 | --ttl: 0 is too short
misused | once claim job --hold -5m        | 64 | --hold: bad duration "-5m": a duration cannot be negative
misused | once run job --                  | 64 | the command to run is missing
misused | lease run db                     | 64 | the command to run is missing
misused | RUNNING --run-timeout -1s        | 64 | a duration cannot be negative
misused | lease acquire db --priority 1.5  | 64 | --priority: "1.5" is no whole number
misused | once resolve job                 | 64 | --ran
misused | once resolve job --ran --not-run | 64 | together
misused | once                             | 64 | needs a verb
misused | lease                            | 64 | needs a verb
misused | onec check job                   | 64 | did you mean "once"?
misused | once chekc job                   | 64 | did you mean "check"?
misused | lease aquire db                  | 64 | did you mean "acquire"?
misused | check job                        | 64 | there is no command "check"
misused | version 2                        | 64 | no argument
misused | help lease aquire                | 64 | did you mean "acquire"?
misused | completion tcsh                  | 64 | bash, zsh or fish
misused | version                          | 0  | koncli
misused | help                             | 0  | koncli
misused | completion bash                  | 0  | complete

rightless | ALL                            | 4  |
silent | LIMITED                           | 1  |
silent | once run job --no-wait -- true    | 1  |
silent | once run job --timeout BRIEF -- true | 1 |

unwritable | once check job                | 1  | cannot write
unwritable | once status job               | 1  | cannot write
unwritable | once list                     | 1  | cannot write
unwritable | once create new               | 1  | cannot write
unwritable | once claim other              | 1  | cannot write
unwritable | once reset done               | 1  | cannot write
unwritable | once delete done              | 1  | cannot write
unwritable | lease status db               | 1  | cannot write
unwritable | lease list                    | 1  | cannot write
unwritable | lease create new              | 1  | cannot write
unwritable | lease acquire other           | 1  | cannot write
unwritable | lease release db --force      | 1  | cannot write
unwritable | lease delete db               | 1  | cannot write
unwritable | status                        | 1  | cannot write
unwritable | once check job --help         | 1  | cannot write
unwritable | PLAIN                         | 1  | cannot write

signalled | once run job --timeout 1h -- true       | 143 |
signalled | lease acquire db --holder b --wait      | 143 |
signalled | lease run db --holder b --wait -- true  | 143 |
signalled | status --watch                          | 143 |
"""


def put_in(verb, own):
    """The command line of a verb with what is put in and the arguments that it needs."""
    name = ["job" if verb.startswith("once") else "db"] if verb in SEVERAL["NAMED"] else []
    words = []
    for word in own:
        if word.startswith("NAME="):
            name = [word.removeprefix("NAME=")]
        elif word == "NAMELESS":
            name = []
        else:
            words.append(word)
    return [*verb.split(), *words, *name, *shlex.split(MORE.get(verb, ""))]


def rows():
    """Every row of KONCLI, with those that stand for several verbs taken apart: (state, argv, code, words)."""
    found = []
    for line in KONCLI.strip().splitlines():
        if not line:
            continue
        state, command, code, words = (part.strip() for part in line.split("|"))
        first, *own = shlex.split(command)
        several = [put_in(verb, own) for verb in SEVERAL[first]] if first in SEVERAL else [[first, *own]]
        found += [(state, argv, int(code), words) for argv in several]
    return found


def verb_of(argv):
    return " ".join(argv[:2]) if argv[0] in ("once", "lease") else argv[0]


def shown(code):
    """As the page writes it: a command's own code and that of a signal stand for all of them."""
    return {9: "*n*", 137: "128+*n*", 143: "128+*n*"}.get(code, str(code))


class Rows:
    """Plays the rows of KONCLI; joined with a class whose koncli() runs a command on its store."""

    def of(self, state):
        found = [row[1:] for row in rows() if row[0] == state]
        self.assertGreater(len(found), 2, state)
        return found

    def judge(self, argv, code, words, done, out):
        words = words.replace("BRIEF", self.brief)
        told = f"{argv}: {done.returncode}\n{out}\n{done.stderr}"
        self.assertEqual(done.returncode, code, told)
        self.assertNotIn("traceback", done.stderr)
        if code == 0:
            self.assertIn(words, out, told)
        else:
            self.assertEqual(out, "", told)
            self.assertEqual(words == "-", done.stderr == "", told)
            self.assertIn(words.strip("-") if words == "-" else words, done.stderr, told)
            self.assertTrue(words == "-" or "run" in argv or re.search("^koncli", done.stderr, re.MULTILINE), told)

    def play(self, state, **how):
        for argv, code, words in self.of(state):
            argv = [word.replace("BRIEF", self.brief) for word in argv]
            with self.subTest(" ".join(argv)):
                done = self.koncli(*argv, **how)
                self.judge(argv, code, words, done, done.stdout or "")

    def play_at_once(self, state, how):
        """Of commands that take long. how(argv) -> (argv, environment)."""
        started = []
        for argv, code, words in self.of(state):
            argv = [word.replace("BRIEF", self.brief) for word in argv]
            line, env = how(argv)
            process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       env=env, cwd=self.cluster.directory)
            self.addCleanup(self.end, process)
            started.append((argv, code, words, process))
        for argv, code, words, process in started:
            with self.subTest(" ".join(argv)):
                out, err = process.communicate(timeout=300 * PATIENCE)
                check_sanitizers(" ".join(argv), err)
                done = subprocess.CompletedProcess(argv, process.returncode, out, err)
                self.judge(argv, code, words, done, out)

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def make_free(self):
        for noun, name in (("once", "job"), ("lease", "db")):
            self.assertEqual(self.koncli(noun, "create", name).returncode, 0)

    def make_held(self):
        for args in (["once", "claim", "job"], ["lease", "acquire", "db", "--ttl", "1h"]):
            self.assertEqual(self.koncli(*args, "--holder", "a", *(["--hold", "1h"] if "claim" in args else [])).returncode, 0)

    def make_done(self, name="job"):
        done = self.koncli("once", "run", name, "--holder", "a", "--version", "v1", "--", "true")
        self.assertEqual(done.returncode, 0, done.stderr)

    def script(self, text, **how):
        """konductor on the store of this test."""
        return self.cluster.start(self.cluster.script('local k = require "konductor"\n' + text), env=self.environment(), **how)

    def test_of_what_is_not_there(self):
        self.play("absent")

    def test_of_what_is_free(self):
        self.make_free()
        self.play("free")

    def test_of_what_another_has(self):
        self.make_held()
        self.play("held")

    def test_of_what_has_been_executed(self):
        self.make_done()
        self.play("done")

    def test_of_what_has_failed_for_good(self):
        failing = self.script('k.once "job" { run = { "false" }, retries = 0 }\n')
        self.assertEqual(failing.wait(), 1, failing.describe())
        self.play("failed")

    def test_of_what_is_in_doubt(self):
        text = 'k.once "job" { run = { "sleep", "1000" }, hold = "5s", mode = "AtMostOnce" }\n'
        first = self.script(text)
        first.wait_event("start")
        first.kill()
        second = self.script(text)
        self.assertEqual(second.wait(), 77, second.describe())
        self.play("doubt")

    def test_of_a_command_line_that_is_wrong(self):
        self.play("misused")

    def test_of_an_answer_that_cannot_be_written(self):
        self.make_free()
        self.make_done("done")
        self.assertEqual(self.koncli("lease", "acquire", "db", "--holder", "a").returncode, 0)
        with open("/dev/full", "wb") as full:
            self.play("unwritable", stdout=full)
        # What was granted though its token never arrived is given back.
        for noun, verb in (("once", "claim"), ("lease", "acquire")):
            self.assertEqual(self.koncli(noun, verb, "other").returncode, 0)

    def test_of_a_pipe_that_is_closed_early(self):
        self.make_free()
        for line in ("once list | true", "lease list -o json | true", "status | true", "once list | head -1"):
            with self.subTest(line):
                script = f'koncli {line.replace(" | ", "; echo $? >code) | ")}'
                done = subprocess.run(["bash", "-c", f"({script}"], env=self.environment({
                    "PATH": f"{self.cluster.directory}:{os.environ['PATH']}"}), cwd=self.cluster.directory, text=True,
                    capture_output=True, stdin=subprocess.DEVNULL, timeout=60 * PATIENCE, check=True)
                code = int((self.cluster.directory / "code").read_text())
                # Whoever is faster than its reader's end has written all of it.
                self.assertIn((code, done.stderr.count("\n")), ((0, 0), (1, 1)), done.stderr)
                self.assertEqual(code == 1, "cannot write: Broken pipe" in done.stderr, done.stderr)

    def test_without_a_terminal_or_anything_to_read_or_write(self):
        self.make_free()
        for closed, code in (("<&-", 0), ("2>&-", 0), ("<&- 2>&-", 0), ("<&- >/dev/null 2>&-", 0)):
            with self.subTest(closed):
                done = subprocess.run(["setsid", "--wait", "sh", "-c", f'exec "$0" status {closed}', self.path],
                                      env=self.environment(), capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
                self.assertEqual((done.returncode, done.stderr), (code, ""))
                self.assertEqual("job" in done.stdout, "dev/null" not in closed)

    def test_of_one_who_is_stopped_while_it_waits(self):
        self.make_held()
        out, err = (self.cluster.directory / name for name in ("stopped.out", "stopped.err"))
        for argv, code, words in self.of("signalled"):
            with self.subTest(" ".join(argv)), open(out, "wb") as stdout, open(err, "wb") as stderr:
                process = subprocess.Popen([self.path, "--log-level", "info", *argv], stdin=subprocess.DEVNULL, stdout=stdout,
                                           stderr=stderr, env=self.environment(), cwd=self.cluster.directory)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                answers = argv[0] == "status"
                said, word = (out, "job") if answers else (err, "by a")
                wait_for(lambda: word in said.read_text(), what=f"{word!r} of {argv}", describe=err.read_text)
                process.send_signal(signal.SIGTERM)
                wait_for(lambda: process.poll() is not None, what=f"the end of {argv}", describe=err.read_text)
                # Of one that is ended by the signal itself a shell says the same.
                ended = 128 - process.returncode if process.returncode < 0 else process.returncode
                self.assertEqual((ended, words, answers or out.read_text() == ""), (code, "", True), err.read_text())
