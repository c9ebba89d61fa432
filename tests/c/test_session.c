/* Liveness by a pipe that the kernel closes: who is told, when, and who never is. */
#include "session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>

#include <cmocka.h>

#include "world.h"

#define ID "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

struct fixture {
	struct kon_loop *loop;
	char *dir;
	int told;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->dir = temp_dir();
	assert_int_equal(kon_loop_new(&f->loop, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	kon_loop_free(f->loop);
	remove_dir(f->dir);
	free(f);
	return 0;
}

static void on_gone(void *data)
{
	struct fixture *f = data;
	f->told++;
	kon_loop_stop(f->loop);
}

static struct kon_peer *watch(struct fixture *f, const char *session)
{
	struct kon_peer *peer = NULL;
	assert_int_equal(kon_peer_watch(f->loop, f->dir, session, on_gone, f, &peer, NULL), 0);
	return peer;
}

/* Opens the session, says so, and lives until it is told or killed. */
static int hold(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct kon_session *session;
	if (kon_session_open(&session, f->dir, ID, NULL) != 0)
		return 1;
	say(say_fd);
	hear(hear_fd);
	kon_session_close(session, false);
	return 0;
}

/* As hold, but a child of it keeps the descriptor, as a guard does, and says so; it lives as long as we listen. */
static int hold_with_guard(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct kon_session *session;
	if (kon_session_open(&session, f->dir, ID, NULL) != 0)
		return 1;
	if (fork() == 0) {
		hear(hear_fd); /* the end of what the test says ends it */
		_exit(0);
	}
	say(say_fd);
	pause();
	return 0;
}

static void a_killed_process_is_told_of_at_once(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(hold, f);
	assert_true(hear(other.says));
	struct kon_peer *peer = watch(f, ID);
	assert_false(run_loop(f->loop, 20));
	assert_int_equal(f->told, 0);
	kill_other(&other);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->told, 1);
	assert_false(run_loop(f->loop, 20));
	assert_int_equal(f->told, 1);
	kon_peer_free(peer);
}

static void a_session_is_alive_as_long_as_a_guard_of_it_lives(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(hold_with_guard, f);
	assert_true(hear(other.says));
	struct kon_peer *peer = watch(f, ID);
	int status;
	assert_int_equal(kill(other.pid, SIGKILL), 0);
	assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
	assert_false(run_loop(f->loop, 50));
	struct kon_peer *late = watch(f, ID);
	assert_false(run_loop(f->loop, 20));
	assert_int_equal(f->told, 0);
	close(other.asks);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	while (f->told < 2)
		assert_true(run_loop(f->loop, PATIENCE_MS));
	close(other.says);
	kon_peer_free(peer);
	kon_peer_free(late);
}

static void a_session_dead_before_the_watch_is_told_of_from_the_loop(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(hold, f);
	assert_true(hear(other.says));
	kill_other(&other);
	struct kon_peer *peer = watch(f, ID);
	assert_int_equal(f->told, 0);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->told, 1);
	kon_peer_free(peer);
}

static void a_watch_that_was_freed_says_nothing(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(hold, f);
	assert_true(hear(other.says));
	kon_peer_free(watch(f, ID));
	struct kon_peer *stays = watch(f, ID);
	kill_other(&other);
	kon_peer_free(watch(f, ID));
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_false(run_loop(f->loop, 20));
	assert_int_equal(f->told, 1);
	kon_peer_free(stays);
}

static void a_missing_pipe_says_nothing(void **state)
{
	struct fixture *f = *state;
	static const char *const unknown[] = {OTHER, "", "..", "../" ID};
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		struct kon_peer *peer = watch(f, unknown[i]);
		assert_false(run_loop(f->loop, 10));
		kon_peer_free(peer);
	}
	assert_int_equal(f->told, 0);
}

static void a_file_that_is_no_pipe_says_nothing(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(close(creat(in(f->dir, ID), 0600)), 0);
	struct kon_peer *peer = watch(f, ID);
	assert_false(run_loop(f->loop, 10));
	assert_int_equal(f->told, 0);
	kon_peer_free(peer);
}

static void whoever_writes_into_the_pipe_kills_nobody(void **state)
{
	struct fixture *f = *state;
	struct kon_session *session;
	assert_int_equal(kon_session_open(&session, f->dir, ID, NULL), 0);
	struct kon_peer *peer = watch(f, ID);
	assert_int_equal(write(kon_session_fd(session), "junk", 4), 4);
	assert_false(run_loop(f->loop, 20));
	assert_int_equal(f->told, 0);
	kon_session_close(session, false);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	kon_peer_free(peer);
}

static void only_a_clean_end_takes_the_name_away(void **state)
{
	struct fixture *f = *state;
	struct kon_session *session;
	assert_int_equal(kon_session_open(&session, f->dir, ID, NULL), 0);
	kon_session_close(session, true);
	assert_int_equal(entries(f->dir), 0);
	assert_int_equal(kon_session_open(&session, f->dir, ID, NULL), 0);
	kon_session_close(session, false);
	assert_int_equal(entries(f->dir), 1);
}

static void the_old_dead_are_swept_and_the_young_and_the_living_stay(void **state)
{
	struct fixture *f = *state;
	static const char old_living[] = "11111111111111111111111111111111";
	static const struct timeval long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	struct kon_session *session;
	struct kon_session *living;
	assert_int_equal(mkfifo(in(f->dir, ID), 0600), 0);
	assert_int_equal(mkfifo(in(f->dir, OTHER), 0600), 0);
	assert_int_equal(utimes(in(f->dir, OTHER), long_ago), 0);
	assert_int_equal(kon_session_open(&living, f->dir, old_living, NULL), 0);
	assert_int_equal(utimes(in(f->dir, old_living), long_ago), 0);
	assert_int_equal(kon_session_open(&session, f->dir, "22222222222222222222222222222222", NULL), 0);
	assert_int_equal(access(in(f->dir, ID), F_OK), 0);
	assert_int_equal(access(in(f->dir, OTHER), F_OK), -1);
	assert_int_equal(access(in(f->dir, old_living), F_OK), 0);
	kon_session_close(session, true);
	kon_session_close(living, true);
}

static void a_name_that_is_no_session_or_taken_is_refused(void **state)
{
	struct fixture *f = *state;
	struct kon_session *session;
	struct kon_session *second;
	assert_int_equal(kon_session_open(&session, f->dir, "../" ID, NULL), KON_USAGE);
	assert_int_equal(kon_session_open(&session, f->dir, ID "0", NULL), KON_USAGE);
	assert_int_equal(kon_session_open(&session, in(f->dir, "missing"), ID, NULL), KON_STORE);
	assert_int_equal(kon_session_open(&session, f->dir, ID, NULL), 0);
	assert_int_equal(kon_session_open(&second, f->dir, ID, NULL), KON_STORE);
	assert_int_equal(entries(f->dir), 1);
	kon_session_close(session, true);
}

static void a_long_directory_is_as_good_as_a_short_one(void **state)
{
	struct fixture *f = *state;
	char *short_dir = f->dir;
	char name[201];
	memset(name, 'd', 200);
	name[200] = '\0';
	f->dir = strdup(in(short_dir, name));
	assert_int_equal(mkdir(f->dir, 0700), 0);
	struct other other = start_other(hold, f);
	assert_true(hear(other.says));
	struct kon_peer *peer = watch(f, ID);
	kill_other(&other);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	kon_peer_free(peer);
	free(f->dir);
	f->dir = short_dir;
}

/* A socket that nobody accepts from keeps a place for each watcher that ever was; a pipe does not. */
static void any_number_of_watchers_may_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(hold, f);
	assert_true(hear(other.says));
	for (int i = 0; i < 10000; i++)
		kon_peer_free(watch(f, ID));
	struct kon_peer *peer = watch(f, ID);
	kill_other(&other);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->told, 1);
	kon_peer_free(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_killed_process_is_told_of_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_is_alive_as_long_as_a_guard_of_it_lives, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_dead_before_the_watch_is_told_of_from_the_loop, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(a_watch_that_was_freed_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_pipe_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_no_pipe_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(whoever_writes_into_the_pipe_kills_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(only_a_clean_end_takes_the_name_away, setup, teardown),
		cmocka_unit_test_setup_teardown(the_old_dead_are_swept_and_the_young_and_the_living_stay, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(a_name_that_is_no_session_or_taken_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_directory_is_as_good_as_a_short_one, setup, teardown),
		cmocka_unit_test_setup_teardown(any_number_of_watchers_may_come_and_go, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
