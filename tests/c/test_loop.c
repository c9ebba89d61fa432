/* Timers on the boot clock: order, cancelling, and that an idle loop sleeps. */
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"

#define COUNT 64

struct fixture {
	struct kon_loop *loop;
	struct kon_timer timers[COUNT];
	int fired[COUNT];
	int count;
	int stop_after;
};

static struct fixture f;

static void record(struct kon_timer *timer, void *data)
{
	(void)data;
	f.fired[f.count++] = (int)(timer - f.timers);
	if (f.count == f.stop_after)
		kon_loop_stop(f.loop);
}

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	for (int i = 0; i < COUNT; i++)
		f.timers[i].fire = record;
	return kon_loop_new(&f.loop, NULL);
}

static int teardown(void **state)
{
	(void)state;
	kon_loop_free(f.loop);
	return 0;
}

static void timers_fire_by_time_whatever_the_order_of_starting(void **state)
{
	(void)state;
	int64_t now_ms = kon_clock_boot_ms();
	for (int i = 0; i < COUNT; i++)
		kon_timer_start(f.loop, &f.timers[i], now_ms + 1 + (i * 37) % COUNT / 4);
	f.stop_after = COUNT;
	kon_loop_run(f.loop);
	for (int i = 1; i < COUNT; i++)
		assert_true(f.timers[f.fired[i - 1]].at_ms <= f.timers[f.fired[i]].at_ms);
}

static void timers_due_together_fire_in_start_order(void **state)
{
	(void)state;
	int64_t at_ms = kon_clock_boot_ms() + 3;
	for (int i = 0; i < COUNT; i++)
		kon_timer_start(f.loop, &f.timers[(i * 5) % COUNT], at_ms);
	f.stop_after = COUNT;
	kon_loop_run(f.loop);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(f.fired[i], (i * 5) % COUNT);
}

static void a_stopped_timer_never_fires(void **state)
{
	(void)state;
	int64_t now_ms = kon_clock_boot_ms();
	for (int i = 0; i < COUNT; i++)
		kon_timer_start(f.loop, &f.timers[i], now_ms + 2 + i % 5);
	for (int i = 0; i < COUNT; i += 2)
		kon_timer_stop(f.loop, &f.timers[i]);
	f.stop_after = COUNT / 2;
	kon_loop_run(f.loop);
	for (int i = 0; i < f.count; i++)
		assert_int_equal(f.fired[i] % 2, 1);
	assert_false(kon_timer_armed(&f.timers[0]));
}

static void a_timer_in_the_past_fires_on_the_next_turn_and_not_inside_start(void **state)
{
	(void)state;
	kon_timer_start(f.loop, &f.timers[0], 1);
	assert_int_equal(f.count, 0);
	f.stop_after = 1;
	kon_loop_run(f.loop);
	assert_int_equal(f.count, 1);
}

static void restart_in_the_past(struct kon_timer *timer, void *data)
{
	record(timer, data);
	kon_timer_start(f.loop, timer, 1);
}

static void a_timer_that_restarts_itself_in_the_past_does_not_hold_up_the_others(void **state)
{
	(void)state;
	f.timers[0].fire = restart_in_the_past;
	kon_timer_start(f.loop, &f.timers[0], 1);
	kon_timer_start(f.loop, &f.timers[1], 2);
	f.stop_after = 2;
	kon_loop_run(f.loop);
	assert_int_equal(f.fired[1], 1);
	kon_timer_stop(f.loop, &f.timers[0]);
}

static void a_wait_takes_two_turns_and_no_more(void **state)
{
	(void)state;
	kon_timer_start(f.loop, &f.timers[0], kon_clock_boot_ms() + 20);
	f.stop_after = 1;
	kon_loop_run(f.loop);
	assert_in_range(kon_loop_turns(f.loop), 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_by_time_whatever_the_order_of_starting, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_due_together_fire_in_start_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stopped_timer_never_fires, setup, teardown),
		cmocka_unit_test_setup_teardown(a_timer_in_the_past_fires_on_the_next_turn_and_not_inside_start, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(a_timer_that_restarts_itself_in_the_past_does_not_hold_up_the_others,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(a_wait_takes_two_turns_and_no_more, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
