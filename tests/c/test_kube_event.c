/* What a watch sends, in pieces of any size; and what of it is news. */
#include "kube_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "kube_known.h"
#include "kube_path.h"

struct told {
	int lines;
	size_t bytes;
	char all[400];
	int stop_after; /* 0: never */
};

static bool on_line(void *data, const char *text, size_t size)
{
	struct told *told = data;
	size_t used = strlen(told->all);
	told->lines++;
	told->bytes += size;
	snprintf(told->all + used, sizeof(told->all) - used, "%.*s|", (int)(size < 100 ? size : 100), text);
	return told->lines != told->stop_after;
}

static void lines_come_whole_whatever_the_pieces(void **state)
{
	static const char text[] = "one\ntwo \xc3\xa4\xe2\x82\xac\n\nthree\nrest";
	(void)state;
	for (size_t step = 1; step <= sizeof(text); step++) {
		struct kon_kube_lines lines;
		struct told told = {0};
		kon_kube_lines_init(&lines);
		for (size_t at = 0; at < sizeof(text) - 1; at += step) {
			size_t size = sizeof(text) - 1 - at < step ? sizeof(text) - 1 - at : step;
			assert_int_equal(kon_kube_lines_feed(&lines, text + at, size, on_line, &told, NULL), 0);
		}
		assert_string_equal(told.all, "one|two \xc3\xa4\xe2\x82\xac|three|");
		kon_kube_lines_done(&lines);
	}
}

static void a_line_may_have_three_mebibytes_and_not_five(void **state)
{
	struct kon_kube_lines lines;
	struct kon_err err = {0};
	struct told told = {0};
	size_t piece = 1 << 16;
	char *bytes = malloc(piece);
	(void)state;
	memset(bytes, 'x', piece);
	kon_kube_lines_init(&lines);
	for (int i = 0; i < 3 * 16; i++)
		assert_int_equal(kon_kube_lines_feed(&lines, bytes, piece, on_line, &told, &err), 0);
	assert_int_equal(kon_kube_lines_feed(&lines, "\n", 1, on_line, &told, &err), 0);
	assert_int_equal(told.bytes, 3 << 20);
	int code = 0;
	for (int i = 0; i < 5 * 16 && code == 0; i++)
		code = kon_kube_lines_feed(&lines, bytes, piece, on_line, &told, &err);
	assert_int_equal(code, KON_TOO_BIG);
	assert_non_null(strstr(err.detail, "4 MiB"));
	kon_kube_lines_done(&lines);
	free(bytes);
}

static void no_line_is_given_after_the_one_that_ends_it(void **state)
{
	struct kon_kube_lines lines;
	struct told told = {.stop_after = 2};
	(void)state;
	kon_kube_lines_init(&lines);
	assert_int_equal(kon_kube_lines_feed(&lines, "a", 1, on_line, &told, NULL), 0);
	assert_int_equal(kon_kube_lines_feed(&lines, "\nb\nc\n", 5, on_line, &told, NULL), 0);
	assert_string_equal(told.all, "a|b|");
	kon_kube_lines_done(&lines);
}

static void events_are_told_by_their_type(void **state)
{
	static const struct {
		const char *text;
		enum kon_kube_event_type type;
		int code;
	} cases[] = {{"{\"type\":\"ADDED\",\"object\":{}}", KON_KUBE_CHANGED, 0},
	             {"{\"type\":\"MODIFIED\",\"object\":{}}", KON_KUBE_CHANGED, 0},
	             {"{\"type\":\"DELETED\",\"object\":{}}", KON_KUBE_GONE, 0},
	             {"{\"type\":\"BOOKMARK\",\"object\":{}}", KON_KUBE_BOOKMARK, 0},
	             {"{\"type\":\"ERROR\",\"object\":{\"code\":410}}", KON_KUBE_ERROR, 410},
	             {"{\"type\":\"ERROR\",\"object\":{}}", KON_KUBE_ERROR, 500},
	             {"{\"type\":\"NEW\",\"object\":{}}", KON_KUBE_OTHER, 0}};
	static const char *const bad[] = {"",
	                                  "x",
	                                  "{}",
	                                  "{\"type\":\"ADDED\"}",
	                                  "{\"object\":{}}",
	                                  "{\"type\":1,\"object\":{}}",
	                                  "{\"type\":\"ADDED\",\"object\":[]}"};
	struct kon_kube_event event;
	struct kon_err err;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(kon_kube_event_read(&event, cases[i].text, strlen(cases[i].text), &err), 0);
		assert_int_equal(event.type, cases[i].type);
		assert_int_equal(event.code, cases[i].code);
		kon_kube_event_done(&event);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(kon_kube_event_read(&event, bad[i], strlen(bad[i]), &err), KON_CORRUPT);
}

static void what_is_not_newer_is_no_news(void **state)
{
	struct kon_kube_known known = {0};
	(void)state;
	assert_null(kon_kube_known_take(&known, "b", 5, true)); /* was never there */
	assert_non_null(kon_kube_known_take(&known, "b", 5, false));
	assert_non_null(kon_kube_known_take(&known, "a", 7, false));
	assert_non_null(kon_kube_known_take(&known, "c", 6, false));
	assert_null(kon_kube_known_take(&known, "b", 5, false));
	assert_null(kon_kube_known_take(&known, "b", 4, false));
	assert_null(kon_kube_known_take(&known, "a", 6, true)); /* the end of an earlier one of that name */
	assert_non_null(kon_kube_known_take(&known, "b", 8, true));
	assert_null(kon_kube_known_take(&known, "b", 7, false)); /* from before its end */
	assert_null(kon_kube_known_take(&known, "b", 9, true));
	assert_non_null(kon_kube_known_take(&known, "b", 10, false));
	assert_string_equal(known.entries[0].object, "a");
	assert_string_equal(known.entries[2].object, "c");
	kon_kube_known_done(&known);
}

static void what_a_list_does_not_have_is_gone(void **state)
{
	struct kon_kube_known known = {0};
	(void)state;
	kon_kube_known_take(&known, "a", 1, false);
	kon_kube_known_take(&known, "b", 2, false);
	kon_kube_known_begin(&known, 20);
	assert_null(kon_kube_known_take(&known, "a", 1, false));
	struct kon_kube_entry *entry = kon_kube_known_missing(&known, 20);
	assert_string_equal(entry->object, "b");
	assert_null(kon_kube_known_missing(&known, 20));
	assert_null(kon_kube_known_take(&known, "b", 19, false)); /* from before the list */
	kon_kube_known_forget_gone(&known);
	assert_int_equal(known.count, 1);
	kon_kube_known_done(&known);
}

static void all_of_a_list_from_a_store_that_went_back_in_time_is_news(void **state)
{
	struct kon_kube_known known = {0};
	(void)state;
	kon_kube_known_take(&known, "a", 30, false);
	kon_kube_known_take(&known, "b", 31, false);
	kon_kube_known_take(&known, "c", 32, false);
	kon_kube_known_begin(&known, 20);
	assert_non_null(kon_kube_known_take(&known, "b", 19, false));
	assert_string_equal(kon_kube_known_missing(&known, 20)->object, "a");
	assert_string_equal(kon_kube_known_missing(&known, 20)->object, "c");
	assert_null(kon_kube_known_missing(&known, 20));
	assert_non_null(kon_kube_known_take(&known, "a", 21, false)); /* made anew after it */
	kon_kube_known_done(&known);
}

/* Each once: a look at all of them for each that is gone would hold the loop up for minutes. */
static void a_hundred_thousand_that_are_gone_are_told_in_no_time(void **state)
{
	enum { MANY = 100000 };
	struct kon_kube_known known = {0};
	char name[16];
	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "n%06d", i);
		kon_kube_known_take(&known, name, 5, false);
	}
	kon_kube_known_begin(&known, 20);
	clock_t began = clock();
	for (int i = 0; i < MANY; i++)
		assert_non_null(kon_kube_known_missing(&known, 20));
	assert_null(kon_kube_known_missing(&known, 20));
	assert_true(clock() - began < 2 * CLOCKS_PER_SEC);
	kon_kube_known_forget_gone(&known);
	assert_int_equal(known.count, 0);
	kon_kube_known_done(&known);
}

static void paths_name_what_is_asked_for(void **state)
{
	char *paths[] = {
		kon_kube_path_object(&kon_kube_crd, "ns", "Gate", "gate.a", "/status?x=1"),
		kon_kube_path_object(&kon_kube_lease, "ns", "Once", "", ""),
		kon_kube_path_list(&kon_kube_crd, "ns", "Once", "a", "&watch=1"),
		kon_kube_path_list(&kon_kube_crd, "ns", "Once", NULL, "&limit=5"),
		kon_kube_path_list(&kon_kube_lease, "ns", "Once", NULL, "&limit=5"),
		kon_kube_path_quote("a b/=~"),
	};
	static const char *const want[] = {
		"/apis/konductor.io/v1/namespaces/ns/records/gate.a/status?x=1",
		"/apis/coordination.k8s.io/v1/namespaces/ns/leases",
		"/apis/konductor.io/v1/namespaces/ns/onces?fieldSelector=metadata.name%3Da&watch=1",
		"/apis/konductor.io/v1/namespaces/ns/onces?limit=5",
		"/apis/coordination.k8s.io/v1/namespaces/ns/leases?labelSelector=konductor.io%2Fkind%3DOnce&limit=5",
		"a%20b%2F%3D~",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_string_equal(paths[i], want[i]);
		free(paths[i]);
	}
}

/* As kube-apiserver 1.34 writes them, but shorter. */
#define OURS "00112233445566778899aabbccddeeff"
#define THEIRS "ffeeddccbbaa99887766554433221100"
#define METADATA                                                                                                       \
	"\"metadata\":{\"name\":\"boss\",\"resourceVersion\":\"7\",\"uid\":\"u\",\"managedFields\":[{\"fieldsV1\":{"   \
	"\"f:status\":"                                                                                                \
	"{\"f:session\":{}}},\"manager\":\"konductor-holder\"}]}"
#define LEASE(TYPE, STATUS)                                                                                            \
	"{\"type\":\"" TYPE "\",\"object\":{\"apiVersion\":\"konductor.io/v1\",\"kind\":\"Lease\"," METADATA           \
	",\"spec\":{\"ttl\":\"15s\"},\"status\":" STATUS "}}"
#define COORDINATION(SPEC)                                                                                             \
	"{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Lease\",\"metadata\":{\"annotations\":{\"konductor.io/"         \
	"status\":\"{"                                                                                                 \
	"\\\"session\\\":\\\"" THEIRS "\\\"}\",\"konductor.io/waiters\":\"[{\\\"session\\\":\\\"" OURS                 \
	"\\\"}]\"}},\"spec\":" SPEC "}}"

static void a_glance_tells_whose_hold_a_line_speaks_of(void **state)
{
	static const struct {
		const struct kon_kube_dialect *dialect;
		enum kon_kube_whose whose;
		const char *line;
	} lines[] = {
		{&kon_kube_crd, KON_KUBE_OTHERS, LEASE("MODIFIED", "{\"session\":\"" THEIRS "\"}")},
		{&kon_kube_crd, KON_KUBE_OTHERS,
	         LEASE("MODIFIED", "{\"preempt\":{\"session\":\"" OURS "\"},\"session\":\"" THEIRS
	                           "\",\"waiters\":[{\"session\":\"" OURS "\"}]}")},
		{&kon_kube_crd, KON_KUBE_OURS,
	         LEASE("MODIFIED", "{\"waiters\":[{\"session\":\"" THEIRS "\"}],\"session\":\"" OURS "\"}")},
		{&kon_kube_crd, KON_KUBE_ANYONES, LEASE("MODIFIED", "{\"phase\":\"Available\",\"session\":\"\"}")},
		{&kon_kube_crd, KON_KUBE_ANYONES, LEASE("MODIFIED", "{\"executed\":true,\"executor\":\"a\"}")},
		{&kon_kube_crd, KON_KUBE_ANYONES, LEASE("MODIFIED", "{\"session\":7}")},
		{&kon_kube_crd, KON_KUBE_ANYONES, LEASE("ADDED", "{\"session\":\"" THEIRS "\"}")},
		{&kon_kube_crd, KON_KUBE_ANYONES, LEASE("DELETED", "{\"session\":\"" THEIRS "\"}")},
		{&kon_kube_crd, KON_KUBE_ANYONES, LEASE("BOOKMARK", "{\"session\":\"" THEIRS "\"}")},
		{&kon_kube_crd, KON_KUBE_ANYONES, "{\"type\":\"MODIFIED\",\"object\":{\"status\":{\"session\":\"x"},
		{&kon_kube_crd, KON_KUBE_ANYONES, "nonsense"},
		{&kon_kube_lease, KON_KUBE_OTHERS, COORDINATION("{\"holderIdentity\":\"b_" THEIRS "\"}")},
		{&kon_kube_lease, KON_KUBE_OTHERS, COORDINATION("{\"holderIdentity\":\"client-go\"}")},
		{&kon_kube_lease, KON_KUBE_OURS, COORDINATION("{\"holderIdentity\":\"a_" OURS "\"}")},
		{&kon_kube_lease, KON_KUBE_ANYONES, COORDINATION("{\"holderIdentity\":\"\"}")},
		{&kon_kube_lease, KON_KUBE_ANYONES, COORDINATION("{}")},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		assert_int_equal(kon_kube_event_whose(lines[i].dialect, lines[i].line, strlen(lines[i].line), OURS),
		                 lines[i].whose);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_whole_whatever_the_pieces),
		cmocka_unit_test(a_line_may_have_three_mebibytes_and_not_five),
		cmocka_unit_test(no_line_is_given_after_the_one_that_ends_it),
		cmocka_unit_test(events_are_told_by_their_type),
		cmocka_unit_test(a_glance_tells_whose_hold_a_line_speaks_of),
		cmocka_unit_test(what_is_not_newer_is_no_news),
		cmocka_unit_test(what_a_list_does_not_have_is_gone),
		cmocka_unit_test(all_of_a_list_from_a_store_that_went_back_in_time_is_news),
		cmocka_unit_test(a_hundred_thousand_that_are_gone_are_told_in_no_time),
		cmocka_unit_test(paths_name_what_is_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
