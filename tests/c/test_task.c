/* Tasks and inboxes, driven by small Lua programs: each wait ends exactly once. */
#include "task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>

#include "vm.h"
#include "watchdog.h"

static struct kon_watchdog dog;

/* Runs program as the main task, with `core` as its argument; gives the exit code. */
static int run(const char *program)
{
	struct kon_loop *loop;
	struct kon_sched *sched;
	lua_State *L;
	assert_int_equal(kon_loop_new(&loop, NULL), 0);
	assert_int_equal(kon_vm_new(&L, NULL), 0);
	assert_int_equal(kon_sched_new(&sched, L, loop, &dog, NULL), 0);
	if (luaL_loadstring(L, program) != 0)
		fail_msg("%s", lua_tostring(L, -1));
	lua_getglobal(L, "require");
	lua_pushliteral(L, "konductor.core");
	lua_call(L, 1, 1);
	kon_sched_main(sched, L, 1);
	kon_loop_run(loop);
	int code = kon_sched_exit_code(sched);
	kon_vm_free(L);
	kon_sched_free(sched);
	kon_loop_free(loop);
	return code;
}

static void the_main_task_gives_the_exit_code(void **state)
{
	(void)state;
	assert_int_equal(run("return 42"), 42);
	assert_int_equal(run("return"), 0);
}

static void an_uncaught_error_ends_with_70(void **state)
{
	(void)state;
	assert_int_equal(run("error('on purpose')"), 70);
	assert_int_equal(run("error(setmetatable({}, {__tostring = function() return 'on purpose' end}))"), 70);
}

static void what_ends_the_process_first_decides_the_exit_code(void **state)
{
	(void)state;
	/* Both are ready in the same turn. */
	assert_int_equal(run("local core = ... local mine, other = core.inbox(), core.inbox()\n"
	                     "core.task(nil, function() other:wait() error('too late') end)\n"
	                     "core.task(nil, function() mine:post {} other:post {} end)\n"
	                     "mine:wait() return 17"),
	                 17);
	assert_int_equal(run("local core = ... local mine, other = core.inbox(), core.inbox()\n"
	                     "core.task(nil, function() other:wait() error('first') end)\n"
	                     "core.task(nil, function() other:post {} mine:post {} end)\n"
	                     "mine:wait() return 17"),
	                 70);
}

static void a_wait_ends_with_the_event_in_order(void **state)
{
	(void)state;
	assert_int_equal(
		run("local core = ... local inbox = core.inbox()\n"
	            "core.task(nil, function() for i = 1, 3 do inbox:post { type = 'n', n = i } end end)\n"
	            "local sum = 0 for i = 1, 3 do local e = inbox:wait() assert(e.n == i) sum = sum + e.n end\n"
	            "return sum"),
		6);
}

static void a_wait_ends_with_the_deadline_and_not_before(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local inbox = core.inbox() local at = core.now() + 15\n"
	                     "local event, why = inbox:wait(at)\n"
	                     "assert(event == nil and why == 'timeout' and core.now() >= at) return 7"),
	                 7);
}

static void a_deadline_in_the_past_does_not_yield(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local _, why = core.inbox():wait(1) return why == 'timeout' and 3 or 4"),
	                 3);
}

static void a_cancel_ends_the_wait_once(void **state)
{
	(void)state;
	assert_int_equal(
		run("local core = ... local done = core.inbox()\n"
	            "local task = core.task(done, function()\n"
	            "  local inbox = core.inbox()\n"
	            "  local _, first = inbox:wait()\n"
	            "  local _, second = inbox:wait(core.now() + 5)\n"
	            "  return first .. ' ' .. second end)\n"
	            "core.inbox():wait(core.now() + 5)\n"
	            "task:cancel()\n"
	            "local e = done:wait() assert(e.ok and e.value == 'cancelled timeout' and e.task == task)\n"
	            "return 5"),
		5);
}

static void a_cancel_before_the_wait_ends_the_next_one(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local done = core.inbox()\n"
	                     "local task = core.task(done, function() return select(2, core.inbox():wait()) end)\n"
	                     "task:cancel()\n"
	                     "return done:wait().value == 'cancelled' and 9 or 8"),
	                 9);
}

static void an_event_and_a_cancel_together_lose_neither(void **state)
{
	(void)state;
	assert_int_equal(
		run("local core = ... local done, inbox = core.inbox(), core.inbox()\n"
	            "local task = core.task(done, function()\n"
	            "  local event = inbox:wait() local _, why = inbox:wait() return event.type .. ' ' .. why end)\n"
	            "core.inbox():wait(core.now() + 2)\n"
	            "inbox:post { type = 'news' } task:cancel()\n"
	            "return done:wait().value == 'news cancelled' and 6 or 1"),
		6);
}

static void a_failed_task_tells_whoever_asked(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local done = core.inbox()\n"
	                     "core.task(done, function() error({ code = 11 }) end)\n"
	                     "local e = done:wait() return e.ok and 1 or e.value.code"),
	                 11);
}

static void a_failed_task_that_nobody_watches_ends_the_process(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... core.task(nil, function() error('on purpose') end)\n"
	                     "core.inbox():wait() return 1"),
	                 70);
}

static void waiting_works_inside_pcall(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local ok, _, why = pcall(function() return core.inbox():wait(core.now() "
	                     "+ 2) end)\n"
	                     "return ok and why == 'timeout' and 12 or 1"),
	                 12);
}

static void waiting_in_a_coroutine_of_the_scripts_own_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local inbox = core.inbox()\n"
	                     "local ok, text = coroutine.resume(coroutine.create(function() inbox:wait() end))\n"
	                     "return not ok and text:find('only possible in a task') and 13 or 1"),
	                 13);
}

static void two_tasks_cannot_wait_on_one_inbox(void **state)
{
	(void)state;
	assert_int_equal(
		run("local core = ... local done, inbox = core.inbox(), core.inbox()\n"
	            "core.task(nil, function() inbox:wait() end)\n"
	            "core.task(done, function() inbox:wait() end)\n"
	            "local e = done:wait() return not e.ok and e.value:find('waits on this inbox') and 14 or 1"),
		14);
}

static void closing_an_inbox_ends_its_wait_and_drops_later_events(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local done, inbox = core.inbox(), core.inbox()\n"
	                     "core.task(done, function() return select(2, inbox:wait()) end)\n"
	                     "core.inbox():wait(core.now() + 2)\n"
	                     "inbox:close() inbox:post { type = 'late' }\n"
	                     "return done:wait().value == 'cancelled' and 15 or 1"),
	                 15);
}

static void ten_thousand_tasks_leave_no_trace(void **state)
{
	(void)state;
	assert_int_equal(run("local core = ... local done = core.inbox()\n"
	                     "local function round(n) for i = 1, n do core.task(done, function() return i end) end\n"
	                     "  for i = 1, n do done:wait() end collectgarbage() collectgarbage() return "
	                     "collectgarbage('count') end\n"
	                     "round(3000) round(3000) local before = round(3000) local after = round(1000)\n"
	                     "return after < before + 64 and 16 or 1"),
	                 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_main_task_gives_the_exit_code),
		cmocka_unit_test(an_uncaught_error_ends_with_70),
		cmocka_unit_test(what_ends_the_process_first_decides_the_exit_code),
		cmocka_unit_test(a_wait_ends_with_the_event_in_order),
		cmocka_unit_test(a_wait_ends_with_the_deadline_and_not_before),
		cmocka_unit_test(a_deadline_in_the_past_does_not_yield),
		cmocka_unit_test(a_cancel_ends_the_wait_once),
		cmocka_unit_test(a_cancel_before_the_wait_ends_the_next_one),
		cmocka_unit_test(an_event_and_a_cancel_together_lose_neither),
		cmocka_unit_test(a_failed_task_tells_whoever_asked),
		cmocka_unit_test(a_failed_task_that_nobody_watches_ends_the_process),
		cmocka_unit_test(waiting_works_inside_pcall),
		cmocka_unit_test(waiting_in_a_coroutine_of_the_scripts_own_is_refused),
		cmocka_unit_test(two_tasks_cannot_wait_on_one_inbox),
		cmocka_unit_test(closing_an_inbox_ends_its_wait_and_drops_later_events),
		cmocka_unit_test(ten_thousand_tasks_leave_no_trace),
	};
	struct kon_err err;
	if (kon_watchdog_init(&dog, 120000, &err) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
