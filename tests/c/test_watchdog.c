/* The watchdog: it ends what is stuck, and not what was merely stopped. */
#include "watchdog.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "valgrind.h"

#define LIMIT_MS 300
#define LONGEST_MS 60000

static struct kon_watchdog dog;

/* valgrind takes SIGSYS, which the watchdog uses, for the answer to a call of its own, and breaks on any other. */
static void not_in_valgrind(void)
{
	if (in_valgrind())
		skip();
}

static pid_t start(void (*turn)(void), int64_t limit_ms)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	struct kon_err err;
	if (kon_watchdog_init(&dog, limit_ms, &err) != 0)
		_exit(1);
	kon_watchdog_enter(&dog);
	turn();
	kon_watchdog_leave(&dog);
	_exit(0);
}

static int exit_code(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void hang(void)
{
	for (;;)
		pause();
}

static void stop_once(void)
{
	raise(SIGSTOP);
}

static void stop_then_hang(void)
{
	raise(SIGSTOP);
	hang();
}

/* Continues a stopped process once its turn has lasted for longer than the limit. */
static void continue_late(pid_t pid, int64_t limit_ms)
{
	int64_t until_ms = kon_clock_boot_ms() + 2 * limit_ms;
	while (kon_clock_boot_ms() < until_ms)
		;
	kill(pid, SIGCONT);
}

static void a_turn_that_does_not_end_ends_the_process(void **state)
{
	(void)state;
	not_in_valgrind();
	int64_t start_ms = kon_clock_boot_ms();
	assert_int_equal(exit_code(start(hang, LIMIT_MS)), 70);
	assert_true(kon_clock_boot_ms() - start_ms >= LIMIT_MS);
}

/* The exit code of a process that stops in its turn, once it was continued. */
static int code_after_stop(void (*turn)(void), int64_t limit_ms)
{
	int status;
	pid_t pid = start(turn, limit_ms);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (WIFEXITED(status)) /* it came to its stop too late */
		return WEXITSTATUS(status);
	assert_true(WIFSTOPPED(status));
	continue_late(pid, limit_ms);
	return exit_code(pid);
}

static void a_process_that_was_stopped_in_its_turn_may_end_it(void **state)
{
	(void)state;
	not_in_valgrind();
	/* A machine that does not run it may use up any limit, but not every one. */
	int64_t limit_ms = LIMIT_MS;
	int code;
	while ((code = code_after_stop(stop_once, limit_ms)) == 70 && limit_ms < LONGEST_MS)
		limit_ms *= 4;
	assert_int_equal(code, 0);
}

static void one_that_hangs_after_that_is_ended(void **state)
{
	(void)state;
	not_in_valgrind();
	assert_int_equal(code_after_stop(stop_then_hang, LIMIT_MS), 70);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_that_does_not_end_ends_the_process),
		cmocka_unit_test(a_process_that_was_stopped_in_its_turn_may_end_it),
		cmocka_unit_test(one_that_hangs_after_that_is_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
