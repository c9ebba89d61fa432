/* The guard: what ends a tree of processes, and that nothing of it is left when it says so. */
#include "child.h"
#include "guard.h"
#include "guard_fixture.h"
#include "valgrind.h"

#include <sys/socket.h>

/* ---- the deadman ---- */

static void the_deadman_asks_first(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.01; done");
	expect_line(out, "up");
	arm_in(&run, 100, NEVER_MS);
	run_done(&run);
	expect_line(out, "asked");
	expect_end_of_file(out);
	assert_int_equal(WEXITSTATUS(run.status), 3);
	assert_int_equal(run.end, KON_PROC_DEADMAN);
	assert_int_equal(run.killed_us, 0);
}

/* True when the guard killed it; a guard that the machine kept waiting for a second is given up by konductor. */
static bool is_killed_by_the_guard_in_time(void)
{
	struct run run;
	int out = start_shell(&run, "trap '' TERM; " DAEMON "while :; do sleep 0.05; done");
	pid_t daemon = read_pid(out);
	int64_t kill_at_ms = arm_in(&run, 100, 300);
	run_done(&run);
	expect_end_of_file(out);
	assert_int_equal(kill(daemon, 0), -1);
	assert_true(kon_clock_boot_ms() >= kill_at_ms);
	assert_int_equal(WTERMSIG(run.status), SIGKILL);
	assert_int_equal(run.end, KON_PROC_DEADMAN);
	if (run.killed_us == 0)
		return false;
	assert_true(run.killed_us >= kill_at_ms * 1000);
	print_message("deadman: KILL sent %lld us after the deadline\n",
	              (long long)(run.killed_us - kill_at_ms * 1000));
	return true;
}

static void the_deadman_kills_what_does_not_listen(void **state)
{
	(void)state;
	int tries = 1;
	while (!is_killed_by_the_guard_in_time())
		assert_true(tries++ < TRIES);
}

static void a_deadline_given_with_the_command_holds(void **state)
{
	(void)state;
	struct run run;
	struct kon_err err;
	struct kon_proc_spec spec = spec_of((const char *[]){"sleep", "1000", NULL});
	int code = KON_LOST;
	for (int64_t ahead_ms = 300; code == KON_LOST && ahead_ms < NEVER_MS; ahead_ms *= 4) {
		spec.term_at_ms = spec.kill_at_ms = kon_clock_boot_ms() + ahead_ms;
		code = run_try(&run, &spec, &err);
		if (code != 0) {
			kon_loop_free(run.loop);
			continue;
		}
		run_done(&run);
		code = run.err.code; /* of a start that came too late for the guard */
	}
	assert_int_equal(code, 0);
	assert_true(kon_clock_boot_ms() >= spec.kill_at_ms);
	assert_true(WIFSIGNALED(run.status));
	assert_int_equal(WTERMSIG(run.status), SIGKILL);
	assert_int_equal(run.end, KON_PROC_DEADMAN);
}

static _Noreturn void be_a_guard(const struct kon_proc_spec *spec, int sock)
{
	sigset_t all, none;
	const char *shell_argv[8];
	char path[4096];
	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, NULL);
	kon_guard_run(&(struct kon_guard_plan){
		.spec = spec,
		.sock = sock,
		.home = getpgrp(),
		.mask = &none,
		.ignored = &none,
		.shell_argv = shell_argv,
		.path = path,
	});
}

/* Whoever forked it may have looked at the clock long before, if all were frozen in between. */
static void a_guard_that_comes_after_the_deadline_starts_nothing(void **state)
{
	(void)state;
	int out[2], sock[2];
	const char *argv[4];
	struct kon_guard_msg msg;
	open_pipe(out);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
	struct kon_proc_spec spec = shell_spec(argv, "echo ran", out[1]);
	spec.term_at_ms = spec.kill_at_ms = kon_clock_boot_ms();
	pid_t guard = fork();
	if (guard == 0)
		be_a_guard(&spec, sock[1]);
	close(out[1]);
	close(sock[1]);
	assert_int_equal(recv(sock[0], &msg, sizeof(msg), 0), sizeof(msg));
	assert_int_equal(msg.kind, KON_GUARD_FAILED);
	assert_int_equal(msg.step, KON_CHILD_LATE);
	assert_int_equal(recv(sock[0], &msg, sizeof(msg), 0), sizeof(msg));
	assert_int_equal(msg.kind, KON_GUARD_GONE);
	close(sock[0]);
	assert_int_equal(waitpid(guard, NULL, 0), guard);
	expect_end_of_file(out[0]);
}

static void the_deadman_can_be_moved(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, "echo up; sleep 1000");
	expect_line(out, "up");
	arm_in(&run, NEVER_MS, NEVER_MS);
	int64_t kill_at_ms = arm_in(&run, 100, 100);
	run_done(&run);
	assert_int_equal(run.end, KON_PROC_DEADMAN);
	assert_true(kon_clock_boot_ms() >= kill_at_ms);
	expect_end_of_file(out);
}

static void on_passed(struct kon_timer *timer, void *data)
{
	(void)timer;
	kon_loop_stop(data);
}

/* True when a command outlived a deadline that was disarmed ahead_ms before it. */
static bool is_disarmed(int64_t ahead_ms)
{
	struct run run;
	int in[2];
	struct kon_timer passed = {.fire = on_passed};
	struct kon_proc_spec spec = spec_of((const char *[]){"sh", "-c", "read word; exit 4", NULL});
	open_pipe(in);
	spec.fd[0] = in[0];
	run_start(&run, &spec);
	close(in[0]);
	passed.data = run.loop;
	int64_t kill_at_ms = arm_in(&run, ahead_ms, ahead_ms);
	kon_proc_arm(run.proc, 0, 0);
	run.until = is_exited;
	kon_loop_on_turn(run.loop, on_turn, &run);
	kon_timer_start(run.loop, &passed, kill_at_ms + 100);
	kon_loop_run(run.loop);
	kon_timer_stop(run.loop, &passed);
	close(in[1]);
	run_done(&run);
	assert_true(run.end == KON_PROC_OWN ? WEXITSTATUS(run.status) == 4 : run.end == KON_PROC_DEADMAN);
	return run.end == KON_PROC_OWN;
}

static void a_deadman_that_was_disarmed_does_not_strike(void **state)
{
	(void)state;
	/* The guard may hear of it too late if it does not run in between, but not by any length of time. */
	int64_t ahead_ms = 200;
	while (!is_disarmed(ahead_ms))
		assert_true((ahead_ms *= 4) < NEVER_MS);
}

static void a_deadline_moved_into_the_past_kills_at_once(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, "trap '' TERM; while :; do sleep 0.05; done");
	kon_proc_arm(run.proc, 1, 1);
	run_done(&run);
	assert_int_equal(WTERMSIG(run.status), SIGKILL);
	assert_int_equal(run.end, KON_PROC_DEADMAN);
	expect_end_of_file(out);
}

/* ---- stop ---- */

static void stop_asks_the_whole_tree_once(void **state)
{
	(void)state;
	struct run run;
	char text[256];
	/* In the group, in a session of its own, and stopped; each says what it got. */
	int out = start_shell(
		&run, "trap 'echo first' TERM\n"
		      "sh -c 'trap \"echo group; exit\" TERM; echo up; while :; do sleep 0.01; done' &\n"
		      "setsid sh -c 'trap \"echo session; exit\" TERM; echo up; while :; do sleep 0.01; done' &\n"
		      "sh -c 'trap \"echo frozen; exit\" TERM; echo up; kill -STOP $$; sleep 100' &\n"
		      "wait; wait; wait; wait; exit 6");
	for (int i = 0; i < 3; i++)
		expect_line(out, "up");
	kon_proc_stop(run.proc, NEVER_MS);
	kon_proc_stop(run.proc, NEVER_MS);
	run_done(&run);
	read_to_end(out, text, sizeof(text));
	close(out);
	for (const char **word = (const char *[]){"group\n", "session\n", "frozen\n", "first\n", NULL}; *word; word++) {
		const char *at = strstr(text, *word);
		if (at == NULL || strstr(at + 1, *word) != NULL)
			fail_msg("%s not exactly once in:\n%s", *word, text);
	}
	assert_int_equal(WEXITSTATUS(run.status), 6);
	assert_int_equal(run.end, KON_PROC_STOPPED);
	assert_int_equal(run.killed_us, 0);
}

static void stop_kills_after_the_grace_and_a_second_one_shortens_it(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, "trap '' TERM; " DAEMON "while :; do sleep 0.05; done");
	read_pid(out);
	kon_proc_stop(run.proc, NEVER_MS);
	kon_proc_stop(run.proc, 100);
	kon_proc_stop(run.proc, NEVER_MS);
	run_done(&run);
	expect_end_of_file(out);
	assert_int_equal(WTERMSIG(run.status), SIGKILL);
	assert_int_equal(run.end, KON_PROC_STOPPED);
}

static void stop_without_grace_kills_without_asking(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done");
	expect_line(out, "up");
	kon_proc_stop(run.proc, 0);
	run_done(&run);
	expect_end_of_file(out);
	assert_int_equal(run.end, KON_PROC_STOPPED);
}

static void spin(int64_t us)
{
	int64_t until_us = kon_clock_boot_us() + us;
	while (kon_clock_boot_us() < until_us)
		;
}

/* From before the guard runs until after exec: no moment may lose a stop, and each ends in the same way. */
static void a_stop_at_any_moment_of_the_start_stops_it(void **state)
{
	(void)state;
	if (in_valgrind())
		skip(); /* valgrind drops signals that are pending when the child executes its command */
	for (int64_t after_us = 0; after_us <= 4000; after_us += 100) {
		struct run run;
		struct kon_err err;
		struct kon_proc_spec spec = spec_of((const char *[]){"sleep", "1000", NULL});
		assert_int_equal(run_try(&run, &spec, &err), 0);
		spin(after_us);
		kon_proc_stop(run.proc, NEVER_MS);
		run_done(&run);
		assert_string_equal(run.order, "seg");
		assert_true(WIFSIGNALED(run.status));
		assert_int_equal(WTERMSIG(run.status), SIGTERM);
		assert_int_equal(run.end, KON_PROC_STOPPED);
		assert_int_equal(run.killed_us, 0);
	}
}

/* ---- the end of the tree ---- */

static void gone_waits_for_the_last_descendant_and_so_do_kept_descriptors(void **state)
{
	(void)state;
	struct run run;
	int alive[2], in[2], out[2];
	const char *argv[4];
	open_pipe(alive);
	open_pipe(in);
	open_pipe(out);
	/* The daemon lives until its input ends. */
	struct kon_proc_spec spec =
		shell_spec(argv, "exec 7<&0; (setsid sh -c 'echo up; read word <&7' &); exit 0", out[1]);
	spec.fd[0] = in[0];
	spec.keep_fd = &alive[1];
	spec.keep_count = 1;
	run_start(&run, &spec);
	close(alive[1]);
	close(in[0]);
	close(out[1]);
	expect_line(out[0], "up");
	run_until(&run, is_exited);
	struct pollfd watch = {.fd = alive[0], .events = POLLIN};
	assert_int_equal(poll(&watch, 1, 0), 0);
	assert_false(run.gone);
	close(in[1]);
	run_done(&run);
	expect_end_of_file(out[0]);
	expect_end_of_file(alive[0]);
}

static void a_process_that_keeps_forking_away_is_caught(void **state)
{
	(void)state;
	struct run run;
	/* Each generation forks the next in a new session and ends at once. */
	int out = start_shell(&run, "s='setsid sh -c \"$1\" x \"$1\" & exit 0'\n"
	                            "echo up; setsid sh -c \"$s\" x \"$s\" & wait; sleep 100");
	expect_line(out, "up");
	kon_proc_stop(run.proc, 0);
	run_done(&run);
	expect_end_of_file(out);
}

static void a_wide_and_deep_tree_ends(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, "grow() { [ $1 = 0 ] && { trap '' TERM; echo leaf; sleep 1000; }; n=$(($1 - 1));"
	                            " (grow $n) & (grow $n) & wait; }; grow 5");
	for (int leaf = 0; leaf < 32; leaf++)
		expect_line(out, "leaf");
	kon_proc_stop(run.proc, 100);
	run_done(&run);
	expect_end_of_file(out);
}

static void readers_of_the_output_see_its_end_though_the_guard_lives(void **state)
{
	(void)state;
	struct run run;
	/* The first process drops its output and lives on. */
	int out = start_shell(&run, "exec >/dev/null; sleep 1000");
	expect_end_of_file(out);
	assert_false(run.gone);
	kon_proc_stop(run.proc, 0);
	run_done(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_deadman_asks_first),
		cmocka_unit_test(the_deadman_kills_what_does_not_listen),
		cmocka_unit_test(a_deadline_given_with_the_command_holds),
		cmocka_unit_test(a_guard_that_comes_after_the_deadline_starts_nothing),
		cmocka_unit_test(the_deadman_can_be_moved),
		cmocka_unit_test(a_deadman_that_was_disarmed_does_not_strike),
		cmocka_unit_test(a_deadline_moved_into_the_past_kills_at_once),
		cmocka_unit_test(stop_asks_the_whole_tree_once),
		cmocka_unit_test(stop_kills_after_the_grace_and_a_second_one_shortens_it),
		cmocka_unit_test(stop_without_grace_kills_without_asking),
		cmocka_unit_test(a_stop_at_any_moment_of_the_start_stops_it),
		cmocka_unit_test(gone_waits_for_the_last_descendant_and_so_do_kept_descriptors),
		cmocka_unit_test(a_process_that_keeps_forking_away_is_caught),
		cmocka_unit_test(a_wide_and_deep_tree_ends),
		cmocka_unit_test(readers_of_the_output_see_its_end_though_the_guard_lives),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
