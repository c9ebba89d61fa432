/* Wake-ups between processes by named pipes. */
#include "bell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>

#include <cmocka.h>

#include "world.h"

#define KEY 0xabcu

struct fixture {
	struct kon_loop *loop;
	struct kon_bells *bells;
	char *dir;
	int rung;
	int unnamed;
	char word[KON_BELL_MAX_WORD + 1];
	char news[KON_BELL_MAX_NEWS + 1];
	size_t news_size; /* of the last ring; 0: it brought none */
	struct kon_bell_watch *watch;
};

static void ring(struct kon_bells *bells, uint64_t key, const char *word, const char *first)
{
	kon_bells_ring(bells, key, &(struct kon_ring){.word = word}, first);
}

static void ring_with(struct kon_bells *bells, const char *news, size_t size)
{
	kon_bells_ring(bells, KEY, &(struct kon_ring){.word = "word", .news = news, .news_size = size}, NULL);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	signal(SIGPIPE, SIG_IGN);
	f->dir = temp_dir();
	assert_int_equal(kon_loop_new(&f->loop, NULL), 0);
	assert_int_equal(kon_bells_open(&f->bells, f->loop, f->dir, "mine", NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	kon_bells_close(f->bells);
	kon_loop_free(f->loop);
	remove_dir(f->dir);
	free(f);
	return 0;
}

static void on_rung(void *data, const struct kon_ring *ring)
{
	struct fixture *f = data;
	f->rung++;
	if (ring->word == NULL)
		f->unnamed++;
	else
		snprintf(f->word, sizeof(f->word), "%s", ring->word);
	f->news_size = ring->news_size;
	if (ring->news_size > 0)
		memcpy(f->news, ring->news, ring->news_size);
	kon_loop_stop(f->loop);
}

static struct kon_bell_watch *watch(struct fixture *f, uint64_t key)
{
	struct kon_bell_watch *made = NULL;
	assert_int_equal(kon_bell_watch(f->bells, key, on_rung, f, &made, NULL), 0);
	return made;
}

/* Rings KEY once each time it is told to. */
static int ring_when_told(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct kon_loop *loop;
	struct kon_bells *bells;
	if (kon_loop_new(&loop, NULL) != 0 || kon_bells_open(&bells, loop, f->dir, "other", NULL) != 0)
		return 1;
	while (hear(hear_fd)) {
		ring(bells, KEY, "word", NULL);
		say(say_fd);
	}
	return 0;
}

/* Hangs up a bell for KEY and says so. */
static int wait_for_bell(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct kon_loop *loop;
	struct kon_bells *bells;
	struct kon_bell_watch *made;
	if (kon_loop_new(&loop, NULL) != 0 || kon_bells_open(&bells, loop, f->dir, "other", NULL) != 0 ||
	    kon_bell_watch(bells, KEY, on_rung, f, &made, NULL) != 0)
		return 1;
	say(say_fd);
	hear(hear_fd);
	return 0;
}

static void another_process_wakes_the_loop_with_a_word(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(ring_when_told, f);
	struct kon_bell_watch *made = watch(f, KEY);
	for (int i = 1; i <= 100; i++) {
		say(other.asks);
		assert_true(run_loop(f->loop, PATIENCE_MS));
		assert_int_equal(f->rung, i);
	}
	assert_string_equal(f->word, "word");
	kon_bell_unwatch(made);
	assert_int_equal(end_other(&other), 0);
}

static void a_ring_before_the_loop_runs_is_not_lost(void **state)
{
	struct fixture *f = *state;
	struct kon_bell_watch *made = watch(f, KEY);
	ring(f->bells, KEY, "a", NULL);
	ring(f->bells, KEY, "b", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 2);
	assert_string_equal(f->word, "b");
	kon_bell_unwatch(made);
}

static void a_ring_brings_its_news_whatever_bytes_they_are(void **state)
{
	struct fixture *f = *state;
	static const char news[] = "a\nb 12\n\0c";
	struct kon_bell_watch *made = watch(f, KEY);
	ring(f->bells, KEY, "before", NULL);
	ring_with(f->bells, news, sizeof(news));
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 2);
	assert_string_equal(f->word, "word");
	assert_int_equal(f->news_size, sizeof(news));
	assert_memory_equal(f->news, news, sizeof(news));
	ring(f->bells, KEY, "after", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 3);
	assert_int_equal(f->news_size, 0);
	kon_bell_unwatch(made);
}

static void news_that_are_too_long_stay_away_and_the_bell_rings(void **state)
{
	struct fixture *f = *state;
	char news[KON_BELL_MAX_NEWS + 1];
	memset(news, 'n', sizeof(news));
	struct kon_bell_watch *made = watch(f, KEY);
	ring_with(f->bells, news, KON_BELL_MAX_NEWS);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->news_size, KON_BELL_MAX_NEWS);
	ring_with(f->bells, news, KON_BELL_MAX_NEWS + 1);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 2);
	assert_string_equal(f->word, "word");
	assert_int_equal(f->news_size, 0);
	kon_bell_unwatch(made);
}

/* The pipe of the one watch, by its name; to be closed. */
static int pipe_of_the_watch(struct fixture *f)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/0000000000000abc/mine-0", f->dir);
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* News are no reason to lose a ring: who reads the last line must not think that the line before was the last. */
static void where_news_find_no_room_the_word_still_does(void **state)
{
	struct fixture *f = *state;
	char news[3000] = "";
	struct kon_bell_watch *made = watch(f, KEY);
	int fd = pipe_of_the_watch(f);
	assert_int_equal(fcntl(fd, F_SETPIPE_SZ, 4096), 4096);
	close(fd);
	ring_with(f->bells, news, sizeof(news));
	ring_with(f->bells, news, sizeof(news));
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 2);
	assert_int_equal(f->unnamed, 0);
	assert_int_equal(f->news_size, 0);
	kon_bell_unwatch(made);
}

/* Anybody with the right to write there can. */
static void a_line_that_none_of_ours_wrote_says_look_again(void **state)
{
	static const char *const lines[] = {"word 5\nnew", "word x\nnews", "word 99999999999999999999\nnews",
	                                    "word -1\nnews"};
	struct fixture *f = *state;
	struct kon_bell_watch *made = watch(f, KEY);
	int fd = pipe_of_the_watch(f);
	for (int i = 0; i < 4; i++) {
		assert_true(write(fd, lines[i], strlen(lines[i])) > 0);
		assert_true(run_loop(f->loop, PATIENCE_MS));
		assert_int_equal(f->unnamed, i + 1);
		assert_int_equal(f->rung, i + 1);
	}
	close(fd);
	kon_bell_unwatch(made);
}

static void other_keys_are_not_heard_and_nobody_is_needed(void **state)
{
	struct fixture *f = *state;
	struct kon_bell_watch *made = watch(f, KEY);
	ring(f->bells, KEY + 1, "a", NULL);
	assert_false(run_loop(f->loop, 10));
	assert_int_equal(f->rung, 0);
	kon_bell_unwatch(made);
}

static void watches_of_one_key_share_a_pipe_and_all_hear(void **state)
{
	struct fixture *f = *state;
	struct kon_bell_watch *one = watch(f, KEY);
	struct kon_bell_watch *two = watch(f, KEY);
	assert_int_equal(entries(in(f->dir, "0000000000000abc")), 1);
	ring(f->bells, KEY, "a", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 2);
	kon_bell_unwatch(one);
	ring(f->bells, KEY, "a", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 3);
	kon_bell_unwatch(two);
}

static void the_last_watch_takes_pipe_and_directory_along(void **state)
{
	struct fixture *f = *state;
	kon_bell_unwatch(watch(f, KEY));
	assert_int_equal(entries(f->dir), 0);
	ring(f->bells, KEY, "a", NULL);
	assert_false(run_loop(f->loop, 10));
	assert_int_equal(f->rung, 0);
}

static void unwatch_on_ring(void *data, const struct kon_ring *ring)
{
	struct fixture *f = data;
	on_rung(data, ring);
	kon_bell_unwatch(f->watch);
	f->watch = NULL;
}

static void a_watch_may_end_while_it_is_called(void **state)
{
	struct fixture *f = *state;
	struct kon_bell_watch *stays = watch(f, KEY);
	assert_int_equal(kon_bell_watch(f->bells, KEY, unwatch_on_ring, f, &f->watch, NULL), 0);
	ring(f->bells, KEY, "a", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 2);
	kon_bell_unwatch(stays);
	assert_int_equal(kon_bell_watch(f->bells, KEY, unwatch_on_ring, f, &f->watch, NULL), 0);
	ring(f->bells, KEY, "a", NULL);
	ring(f->bells, KEY, "b", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 3);
	assert_int_equal(entries(f->dir), 0);
}

static void too_many_rings_are_told_as_any(void **state)
{
	struct fixture *f = *state;
	struct kon_bell_watch *made = watch(f, KEY);
	char word[KON_BELL_MAX_WORD + 1];
	memset(word, 'w', KON_BELL_MAX_WORD);
	word[KON_BELL_MAX_WORD] = '\0';
	for (int i = 0; i < 1000; i++)
		ring(f->bells, KEY, word, NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 1);
	assert_int_equal(f->unnamed, 1);
	ring(f->bells, KEY, "a", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->unnamed, 1);
	assert_string_equal(f->word, "a");
	kon_bell_unwatch(made);
}

static void the_bell_of_a_killed_process_is_removed_by_whoever_rings(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(wait_for_bell, f);
	assert_true(hear(other.says));
	kill_other(&other);
	struct kon_bell_watch *made = watch(f, KEY);
	assert_int_equal(entries(in(f->dir, "0000000000000abc")), 2);
	ring(f->bells, KEY, "a", NULL);
	assert_int_equal(entries(in(f->dir, "0000000000000abc")), 1);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 1);
	kon_bell_unwatch(made);
}

static void old_keys_that_nobody_rings_are_swept(void **state)
{
	struct fixture *f = *state;
	static const struct timeval long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	struct kon_bells *second;
	struct other other = start_other(wait_for_bell, f);
	struct kon_bell_watch *made = watch(f, KEY + 1);
	assert_true(hear(other.says));
	kill_other(&other);
	assert_int_equal(utimes(in(f->dir, "0000000000000abc"), long_ago), 0);
	assert_int_equal(utimes(in(f->dir, "0000000000000abd"), long_ago), 0);
	assert_int_equal(kon_bells_open(&second, f->loop, f->dir, "second", NULL), 0);
	assert_int_equal(access(in(f->dir, "0000000000000abc"), F_OK), -1);
	assert_int_equal(entries(in(f->dir, "0000000000000abd")), 1);
	kon_bells_close(second);
	kon_bell_unwatch(made);
}

static void two_stores_of_one_session_do_not_meet(void **state)
{
	struct fixture *f = *state;
	struct kon_bells *second;
	struct kon_bell_watch *made = watch(f, KEY);
	struct kon_bell_watch *another;
	assert_int_equal(kon_bells_open(&second, f->loop, f->dir, "mine", NULL), 0);
	assert_int_equal(kon_bell_watch(second, KEY, on_rung, f, &another, NULL), 0);
	ring(f->bells, KEY, "a", "mine");
	while (f->rung < 2)
		assert_true(run_loop(f->loop, PATIENCE_MS));
	kon_bells_close(second);
	kon_bell_unwatch(another);
	kon_bell_unwatch(made);
}

/* Hangs up and takes down bells of one key until it is told to end. */
static int come_and_go(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct kon_loop *loop;
	struct kon_bells *bells;
	if (kon_loop_new(&loop, NULL) != 0 || kon_bells_open(&bells, loop, f->dir, "other", NULL) != 0)
		return 1;
	fcntl(hear_fd, F_SETFL, O_NONBLOCK);
	say(say_fd);
	char word;
	while (read(hear_fd, &word, 1) != 0) {
		struct kon_bell_watch *made;
		struct kon_err err = {0};
		if (kon_bell_watch(bells, KEY, on_rung, f, &made, &err) != 0) {
			fprintf(stderr, "watch: %s\n", err.detail);
			return 2;
		}
		kon_bell_unwatch(made);
	}
	return 0;
}

/* The directory of a key is made and removed all the time; a bell that is up must still be heard, every time. */
static void no_ring_is_lost_while_others_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct other other = start_other(come_and_go, f);
	assert_true(hear(other.says));
	for (int i = 1; i <= 2000; i++) {
		struct kon_bell_watch *made = watch(f, KEY);
		ring(f->bells, KEY, "a", NULL);
		assert_true(run_loop(f->loop, PATIENCE_MS));
		assert_int_equal(f->rung, i);
		kon_bell_unwatch(made);
	}
	assert_int_equal(end_other(&other), 0);
	assert_int_equal(entries(f->dir), 0);
}

static struct kon_bells *bells_of(struct fixture *f, const char *session)
{
	struct kon_bells *bells = NULL;
	assert_int_equal(kon_bells_open(&bells, f->loop, f->dir, session, NULL), 0);
	return bells;
}

static void one_that_is_named_is_told_at_once_and_the_others_a_little_later(void **state)
{
	struct fixture *f = *state;
	struct fixture named = {.loop = f->loop};
	struct kon_bells *theirs = bells_of(f, "theirs");
	struct kon_bell_watch *first = NULL;
	assert_int_equal(kon_bell_watch(theirs, KEY, on_rung, &named, &first, NULL), 0);
	struct kon_bell_watch *other = watch(f, KEY);
	ring(f->bells, KEY, "word", "theirs");
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(named.rung, 1);
	assert_int_equal(f->rung, 0);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(named.rung, 1);
	assert_int_equal(f->rung, 1);
	kon_bell_unwatch(first);
	kon_bell_unwatch(other);
	kon_bells_close(theirs);
}

static void one_that_is_named_and_does_not_wait_holds_nobody_up(void **state)
{
	struct fixture *f = *state;
	struct kon_bell_watch *made = watch(f, KEY);
	ring(f->bells, KEY, "word", "nobody");
	assert_false(kon_bells_pending(f->bells));
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 1);
	kon_bell_unwatch(made);
}

static void those_who_are_in_no_hurry_are_told_before_the_bells_are_closed(void **state)
{
	struct fixture *f = *state;
	struct kon_bells *theirs = bells_of(f, "theirs");
	struct kon_bell_watch *made = watch(f, KEY);
	ring(theirs, KEY, "word", "theirs");
	assert_true(kon_bells_pending(theirs));
	kon_bells_close(theirs);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_string_equal(f->word, "word");
	kon_bell_unwatch(made);
}

static void of_many_rings_that_are_kept_back_none_is_lost(void **state)
{
	struct fixture *f = *state;
	struct kon_bell_watch *watches[40];
	for (int i = 0; i < 40; i++)
		watches[i] = watch(f, KEY + (uint64_t)i);
	for (int i = 0; i < 40; i++)
		ring(f->bells, KEY + (uint64_t)i, "word", "mine");
	while (f->rung < 40)
		assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_false(kon_bells_pending(f->bells));
	for (int i = 0; i < 40; i++)
		kon_bell_unwatch(watches[i]);
}

static void a_directory_that_was_cleaned_away_is_made_again(void **state)
{
	struct fixture *f = *state;
	struct kon_bells *second;
	assert_int_equal(kon_bells_open(&second, f->loop, f->dir, "second", NULL), 0);
	assert_int_equal(rmdir(f->dir), 0);
	struct kon_bell_watch *made = watch(f, KEY);
	ring(second, KEY, "a", NULL);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->rung, 1);
	kon_bell_unwatch(made);
	kon_bells_close(second);
}

static void what_cannot_be_made_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct kon_bells *bells;
	struct kon_bell_watch *made;
	assert_int_equal(kon_bells_open(&bells, f->loop, in(f->dir, "missing"), "x", NULL), KON_STORE);
	assert_int_equal(close(creat(in(f->dir, "0000000000000abc"), 0600)), 0);
	assert_int_equal(kon_bell_watch(f->bells, KEY, on_rung, f, &made, NULL), KON_STORE);
	ring(f->bells, KEY, "a", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(another_process_wakes_the_loop_with_a_word, setup, teardown),
		cmocka_unit_test_setup_teardown(a_ring_before_the_loop_runs_is_not_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(a_ring_brings_its_news_whatever_bytes_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(news_that_are_too_long_stay_away_and_the_bell_rings, setup, teardown),
		cmocka_unit_test_setup_teardown(where_news_find_no_room_the_word_still_does, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_that_none_of_ours_wrote_says_look_again, setup, teardown),
		cmocka_unit_test_setup_teardown(other_keys_are_not_heard_and_nobody_is_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(watches_of_one_key_share_a_pipe_and_all_hear, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_watch_takes_pipe_and_directory_along, setup, teardown),
		cmocka_unit_test_setup_teardown(a_watch_may_end_while_it_is_called, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_rings_are_told_as_any, setup, teardown),
		cmocka_unit_test_setup_teardown(the_bell_of_a_killed_process_is_removed_by_whoever_rings, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(old_keys_that_nobody_rings_are_swept, setup, teardown),
		cmocka_unit_test_setup_teardown(two_stores_of_one_session_do_not_meet, setup, teardown),
		cmocka_unit_test_setup_teardown(no_ring_is_lost_while_others_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_named_is_told_at_once_and_the_others_a_little_later, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(one_that_is_named_and_does_not_wait_holds_nobody_up, setup, teardown),
		cmocka_unit_test_setup_teardown(those_who_are_in_no_hurry_are_told_before_the_bells_are_closed, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(of_many_rings_that_are_kept_back_none_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(a_directory_that_was_cleaned_away_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_made_is_an_error, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
