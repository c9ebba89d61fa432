/* Who we are towards an API server: tokens, files of them that change, names with passwords. */
#include "kube_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "world.h"

static struct kon_err err;

static void a_token_becomes_a_header_and_no_sentence(void **state)
{
	struct kon_kube_token token;
	(void)state;
	assert_int_equal(kon_kube_token_init(&token, "abc", NULL, NULL, NULL, &err), 0);
	assert_string_equal(kon_kube_token_header(&token, 0), "Authorization: Bearer abc");
	assert_int_equal(kon_kube_token_set(&token, "se\ncret", &err), KON_CONFIG);
	assert_null(strstr(err.detail, "cret"));
	assert_string_equal(kon_kube_token_header(&token, 0), "Authorization: Bearer abc");
	assert_int_equal(kon_kube_token_set(&token, "", &err), KON_CONFIG);
	kon_kube_token_done(&token);
}

static void nobody_in_particular_sends_no_header(void **state)
{
	struct kon_kube_token token;
	(void)state;
	assert_int_equal(kon_kube_token_init(&token, NULL, NULL, NULL, NULL, &err), 0);
	assert_null(kon_kube_token_header(&token, 0));
	kon_kube_token_done(&token);
}

static void a_name_and_a_password_are_encoded(void **state)
{
	static const struct {
		const char *name, *password, *header;
	} cases[] = {{"a", "", "Authorization: Basic YTo="},
	             {"ab", NULL, "Authorization: Basic YWI6"},
	             {"user", "pass", "Authorization: Basic dXNlcjpwYXNz"},
	             {"\xc3\xa4", "?>~", "Authorization: Basic w6Q6Pz5+"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kon_kube_token token;
		assert_int_equal(kon_kube_token_init(&token, NULL, NULL, cases[i].name, cases[i].password, &err), 0);
		assert_string_equal(kon_kube_token_header(&token, 0), cases[i].header);
		kon_kube_token_done(&token);
	}
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void a_file_is_read_again_after_a_minute_and_kept_while_it_is_gone(void **state)
{
	struct kon_kube_token token;
	char path[512];
	char *dir = temp_dir();
	(void)state;
	snprintf(path, sizeof(path), "%s/token", dir);
	write_text(path, "one\n");
	assert_int_equal(kon_kube_token_init(&token, "ignored", path, NULL, NULL, &err), 0);
	int64_t now_ms = kon_clock_boot_ms();
	write_text(path, " \n");
	assert_int_equal(kon_kube_token_reread(&token, now_ms, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, path));
	write_text(path, "two");
	assert_string_equal(kon_kube_token_header(&token, now_ms + 59999), "Authorization: Bearer one");
	assert_string_equal(kon_kube_token_header(&token, now_ms + 60000), "Authorization: Bearer two");
	unlink(path);
	assert_string_equal(kon_kube_token_header(&token, now_ms + 120000), "Authorization: Bearer two");
	write_text(path, "three");
	assert_int_equal(kon_kube_token_reread(&token, now_ms, &err), 0);
	assert_string_equal(kon_kube_token_header(&token, now_ms), "Authorization: Bearer three");
	kon_kube_token_done(&token);
	remove_dir(dir);
}

static void a_file_that_is_no_token_is_refused_and_not_cut(void **state)
{
	struct kon_kube_token token;
	char path[512];
	char large[(64 << 10) + 2];
	char *dir = temp_dir();
	(void)state;
	snprintf(path, sizeof(path), "%s/token", dir);
	memset(large, 'a', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	write_text(path, large);
	assert_int_equal(kon_kube_token_init(&token, NULL, path, NULL, NULL, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "64 KiB"));
	write_text(path, large + 1);
	assert_int_equal(kon_kube_token_reread(&token, 0, &err), 0);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite("one\0two", 1, 7, file), 7);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(kon_kube_token_reread(&token, 0, &err), KON_CONFIG);
	kon_kube_token_done(&token);
	remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_becomes_a_header_and_no_sentence),
		cmocka_unit_test(nobody_in_particular_sends_no_header),
		cmocka_unit_test(a_name_and_a_password_are_encoded),
		cmocka_unit_test(a_file_is_read_again_after_a_minute_and_kept_while_it_is_gone),
		cmocka_unit_test(a_file_that_is_no_token_is_refused_and_not_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
