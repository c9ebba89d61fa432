/*
 * The floor under every hand-over on one machine: one process commits one row to SQLite and wakes N others, until the
 * last of them has read the row.  Nothing of konductor is in it.
 *
 *   floor_sqlite [PROCESSES [ROUNDS [datagram|pipe [PAUSE_MS]]]]     default 10 processes, 200 rounds, datagram, 0 ms
 *
 * With a pause between the rounds everybody sleeps before each, as those who wait for a lease or a stage do.
 *
 * Prints p50_ms, p99_ms and max_ms, and commit_p50_ms, the part of them that the write takes.
 */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 1000

struct waiter {
	pid_t pid;
	int bell;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void run_sql(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
		exit(1);
	}
}

static sqlite3 *open_database(const char *path)
{
	sqlite3 *db;
	if (sqlite3_open(path, &db) != SQLITE_OK)
		die(path);
	sqlite3_busy_timeout(db, 5000);
	run_sql(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
	return db;
}

/* Reads the row each time it is woken, and says when it was done. */
static void wait_and_read(const char *path, int bell, int answers)
{
	sqlite3 *db = open_database(path);
	sqlite3_stmt *stmt;
	char ring[64];
	int64_t done_us = 0;
	if (sqlite3_prepare_v2(db, "SELECT value FROM records WHERE name = 'a'", -1, &stmt, NULL) != SQLITE_OK)
		die("prepare");
	do {
		if (sqlite3_step(stmt) != SQLITE_ROW)
			die("step");
		sqlite3_reset(stmt);
		done_us = now_us();
		if (write(answers, &done_us, sizeof(done_us)) != (ssize_t)sizeof(done_us))
			break;
	} while (read(bell, ring, sizeof(ring)) > 0);
	_exit(0);
}

static struct waiter start_waiter(const char *path, bool datagram, int answers)
{
	int ends[2];
	if ((datagram ? socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC)) != 0)
		die("bell");
	struct waiter waiter = {.pid = fork(), .bell = ends[1]};
	if (waiter.pid < 0)
		die("fork");
	if (waiter.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[1]);
		wait_and_read(path, ends[0], answers);
	}
	close(ends[0]);
	return waiter;
}

/* When the last of count waiters was done. */
static int64_t hear_all(int answers, int count)
{
	int64_t last_us = 0;
	for (int i = 0; i < count; i++) {
		int64_t done_us;
		if (read(answers, &done_us, sizeof(done_us)) != (ssize_t)sizeof(done_us))
			die("a waiter ended");
		last_us = done_us > last_us ? done_us : last_us;
	}
	return last_us;
}

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;
	return (left > right) - (left < right);
}

static double at(const int64_t *sorted, int count, double share)
{
	int index = (int)(share * count);
	return (double)sorted[index < count ? index : count - 1] / 1000;
}

static void measure(sqlite3 *db, const struct waiter *waiters, int count, int answers, int rounds, long pause_ms)
{
	int64_t *total_us = calloc((size_t)rounds, sizeof(*total_us));
	int64_t *commit_us = calloc((size_t)rounds, sizeof(*commit_us));
	if (total_us == NULL || commit_us == NULL)
		die("memory");
	for (int round = 0; round < rounds; round++) {
		const struct timespec pause = {.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000};
		nanosleep(&pause, NULL);
		int64_t start_us = now_us();
		run_sql(db, "BEGIN IMMEDIATE; UPDATE records SET value = value + 1 WHERE name = 'a'; COMMIT");
		commit_us[round] = now_us() - start_us;
		for (int i = 0; i < count; i++)
			if (write(waiters[i].bell, "x", 1) != 1)
				die("ring");
		total_us[round] = hear_all(answers, count) - start_us;
	}
	qsort(total_us, (size_t)rounds, sizeof(*total_us), compare);
	qsort(commit_us, (size_t)rounds, sizeof(*commit_us), compare);
	printf("processes=%d rounds=%d p50_ms=%.3f p99_ms=%.3f max_ms=%.3f commit_p50_ms=%.3f\n", count, rounds,
	       at(total_us, rounds, 0.5), at(total_us, rounds, 0.99), at(total_us, rounds, 1),
	       at(commit_us, rounds, 0.5));
	free(total_us);
	free(commit_us);
}

static void remove_database(const char *dir, const char *path)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[300];
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	rmdir(dir);
}

static long argument(int argc, char **argv, int index, long fallback, long max)
{
	long value = index < argc ? strtol(argv[index], NULL, 10) : fallback;
	if (value < 1 || value > max) {
		fprintf(stderr, "usage: floor_sqlite [PROCESSES [ROUNDS [datagram|pipe [PAUSE_MS]]]]\n");
		exit(64);
	}
	return value;
}

int main(int argc, char **argv)
{
	static struct waiter waiters[MAX_PROCESSES];
	int count = (int)argument(argc, argv, 1, 10, MAX_PROCESSES);
	int rounds = (int)argument(argc, argv, 2, 200, 1000000);
	bool datagram = argc < 4 || strcmp(argv[3], "pipe") != 0;
	long pause_ms = argc > 4 ? argument(argc, argv, 4, 1, 1000) : 0;
	const char *tmp = getenv("TMPDIR");
	char dir[200];
	char path[220];
	int answers[2];

	snprintf(dir, sizeof(dir), "%s/konductor-floor-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		die(dir);
	snprintf(path, sizeof(path), "%s/floor.db", dir);
	sqlite3 *db = open_database(path);
	run_sql(db, "CREATE TABLE records (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
	            "INSERT INTO records VALUES ('a', 0)");
	sqlite3_close(db); /* not to be carried over a fork */
	if (pipe2(answers, O_CLOEXEC) != 0)
		die("pipe");
	for (int i = 0; i < count; i++)
		waiters[i] = start_waiter(path, datagram, answers[1]);
	close(answers[1]);
	hear_all(answers[0], count);
	db = open_database(path);
	measure(db, waiters, count, answers[0], rounds, pause_ms);
	for (int i = 0; i < count; i++) {
		kill(waiters[i].pid, SIGKILL);
		waitpid(waiters[i].pid, NULL, 0);
	}
	sqlite3_close(db);
	remove_database(dir, path);
	return 0;
}
