/*
 * One supervised command in a test: starts it, runs the loop until a state is reached or a deadline has passed,
 * and keeps what was reported, in order.  Each test program includes it once.
 */
#ifndef PROC_FIXTURE_H
#define PROC_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "loop.h"
#include "proc.h"

#define UNUSED __attribute__((unused))
#define DEADLINE_MS 120000 /* to tell a hang from a slow machine */

struct run {
	struct kon_loop *loop;
	struct kon_proc *proc;
	struct kon_timer deadline;
	bool (*until)(const struct run *run);
	bool late;
	char order[64]; /* one letter an event: s f t e g */
	pid_t pid;
	struct kon_err err;
	int stop_signal;
	int status;
	enum kon_proc_end end;
	int64_t killed_us;
	bool gone;
	bool sure;
};

static void note(struct run *run, char letter)
{
	size_t length = strlen(run->order);
	if (length + 1 < sizeof(run->order))
		run->order[length] = letter;
}

static void on_started(void *data, pid_t pid)
{
	struct run *run = data;
	note(run, 's');
	run->pid = pid;
}

static void on_failed(void *data, const struct kon_err *err)
{
	struct run *run = data;
	note(run, 'f');
	run->err = *err;
}

static void on_stopped(void *data, int signal)
{
	struct run *run = data;
	note(run, 't');
	run->stop_signal = signal;
}

static void on_exited(void *data, int status, enum kon_proc_end end)
{
	struct run *run = data;
	note(run, 'e');
	run->status = status;
	run->end = end;
}

static void on_gone(void *data, bool sure)
{
	struct run *run = data;
	note(run, 'g');
	run->gone = true;
	run->sure = sure;
	run->killed_us = kon_proc_killed_us(run->proc);
}

static const struct kon_proc_events run_events = {on_started, on_failed, on_stopped, on_exited, on_gone};

static void on_late(struct kon_timer *timer, void *data)
{
	(void)timer;
	struct run *run = data;
	run->late = true;
	kon_loop_stop(run->loop);
}

static void on_turn(void *data)
{
	struct run *run = data;
	if (run->until(run))
		kon_loop_stop(run->loop);
}

static bool is_started(const struct run *run)
{
	return run->order[0] != '\0';
}

static bool is_gone(const struct run *run)
{
	return run->gone;
}

UNUSED static bool is_exited(const struct run *run)
{
	return strchr(run->order, 'e') != NULL;
}

UNUSED static bool is_stopped(const struct run *run)
{
	return strchr(run->order, 't') != NULL;
}

static void run_until(struct run *run, bool (*until)(const struct run *run))
{
	if (until(run))
		return;
	run->until = until;
	run->deadline.fire = on_late;
	run->deadline.data = run;
	kon_loop_on_turn(run->loop, on_turn, run);
	kon_timer_start(run->loop, &run->deadline, kon_clock_boot_ms() + DEADLINE_MS);
	kon_loop_run(run->loop);
	kon_timer_stop(run->loop, &run->deadline);
	assert_false(run->late);
}

/* A specification of argv with this process's environment, nothing else set. */
static struct kon_proc_spec spec_of(const char *const *argv)
{
	extern char **environ;
	return (struct kon_proc_spec){.argv = argv, .envp = (const char *const *)environ, .fd = {-1, -1, -1}};
}

static int run_try(struct run *run, const struct kon_proc_spec *spec, struct kon_err *err)
{
	memset(run, 0, sizeof(*run));
	assert_int_equal(kon_loop_new(&run->loop, NULL), 0);
	return kon_proc_start(run->loop, spec, &run_events, run, &run->proc, err);
}

static void run_start(struct run *run, const struct kon_proc_spec *spec)
{
	struct kon_err err = {0};
	int code = run_try(run, spec, &err);
	if (code != 0)
		fail_msg("kon_proc_start: %s", err.detail);
	run_until(run, is_started);
}

static void run_done(struct run *run)
{
	run_until(run, is_gone);
	kon_proc_free(run->proc);
	kon_loop_free(run->loop);
}

/* Runs `sh -c script` to its end. */
UNUSED static void run_shell(struct run *run, const char *script)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct kon_proc_spec spec = spec_of(argv);
	run_start(run, &spec);
	run_done(run);
}

/* ---- pipes: end of file says that nobody of a tree is left ---- */

static void wait_readable(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int ready;
	do
		ready = poll(&wait, 1, DEADLINE_MS);
	while (ready < 0 && errno == EINTR);
	assert_int_equal(ready, 1);
}

UNUSED static void open_pipe(int fd[2])
{
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
}

/* One line without its newline; "" at end of file. */
UNUSED static const char *read_line(int fd, char *line, size_t size)
{
	size_t length = 0;
	while (length + 1 < size) {
		wait_readable(fd);
		if (read(fd, line + length, 1) != 1 || line[length] == '\n')
			break;
		length++;
	}
	line[length] = '\0';
	return line;
}

UNUSED static pid_t read_pid(int fd)
{
	char line[32];
	long pid = strtol(read_line(fd, line, sizeof(line)), NULL, 10);
	assert_true(pid > 1);
	return (pid_t)pid;
}

UNUSED static void read_to_end(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t got;
	do {
		wait_readable(fd);
		got = read(fd, text + length, size - 1 - length);
		length += got > 0 ? (size_t)got : 0;
	} while (got > 0 && length + 1 < size);
	text[length] = '\0';
}

UNUSED static void expect_end_of_file(int fd)
{
	char rest[8];
	read_to_end(fd, rest, sizeof(rest));
	assert_string_equal(rest, "");
	close(fd);
}

/* Waits for a process that is no child of ours to end. */
UNUSED static void expect_dead(pid_t pid)
{
	int64_t limit_ms = kon_clock_boot_ms() + DEADLINE_MS;
	while (kill(pid, 0) == 0) {
		assert_true(kon_clock_boot_ms() < limit_ms);
		poll(NULL, 0, 1);
	}
	assert_int_equal(errno, ESRCH);
}

#endif
