/*
 * What tests of processes, files and the loop share.  Include after cmocka.h.
 *
 * Every helper fails the test when the machine refuses; nothing sleeps: a wait is for a state and has a deadline.
 */
#ifndef KON_TEST_WORLD_H
#define KON_TEST_WORLD_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "loop.h"

#define PATIENCE_MS 120000 /* to tell a hang from a slow machine */

/* ---- a directory of the test's own ---- */

static inline char *temp_dir(void)
{
	char *path = strdup("/tmp/konductor-test-XXXXXX");
	assert_non_null(path);
	assert_non_null(mkdtemp(path));
	return path;
}

static inline int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void remove_dir(char *path)
{
	assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT), 0);
	free(path);
}

/* DIR/name, in static storage for the length of a statement. */
static inline const char *in(const char *dir, const char *name)
{
	static char paths[8][4096];
	static int next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static inline int entries(const char *path)
{
	int count = 0;
	DIR *dir = opendir(path);
	if (dir == NULL)
		return -1;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

/* ---- the loop ---- */

struct limit {
	struct kon_timer timer;
	struct kon_loop *loop;
	bool passed;
};

static inline void on_limit(struct kon_timer *timer, void *data)
{
	(void)timer;
	struct limit *limit = data;
	limit->passed = true;
	kon_loop_stop(limit->loop);
}

/* Runs the loop until something stops it; false when nothing did for limit_ms. */
static inline bool run_loop(struct kon_loop *loop, int64_t limit_ms)
{
	struct limit limit = {.loop = loop, .timer = {.fire = on_limit, .data = &limit}};
	kon_timer_start(loop, &limit.timer, kon_clock_boot_ms() + limit_ms);
	kon_loop_run(loop);
	kon_timer_stop(loop, &limit.timer);
	return !limit.passed;
}

/* ---- other processes ---- */

struct other {
	pid_t pid;
	int says; /* we read what it says */
	int asks; /* it reads what we tell */
};

/* Forks; in the child runs body(data, say, hear) and exits with what it returns.  It dies with this process. */
static inline struct other start_other(int (*body)(void *data, int say, int hear), void *data)
{
	int says[2];
	int asks[2];
	assert_int_equal(pipe2(says, O_CLOEXEC), 0);
	assert_int_equal(pipe2(asks, O_CLOEXEC), 0);
	pid_t parent = getpid();
	struct other other = {.pid = fork(), .says = says[0], .asks = asks[1]};
	assert_true(other.pid >= 0);
	if (other.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(says[0]);
		close(asks[1]);
		_exit(getppid() == parent ? body(data, says[1], asks[0]) : 1);
	}
	close(says[1]);
	close(asks[0]);
	return other;
}

static inline void say(int fd)
{
	if (write(fd, "x", 1) != 1)
		_exit(99);
}

/* Waits for one word of the other side; false when it ended instead. */
static inline bool hear(int fd)
{
	char word;
	return read(fd, &word, 1) == 1;
}

/* The exit code, or 128 + signal. */
static inline int end_other(struct other *other)
{
	int status;
	close(other->asks);
	assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
	close(other->says);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void kill_other(struct other *other)
{
	assert_int_equal(kill(other->pid, SIGKILL), 0);
	assert_int_equal(end_other(other), 128 + SIGKILL);
}

#endif
