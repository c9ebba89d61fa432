/* One string out of a text, without parsing the rest. */
#include "json_peek.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const path[] = {"a", "b", NULL};

/* The string at a.b, "-" when there is none; from a copy that ends where the text does. */
static const char *peek(const char *text)
{
	static char found[64];
	struct kon_json_span span;
	size_t size = strlen(text);
	char *copy = malloc(size > 0 ? size : 1);
	memcpy(copy, text, size);
	if (kon_json_peek(copy, size, path, &span))
		snprintf(found, sizeof(found), "%.*s", (int)span.size, span.at);
	else
		snprintf(found, sizeof(found), "-");
	free(copy);
	return found;
}

static void the_string_is_found_whatever_stands_before_it(void **state)
{
	static const char *const texts[] = {
		"{\"a\":{\"b\":\"x\"}}",
		" { \"a\" : {\t\"b\" :\n\"x\" } } ",
		"{\"c\":[1,{\"b\":\"no\"},[]],\"a\":{\"c\":null,\"b\":\"x\"}}",
		"{\"b\":\"no\",\"c\":{\"a\":{\"b\":\"no\"}},\"a\":{\"bb\":\"no\",\"b\":\"x\",\"b\":\"no\"}}",
		"{\"c\":\"}{\\\"a\\\":{\\\"b\\\":\\\"no\",\"a\":{\"\\\\\":-1.5e3,\"b\":\"x\"}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_string_equal(peek(texts[i]), "x");
	assert_string_equal(peek("{\"a\":{\"b\":\"\"}}"), "");
}

static void what_is_no_string_or_has_an_escape_is_not_found(void **state)
{
	static const char *const texts[] = {
		"",
		"{}",
		"[]",
		"{\"a\":{}}",
		"{\"a\":\"b\"}",
		"{\"a\":{\"b\":1}}",
		"{\"a\":{\"b\":{}}}",
		"{\"a\"",
		"{\"a",
		"{\"a\":",
		"{\"a\":{\"c\":{\"b\":\"x\"}}}",
		"{\"a\":{\"b\":\"x\\\"\"}}",
		"{\"a\":{\"b\":\"x\\\\\"}}",
		"{\"c\":]},\"a\":{\"b\":\"x\"}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_string_equal(peek(texts[i]), "-");
}

static void a_text_that_ends_anywhere_is_no_harm(void **state)
{
	static const char text[] = "{\"c\":[{\"d\":\"\\\"\"},1],\"a\":{\"e\":true,\"b\":\"x\"}}";
	char part[sizeof(text)] = "";
	(void)state;
	for (size_t size = 0; size < sizeof(text) - 3; size++) {
		assert_string_equal(peek(part), "-");
		part[size] = text[size];
	}
	assert_string_equal(peek(text), "x");
}

static void the_text_of_a_value_is_found_from_its_first_byte_to_its_last(void **state)
{
	static const char *const texts[][2] = {
		{"{\"a\":[1,{\"b\":\"],\"}]}", "[1,{\"b\":\"],\"}]"},
		{" { \"c\" : [ \"a\", {\"a\":2} ] , \"a\" : [ ] , \"d\":1}", "[ ] "},
		{"{\"b\":{\"a\":1},\"a\":-1.5e3}", "-1.5e3"},
		{"{\"a\":\"\\\"}\",\"b\":2}", "\"\\\"}\""},
		{"{\"a\":null}", "null"},
		{"{\"b\":1}", "-"},
		{"{\"a\":[1,2}", "-"},
		{"{\"a\":[1,2]", "-"},
		{"[\"a\",1]", "-"},
		{"", "-"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct kon_json_span span = {"-", 1};
		size_t size = strlen(texts[i][0]);
		char *copy = malloc(size > 0 ? size : 1);
		memcpy(copy, texts[i][0], size);
		kon_json_peek_value(copy, size, "a", &span);
		if (span.size != strlen(texts[i][1]) || memcmp(span.at, texts[i][1], span.size) != 0)
			fail_msg("%s: %.*s", texts[i][0], (int)span.size, span.at);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_string_is_found_whatever_stands_before_it),
		cmocka_unit_test(what_is_no_string_or_has_an_escape_is_not_found),
		cmocka_unit_test(a_text_that_ends_anywhere_is_no_harm),
		cmocka_unit_test(the_text_of_a_value_is_found_from_its_first_byte_to_its_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
