/* The terminal: lent to a foreground command, given back, and never taken from somebody else. */
#include "proc_fixture.h"

#include <sys/ioctl.h>
#include <termios.h>

/* 0 when the shell that runs it is in the foreground: the sixth field behind the name is the terminal's group. */
#define AM_I_IN_FRONT "read -r line < /proc/$$/stat; set -- ${line##*) }; test \"$6\" = $$"

static int run_in_front(const char *script)
{
	struct run run;
	const char *argv[] = {"sh", "-c", script, NULL};
	struct kon_proc_spec spec = spec_of(argv);
	spec.foreground = true;
	run_start(&run, &spec);
	run_done(&run);
	return run.status;
}

/*
 * Runs body in a process of its own that leads a session on a new terminal, with the terminal as its argument.
 * Assertions fail there as an exit code.
 */
static void on_a_terminal(void (*body)(int tty))
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setsid();
		int tty = open(ptsname(master), O_RDWR | O_CLOEXEC);
		if (tty < 0 || ioctl(tty, TIOCSCTTY, 0) != 0)
			_exit(100);
		body(tty);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(master);
	if (WIFSIGNALED(status))
		fail_msg("ended by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void expect(int code, bool holds)
{
	if (!holds)
		_exit(code);
}

static void lend_twice(int tty)
{
	expect(1, tcgetpgrp(tty) == getpgrp());
	for (int i = 0; i < 2; i++) {
		expect(2 + i, run_in_front(AM_I_IN_FRONT) == 0);
		expect(4 + i, tcgetpgrp(tty) == getpgrp());
	}
}

static void a_command_has_the_terminal_and_we_have_it_again_afterwards(void **state)
{
	(void)state;
	on_a_terminal(lend_twice);
}

static void fail_to_start(int tty)
{
	struct run run;
	struct kon_proc_spec spec = spec_of((const char *[]){"no-such-command", NULL});
	spec.foreground = true;
	run_start(&run, &spec);
	run_done(&run);
	expect(1, strcmp(run.order, "fg") == 0);
	expect(2, tcgetpgrp(tty) == getpgrp());
}

static void a_command_that_cannot_start_gives_it_back(void **state)
{
	(void)state;
	on_a_terminal(fail_to_start);
}

static void run_behind(int tty)
{
	int hold[2];
	open_pipe(hold);
	pid_t front = fork();
	if (front == 0) {
		char nothing;
		close(hold[1]);
		_exit(read(hold[0], &nothing, 1) == 0 ? 0 : 1);
	}
	setpgid(front, front);
	signal(SIGTTOU, SIG_IGN); /* we give away our own terminal, once */
	expect(1, tcsetpgrp(tty, front) == 0);
	expect(2, run_in_front(AM_I_IN_FRONT) != 0);
	expect(3, tcgetpgrp(tty) == front);
	close(hold[1]);
	expect(4, waitpid(front, NULL, 0) == front || errno == ECHILD);
}

static void from_the_background_nothing_is_taken(void **state)
{
	(void)state;
	on_a_terminal(run_behind);
}

static void stop_without_a_shell(int tty)
{
	(void)tty;
	/* We lead the session: nobody would continue us, so the stop key must not stop anybody for good. */
	expect(1, run_in_front("kill -TSTP $$; " AM_I_IN_FRONT) == 0);
}

static void a_stop_that_nobody_would_end_is_ended_at_once(void **state)
{
	(void)state;
	on_a_terminal(stop_without_a_shell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_has_the_terminal_and_we_have_it_again_afterwards),
		cmocka_unit_test(a_command_that_cannot_start_gives_it_back),
		cmocka_unit_test(from_the_background_nothing_is_taken),
		cmocka_unit_test(a_stop_that_nobody_would_end_is_ended_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
