"""What a script can do at its own level and in its functions: k.exec, holds, onces, time, modules, its own policies."""

import signal
import unittest

from lib import ClusterTest, wait_for


class ScriptTest(ClusterTest):
    def start(self, text, **how):
        return self.cluster.start(self.cluster.script('local k = require "konductor"\n' + text), **how)

    def output(self, text, code=0, **how):
        """What a script prints; it must end with this code."""
        replica = self.start(text, **how)
        self.assertEqual(replica.wait(), code, replica.stderr)
        return replica.stdout.splitlines()

    def lines(self, name):
        path = self.cluster.directory / name
        return path.read_text().splitlines() if path.exists() else []


class Exec(ScriptTest):
    def test_its_output_is_passed_through_or_captured(self):
        self.assertEqual(self.output('''
            print "before"
            k.exec { "echo", "through" }
            local r = k.exec { "sh", "-c", "echo caught; exit 3", capture = true, check = false }
            print(r.code, r.output)
        '''), ["before", "through", "3\tcaught", ""])

    def test_environment_directory_and_input_are_given(self):
        self.assertEqual(self.output('''
            k.exec { "sh", "-c", "pwd; echo $A; cat", env = { A = 5 }, cwd = "/tmp", input = "typed" }
        '''), ["/tmp", "5", "typed"])

    def test_a_failure_raises_unless_it_is_asked_not_to(self):
        self.assertEqual(self.output('''
            print(select(2, pcall(k.exec, { "sh", "-c", "exit 3" })))
            print(select(2, pcall(k.exec, { "sh", "-c", "kill -9 $$" })))
            print(select(2, pcall(k.exec, { "no-such-command" })))
            print(k.exec { "no-such-command", check = false }.code)
        '''), [f"{self.cluster.directory}/script1.lua:3: sh exited with 3",
               f"{self.cluster.directory}/script1.lua:4: sh was ended by signal 9",
               f"{self.cluster.directory}/script1.lua:5: cannot run no-such-command: no such command in PATH", "127"])

    def test_an_uncaught_failure_is_the_exit_code(self):
        self.assertEqual(self.start('k.exec { "sh", "-c", "exit 42" }').wait(), 42)
        self.assertEqual(self.start('k.exec { "no-such-command" }').wait(), 127)

    def test_a_timeout_ends_the_whole_tree_with_124(self):
        self.assertEqual(self.output('''
            local r = k.exec { "sh", "-c", "setsid sleep 1000 & wait", timeout = "100ms", check = false }
            print(r.code, r.timed_out)
        '''), ["124\ttrue"])

    def test_half_a_megabyte_of_output_comes_whole(self):
        self.assertEqual(self.output('''
            print(#k.exec { "head", "-c", "524288", "/dev/zero", capture = true }.output)
        '''), ["524288"])


class Holds(ScriptTest):
    def test_with_gives_what_the_function_returns_and_raises_what_it_raises(self):
        self.assertEqual(self.output('''
            print(k.lease("db"):with({ ttl = "5s" }, function(hold) return hold.name, nil, hold.token > 0 end))
            local mine = {}
            print(select(2, pcall(function() k.lease("db"):with({}, function() error(mine) end) end)) == mine)
        '''), ["db\tnil\ttrue", "true"])

    def test_an_error_leaves_the_lease_free(self):
        self.assertEqual(self.output('''
            print(select(2, pcall(function() k.lease("db"):with({}, function() error("plain", 0) end) end)))
            print(k.lease("db"):try({}, function() return "free again" end))
        '''), ["plain", "true\tfree again"])

    def test_try_does_not_wait_and_with_waits_no_longer_than_asked(self):
        holder = self.start('k.lease("db"):with({}, function() k.exec { "touch", "held" } k.sleep "1000s" end)', name="h")
        wait_for(lambda: (self.cluster.directory / "held").exists(), what="the holder")
        self.assertEqual(self.output('''
            print((k.lease("db"):try({}, function() end)))
            local ok, failure = pcall(function() k.lease("db"):with({ timeout = "50ms" }, function() end) end)
            print(ok, failure.code)
        '''), ["false", "false\ttimeout"])
        self.assertEqual(self.start('k.lease("db"):with({ timeout = "50ms" }, function() end)').wait(), 75)
        self.assertEqual(self.start('k.lease("db"):with({ wait = false }, function() end)').wait(), 75)
        self.assertEqual(holder.stop(), 143)

    def test_two_processes_are_never_inside_together(self):
        script = '''
            for _ = 1, 5 do
              k.lease("db"):with({}, function() k.exec { "sh", "-c", "mkdir inside && rmdir inside" } end)
            end
        '''
        self.assertEqual([r.wait(60) for r in [self.start(script) for _ in range(3)]], [0, 0, 0])

    def test_a_hold_in_a_hold_has_its_own_token_and_both_are_released(self):
        self.assertEqual(self.output('''
            k.lease("out"):with({}, function(out)
              k.lease("in"):with({}, function(inner)
                k.exec { "sh", "-c", "echo $KONDUCTOR_LEASE" }
                print(inner.token ~= out.token)
              end)
            end)
            print(k.lease("out"):try({}, function() end), k.lease("in"):try({}, function() end))
        '''), ["in", "true", "true\ttrue"])

    def test_a_term_ends_the_function_its_commands_and_the_hold(self):
        a = self.start('k.lease("db"):with({}, function() k.exec { "sh", "-c", "touch held; exec sleep 1000" } end)\n'
                       'k.exec { "touch", "beyond" }')
        wait_for(lambda: (self.cluster.directory / "held").exists(), what="the holder")
        self.assertEqual(a.stop(), 143)
        self.assertFalse((self.cluster.directory / "beyond").exists())
        self.assertEqual(self.output('print(k.lease("db"):try({}, function() end))'), ["true"])


class Onces(ScriptTest):
    def test_run_says_whether_it_ran_here(self):
        self.assertEqual(self.output('''
            local function work(ctx) print("attempt " .. ctx.attempt) end
            print(k.once("x"):run({ version = "1" }, work))
            print(k.once("x"):run({ version = "1" }, work))
            print(k.once("x"):run({ version = "2" }, work))
        '''), ["attempt 1", "true", "false", "attempt 1", "true"])

    def test_environment_and_directory_are_those_of_its_commands(self):
        self.assertEqual(self.output('''
            k.once("x"):run({ env = { A = "outer", B = "outer" }, cwd = "/tmp" }, function()
              k.exec { "sh", "-c", "echo $A $B $PWD $KONDUCTOR_ONCE $KONDUCTOR_HOLDER", env = { B = "inner" } }
            end)
        ''', name="pod-9"), ["outer inner /tmp x pod-9"])

    def test_a_declared_once_runs_before_the_main_and_once(self):
        text = 'k.once "seed" { run = { "sh", "-c", "echo ran >> runs" } }'
        for _ in range(2):
            self.assertEqual(self.output(text, command=["echo", "main"]), ["main"])
        self.assertEqual(self.lines("runs"), ["ran"])

    def test_failure_for_good_raises_and_exits_1(self):
        text = 'k.once("x"):run({ retries = 1, backoff = "1ms" }, function() k.exec { "false" } end)'
        replica = self.start(text)
        self.assertEqual(replica.wait(), 1)
        self.assertIn("false exited with 1", replica.stderr)


class TheRest(ScriptTest):
    def test_a_script_may_do_things_at_its_own_level_in_order(self):
        self.assertEqual(self.output('''
            local started = k.now()
            k.sleep "20ms"
            k.exec { "echo", k.now() - started >= 20 and "slept" or "hurried" }
            k.log.warn("careful", { with = "fields" })
        '''), ["slept"])

    def test_a_term_ends_a_sleep_at_once(self):
        a = self.start('k.exec { "touch", "up" }\nk.sleep "1000s"')
        wait_for(lambda: (self.cluster.directory / "up").exists(), what="the sleep")
        self.assertEqual(a.stop(), 143)

    def test_an_interrupt_while_waiting_is_130(self):
        a = self.start('k.exec { "touch", "up" }\nk.sleep "1000s"')
        wait_for(lambda: (self.cluster.directory / "up").exists(), what="the sleep")
        a.signal(signal.SIGINT)
        self.assertEqual(a.wait(), 130)

    def test_modules_beside_the_script_are_found_and_see_the_library(self):
        self.cluster.file("steps/common.lua", 'local k = require "konductor"\nreturn { say = function(x) k.exec { "echo", x } end }\n')
        self.assertEqual(self.output('require("steps.common").say "hello"'), ["hello"])

    def test_the_store_is_there_for_policies_of_ones_own(self):
        self.assertEqual(self.output('''
            local record = assert(k.store.create("Counter", "hits", { start = 1 }))
            record = assert(k.store.replace(record, { count = 1 }))
            print(record.status.count, k.store.get("Counter", "hits").spec.start)
            print((select(2, k.store.get("Counter", "misses"))))
            local box = k.inbox()
            k.store.watch(box, "Counter", "hits")
            assert(k.store.replace(record, { count = 2 }))
            print(box:wait(k.now() + 5000).type)
            print((select(2, k.store.replace(record, { count = 3 }))))
            print(k.store.delete(k.store.get("Counter", "hits")), #k.store.list "Counter")
        '''), ["1\t1", "absent", "changed", "conflict", "true\t0"])

    def test_what_the_script_writes_is_written_once_although_it_is_looked_at_first(self):
        self.assertEqual(self.output('''
            print "first"
            k.exec { "echo", "second" }
            print "third"
        '''), ["first", "second", "third"])
        self.assertEqual(self.output('''
            k.exec { "echo", "first" }
            print "second"
            io.write "third\\n"
        '''), ["first", "second", "third"])

    def test_json_and_durations(self):
        self.assertEqual(self.output('''
            print(k.json.encode(k.json.decode('{"a":[]}')), k.duration "1h30m", k.format_duration(90000))
        '''), ['{"a":[]}\t5400000\t1m30s'])


if __name__ == "__main__":
    unittest.main()
