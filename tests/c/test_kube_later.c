/* The newest of the lines that can wait, given later or when it is asked for. */
#include "kube_later.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"

#define NEVER_MS 3600000

struct fixture {
	struct kon_loop *loop;
	struct kon_kube_later later;
	char given[100];
	int64_t came_at_ms;
	bool ends; /* within give */
};

static void give(void *data, const char *text, size_t size, int64_t came_at_ms)
{
	struct fixture *f = data;
	size_t used = strlen(f->given);
	snprintf(f->given + used, sizeof(f->given) - used, "%.*s|", (int)size, text);
	f->came_at_ms = came_at_ms;
	if (f->ends)
		kon_kube_later_done(&f->later);
	kon_loop_stop(f->loop);
}

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){0};
	*state = &f;
	return kon_loop_new(&f.loop, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	kon_kube_later_done(&f->later);
	kon_loop_free(f->loop);
	return 0;
}

static void only_the_newest_is_given_with_the_time_at_which_it_came(void **state)
{
	struct fixture *f = *state;
	kon_kube_later_init(&f->later, f->loop, NEVER_MS, give, f);
	kon_kube_later_put(&f->later, "one", 3);
	int64_t before_ms = kon_clock_boot_ms();
	kon_kube_later_put(&f->later, "two", 3);
	assert_true(kon_kube_later_now(&f->later));
	assert_string_equal(f->given, "two|");
	assert_true(f->came_at_ms >= before_ms && f->came_at_ms <= kon_clock_boot_ms());
	assert_false(kon_kube_later_now(&f->later));
	assert_false(kon_timer_armed(&f->later.timer));
}

static void a_line_is_given_when_its_time_has_come_and_newer_ones_do_not_move_that(void **state)
{
	struct fixture *f = *state;
	kon_kube_later_init(&f->later, f->loop, 20, give, f);
	kon_kube_later_put(&f->later, "one", 3);
	int64_t at_ms = f->later.timer.at_ms;
	kon_kube_later_put(&f->later, "two", 3);
	assert_int_equal(f->later.timer.at_ms, at_ms);
	f->ends = true;
	kon_loop_run(f->loop);
	assert_string_equal(f->given, "two|");
}

static void times_differ_and_keep_within_a_tenth_and_the_whole(void **state)
{
	struct fixture *f = *state;
	int64_t least = INT64_MAX, most = 0;
	kon_kube_later_init(&f->later, f->loop, NEVER_MS, give, f);
	for (int i = 0; i < 50; i++) {
		kon_kube_later_put(&f->later, "", 0);
		int64_t ms = f->later.timer.at_ms - f->later.came_at_ms;
		assert_true(ms >= NEVER_MS / 10 && ms <= NEVER_MS);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
		kon_kube_later_drop(&f->later);
	}
	assert_true(least < most);
	assert_false(kon_kube_later_now(&f->later));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_the_newest_is_given_with_the_time_at_which_it_came, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(a_line_is_given_when_its_time_has_come_and_newer_ones_do_not_move_that,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(times_differ_and_keep_within_a_tenth_and_the_whole, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
