/* A record that comes with the bell. */
#include "sqlite_news.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 5000000

static const struct kon_record a_record = {
	.kind = "Once",
	.name = "migrate",
	.uid = "u1",
	.rev = 42,
	.created = "2026-01-02T03:04:05Z",
	.age_ms = 700,
	.spec = "{}",
	.spec_size = 2,
	.status = "{\"phase\":\"Executed\"}",
	.status_size = 20,
};

static struct kon_buf news_of(const struct kon_record *record)
{
	struct kon_buf news;
	kon_buf_init(&news, 4000);
	assert_true(kon_sqlite_news_write(&news, "default", record, NOW));
	return news;
}

static void what_was_written_is_read_and_has_grown_older(void **state)
{
	(void)state;
	struct kon_record got;
	struct kon_buf news = news_of(&a_record);
	assert_true(kon_sqlite_news_read(news.data, news.size, "default", NOW + 30, &got));
	assert_string_equal(got.kind, "Once");
	assert_string_equal(got.name, "migrate");
	assert_string_equal(got.uid, "u1");
	assert_string_equal(got.created, "2026-01-02T03:04:05Z");
	assert_int_equal(got.rev, 42);
	assert_int_equal(got.age_ms, 730);
	assert_int_equal(got.spec_size, 2);
	assert_string_equal(got.spec, "{}");
	assert_int_equal(got.status_size, 20);
	assert_string_equal(got.status, a_record.status);
	assert_null(got.damage);
	kon_buf_done(&news);
}

/* A writer that was stopped between its commit and its ring tells of a world that is gone. */
static void news_of_long_ago_or_of_another_clock_are_not_believed(void **state)
{
	(void)state;
	struct kon_record got;
	struct kon_buf news = news_of(&a_record);
	assert_true(kon_sqlite_news_read(news.data, news.size, "default", NOW + KON_SQLITE_NEWS_MS, &got));
	assert_false(kon_sqlite_news_read(news.data, news.size, "default", NOW + KON_SQLITE_NEWS_MS + 1, &got));
	assert_false(kon_sqlite_news_read(news.data, news.size, "default", NOW - 1, &got));
	kon_buf_done(&news);
}

static void news_of_another_namespace_are_not_ours(void **state)
{
	(void)state;
	struct kon_record got;
	struct kon_buf news = news_of(&a_record);
	assert_false(kon_sqlite_news_read(news.data, news.size, "other", NOW, &got));
	kon_buf_done(&news);
}

static void news_that_are_cut_or_longer_than_they_say_are_not_taken(void **state)
{
	(void)state;
	struct kon_record got;
	struct kon_buf news = news_of(&a_record);
	for (size_t size = 0; size < news.size; size++) {
		char *cut = malloc(size + 1); /* of its very size, for the sanitizer to see what is read behind it */
		assert_non_null(cut);
		memcpy(cut, news.data, size);
		assert_false(kon_sqlite_news_read(cut, size, "default", NOW, &got));
		free(cut);
	}
	assert_true(kon_buf_add(&news, "", 1));
	assert_false(kon_sqlite_news_read(news.data, news.size, "default", NOW, &got));
	kon_buf_done(&news);
}

static void numbers_that_are_none_are_not_taken(void **state)
{
	static const char *const numbers[] = {
		"", "1", "5000000 2", "5000000 2 ", "5000000 -2 3", "x 2 3", "5000000 2 3 4", "5000000 2 3x"};
	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char news[200];
		struct kon_record got;
		int size = snprintf(news, sizeof(news), "default%c%s%cOnce%ca%cu%cc%c{}%c{}%c", 0, numbers[i], 0, 0, 0,
		                    0, 0, 0, 0);
		assert_false(kon_sqlite_news_read(news, (size_t)size, "default", NOW, &got));
	}
}

static void a_record_that_is_too_long_makes_no_news(void **state)
{
	(void)state;
	struct kon_buf news;
	kon_buf_init(&news, 60);
	assert_false(kon_sqlite_news_write(&news, "default", &a_record, NOW));
	kon_buf_done(&news);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_and_has_grown_older),
		cmocka_unit_test(news_of_long_ago_or_of_another_clock_are_not_believed),
		cmocka_unit_test(news_of_another_namespace_are_not_ours),
		cmocka_unit_test(news_that_are_cut_or_longer_than_they_say_are_not_taken),
		cmocka_unit_test(numbers_that_are_none_are_not_taken),
		cmocka_unit_test(a_record_that_is_too_long_makes_no_news),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
