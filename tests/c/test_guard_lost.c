/* The ends of konductor and of the guard itself: whoever is left ends the tree. */
#include "guard_fixture.h"
#include "reaper.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

/* ---- konductor's own end ---- */

static void forever(struct kon_timer *timer, void *data)
{
	(void)timer;
	(void)data;
	_exit(9);
}

/*
 * A process that plays konductor: starts script and turns its loop; or, if it gets something to hear, waits for the
 * end of that, sets the deadman and stops.  Returns its pid.
 */
static pid_t play_konductor(const char *script, int out_fd, int keep_fd, const int hear[2])
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	static struct run run;
	static struct kon_timer limit = {.fire = forever};
	const char *argv[4];
	struct kon_proc_spec spec = shell_spec(argv, script, out_fd);
	spec.keep_fd = &keep_fd;
	spec.keep_count = 1;
	setpgid(0, 0);
	if (run_try(&run, &spec, &run.err) != 0)
		_exit(8);
	close(out_fd);
	close(keep_fd);
	if (hear != NULL) {
		char nothing;
		close(hear[1]);
		(void)!read(hear[0], &nothing, 1);
		arm_in(&run, 200, 200);
		raise(SIGSTOP);
	}
	kon_timer_start(run.loop, &limit, kon_clock_boot_ms() + 3 * DEADLINE_MS);
	kon_loop_run(run.loop);
	_exit(7);
}

struct played {
	pid_t konductor;
	pid_t daemon;
	int out;
	int alive;
};

static void play(struct played *played, const int hear[2])
{
	int out[2], alive[2];
	open_pipe(out);
	open_pipe(alive);
	played->konductor = play_konductor(DAEMON "sh -c 'sleep 1000; :' & wait; sleep 1000", out[1], alive[1], hear);
	close(out[1]);
	close(alive[1]);
	played->out = out[0];
	played->alive = alive[0];
	played->daemon = read_pid(played->out);
}

static void expect_all_dead(struct played *played, const char *what)
{
	int64_t start_us = kon_clock_boot_us();
	expect_end_of_file(played->alive);
	print_message("%s: tree gone %lld us later\n", what, (long long)(kon_clock_boot_us() - start_us));
	expect_end_of_file(played->out);
	assert_int_equal(kill(played->daemon, 0), -1);
}

static void the_tree_dies_with_konductor(void **state)
{
	(void)state;
	struct played played;
	play(&played, NULL);
	kill(played.konductor, SIGKILL);
	expect_all_dead(&played, "konductor killed");
	assert_int_equal(waitpid(played.konductor, NULL, 0), played.konductor);
}

static void the_tree_dies_when_konductors_whole_group_is_killed(void **state)
{
	(void)state;
	struct played played;
	play(&played, NULL);
	kill(-played.konductor, SIGKILL);
	expect_all_dead(&played, "group killed");
	assert_int_equal(waitpid(played.konductor, NULL, 0), played.konductor);
}

static void the_deadman_fires_though_konductor_is_stopped(void **state)
{
	(void)state;
	struct played played;
	int hear[2];
	int status;
	open_pipe(hear);
	play(&played, hear);
	close(hear[0]);
	close(hear[1]);
	assert_int_equal(waitpid(played.konductor, &status, WUNTRACED), played.konductor);
	assert_true(WIFSTOPPED(status));
	expect_all_dead(&played, "deadman of a stopped konductor");
	kill(played.konductor, SIGKILL);
	assert_int_equal(waitpid(played.konductor, NULL, 0), played.konductor);
}

/* ---- the guard's own end ---- */

static pid_t guard_of(pid_t child)
{
	char path[64], line[256];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t got = read(fd, line, sizeof(line) - 1);
	close(fd);
	assert_true(got > 0);
	line[got] = '\0';
	return (pid_t)strtol(strrchr(line, ')') + 4, NULL, 10);
}

static void when_the_guard_is_killed_the_tree_is_ended_from_here(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, "trap '' TERM; " DAEMON "while :; do sleep 0.05; done");
	pid_t daemon = read_pid(out);
	kill(guard_of(run.pid), SIGKILL);
	run_done(&run);
	assert_string_equal(run.order, "seg");
	assert_int_equal(WTERMSIG(run.status), SIGKILL);
	assert_true(run.sure);
	assert_int_equal(kill(daemon, 0), -1);
	expect_end_of_file(out);
}

static void the_loss_of_one_guard_leaves_the_others_tree_alone(void **state)
{
	(void)state;
	struct run lost, other;
	int out = start_shell(&lost, DAEMON "sleep 1000");
	pid_t daemon = read_pid(out);
	int in[2];
	struct kon_err err;
	struct kon_proc_spec spec =
		spec_of((const char *[]){"sh", "-c", "(setsid sh -c 'exit 0' &); read word; exit 8", NULL});
	open_pipe(in);
	spec.fd[0] = in[0];
	memset(&other, 0, sizeof(other));
	other.loop = lost.loop;
	assert_int_equal(kon_proc_start(other.loop, &spec, &run_events, &other, &other.proc, &err), 0);
	close(in[0]);
	run_until(&other, is_started);
	kill(guard_of(lost.pid), SIGKILL);
	run_until(&lost, is_gone);
	assert_true(lost.sure);
	assert_int_equal(kill(daemon, 0), -1);
	expect_end_of_file(out);
	assert_false(other.gone);
	close(in[1]);
	run_until(&other, is_gone);
	assert_int_equal(WEXITSTATUS(other.status), 8);
	kon_proc_free(lost.proc);
	run_done(&other);
}

/* True when the guard itself ended its tree; false when it was continued but not scheduled in time, and given up. */
static bool is_continued_when_overdue(void)
{
	struct run run;
	int out = start_shell(&run, "trap '' TERM; echo up; while :; do sleep 0.05; done");
	expect_line(out, "up");
	kill(guard_of(run.pid), SIGSTOP);
	arm_in(&run, 100, 100);
	run_done(&run);
	assert_string_equal(run.order, "seg");
	assert_int_equal(WTERMSIG(run.status), SIGKILL);
	assert_int_equal(run.end, KON_PROC_DEADMAN);
	assert_true(run.sure);
	expect_end_of_file(out);
	return run.killed_us != 0;
}

static void a_stopped_guard_is_continued_when_it_is_overdue(void **state)
{
	(void)state;
	int tries = 1;
	while (!is_continued_when_overdue())
		assert_true(tries++ < TRIES);
}

/* One that is traced does not go on when it is continued. */
static void a_guard_that_does_not_answer_is_killed_and_the_end_is_told_as_what_it_was(void **state)
{
	(void)state;
	for (int stop = 0; stop < 2; stop++) {
		struct run run;
		int out = start_shell(&run, "trap '' TERM; echo up; while :; do sleep 0.05; done");
		expect_line(out, "up");
		pid_t guard = guard_of(run.pid);
		if (ptrace(PTRACE_SEIZE, guard, NULL, NULL) != 0 || ptrace(PTRACE_INTERRUPT, guard, NULL, NULL) != 0)
			fail_msg("ptrace: %s", strerror(errno));
		assert_int_equal(waitpid(guard, NULL, __WALL), guard);
		if (stop)
			kon_proc_stop(run.proc, 0);
		else
			arm_in(&run, 100, 100);
		run_done(&run);
		assert_string_equal(run.order, "seg");
		assert_int_equal(WTERMSIG(run.status), SIGKILL);
		assert_int_equal(run.end, stop ? KON_PROC_STOPPED : KON_PROC_DEADMAN);
		assert_int_equal(run.killed_us, 0);
		assert_true(run.sure);
		expect_end_of_file(out);
	}
}

static void a_stopped_guard_does_not_hide_the_end_of_its_command(void **state)
{
	(void)state;
	struct run run;
	int in[2];
	struct kon_proc_spec spec = spec_of((const char *[]){"sh", "-c", "read word; exit 6", NULL});
	open_pipe(in);
	spec.fd[0] = in[0];
	run_start(&run, &spec);
	close(in[0]);
	kill(guard_of(run.pid), SIGSTOP);
	close(in[1]);
	run_done(&run);
	assert_int_equal(WEXITSTATUS(run.status), 6);
}

/* Our end of the socket to the only guard there is. */
static int guard_socket(void)
{
	for (int fd = 3; fd < 256; fd++) {
		int type = 0;
		socklen_t size = sizeof(type);
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
			return fd;
	}
	return -1;
}

/* konductor may end between two looks of the guard: then the guard learns of it by a word that it cannot send. */
static void a_guard_that_cannot_speak_to_konductor_ends_the_tree(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, DAEMON "sleep 1000");
	pid_t daemon = read_pid(out);
	assert_int_equal(shutdown(guard_socket(), SHUT_RD), 0); /* seen by who writes, not by who polls */
	kill(run.pid, SIGKILL);
	expect_end_of_file(out);
	expect_dead(daemon);
	run_done(&run);
}

static void letting_go_of_a_command_ends_its_tree(void **state)
{
	(void)state;
	struct run run;
	int out = start_shell(&run, DAEMON "sleep 1000");
	pid_t daemon = read_pid(out);
	kon_proc_free(run.proc);
	expect_end_of_file(out);
	expect_dead(daemon);
	kon_loop_free(run.loop);
}

struct lost {
	struct kon_ward ward;
	struct kon_loop *loop;
	bool sure;
};

static void on_lost_ended(struct kon_ward *ward, bool sure)
{
	struct lost *lost = (struct lost *)ward;
	lost->sure = sure;
	kon_loop_stop(lost->loop);
}

static void what_has_the_number_of_a_reaped_guard_is_killed_with_the_rest(void **state)
{
	(void)state;
	struct lost lost = {.ward = {.guard_reaped = true, .ended = on_lost_ended}};
	assert_int_equal(kon_loop_new(&lost.loop, NULL), 0);
	pid_t orphan = fork();
	if (orphan == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	lost.ward.guard = orphan;
	kon_reaper_add(lost.loop, &lost.ward);
	kon_reaper_lose(&lost.ward);
	assert_false(lost.sure); /* the first round only kills */
	kon_loop_run(lost.loop);
	assert_true(lost.sure);
	assert_int_equal(kill(orphan, 0), -1);
	kon_loop_free(lost.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_dies_with_konductor),
		cmocka_unit_test(the_tree_dies_when_konductors_whole_group_is_killed),
		cmocka_unit_test(the_deadman_fires_though_konductor_is_stopped),
		cmocka_unit_test(when_the_guard_is_killed_the_tree_is_ended_from_here),
		cmocka_unit_test(the_loss_of_one_guard_leaves_the_others_tree_alone),
		cmocka_unit_test(a_stopped_guard_is_continued_when_it_is_overdue),
		cmocka_unit_test(a_guard_that_does_not_answer_is_killed_and_the_end_is_told_as_what_it_was),
		cmocka_unit_test(a_stopped_guard_does_not_hide_the_end_of_its_command),
		cmocka_unit_test(a_guard_that_cannot_speak_to_konductor_ends_the_tree),
		cmocka_unit_test(what_has_the_number_of_a_reaped_guard_is_killed_with_the_rest),
		cmocka_unit_test(letting_go_of_a_command_ends_its_tree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
