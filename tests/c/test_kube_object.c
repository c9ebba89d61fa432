/* Records as objects of the Kubernetes API and back: names, ages, both dialects, other programs' Leases. */
#include "kube_object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kube_seen.h"
#include "rfc3339.h"
#include "sha256.h"

#define WALL_US INT64_C(1767323045000000) /* 2026-01-02T03:04:05Z */
#define META "\"metadata\":{\"name\":\"%s\",\"uid\":\"u1\",\"resourceVersion\":\"41\""

static struct kon_err err;

static cJSON *parse(const char *text)
{
	cJSON *root = kon_kube_parse(text, strlen(text), &err);
	if (root == NULL)
		fail_msg("%s: %s", err.detail, text);
	return root;
}

/* Reads text as a record of the kind; the object must be deleted after the record. */
static cJSON *read_ok(const struct kon_kube_dialect *dialect, const char *kind, const char *text, int64_t date_s,
                      struct kon_kube_record *out)
{
	cJSON *root = parse(text);
	if (kon_kube_read(dialect, root, kind, date_s, out, &err) != 0)
		fail_msg("%s", err.detail);
	return root;
}

static void read_fails(const struct kon_kube_dialect *dialect, const char *kind, const char *text, int code,
                       const char *words)
{
	struct kon_kube_record out;
	cJSON *root = parse(text);
	assert_int_equal(kon_kube_read(dialect, root, kind, 0, &out, &err), code);
	if (strstr(err.detail, words) == NULL)
		fail_msg("'%s' is not in: %s", words, err.detail);
	cJSON_Delete(root);
}

static void what_cannot_be_read_is_listed_by_its_name_and_the_reason(void **state)
{
	static const struct {
		const char *object, *annotations, *name;
	} cases[] = {
		{"once.x", "{\"konductor.io/spec\":\"{}\",\"konductor.io/status\":\"[\"}", "x"},
		{"other", "{\"konductor.io/spec\":\"{}\"}", "other"}, /* not the name of a Once */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[400];
		struct kon_kube_record out;
		snprintf(text, sizeof(text),
		         "{\"metadata\":{\"name\":\"%s\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"annotations\":%s}}",
		         cases[i].object, cases[i].annotations);
		cJSON *root = parse(text);
		assert_int_equal(kon_kube_read(&kon_kube_lease, root, "Once", 0, &out, &err), KON_CORRUPT);
		struct kon_err why = err;
		assert_int_equal(kon_kube_read_damaged(&kon_kube_lease, root, "Once", &why, &out, &err), 0);
		struct kon_record *copy = kon_record_copy(&out.record);
		kon_kube_record_done(&out);
		cJSON_Delete(root);
		assert_string_equal(copy->name, cases[i].name);
		assert_string_equal(copy->damage, why.detail);
		assert_int_equal(copy->rev, 7);
		assert_int_equal(copy->spec_size + copy->status_size, 0);
		free(copy);
	}
}

static void what_has_no_version_cannot_even_be_listed(void **state)
{
	(void)state;
	struct kon_kube_record out;
	struct kon_err why = {.code = KON_CORRUPT, .detail = "damaged"};
	cJSON *root = parse("{\"metadata\":{\"name\":\"x\",\"uid\":\"u\"}}");
	assert_int_equal(kon_kube_read_damaged(&kon_kube_crd, root, "Once", &why, &out, &err), KON_CORRUPT);
	cJSON_Delete(root);
}

static void names_of_objects_are_kinds_and_names(void **state)
{
	static const struct {
		const struct kon_kube_dialect *dialect;
		const char *kind, *name, *object;
	} cases[] = {
		{&kon_kube_crd, "Once", "a.b", "a.b"},    {&kon_kube_crd, "Lease", "once.x", "once.x"},
		{&kon_kube_crd, "Gate", "a", "gate.a"},   {&kon_kube_lease, "Lease", "a.b", "a.b"},
		{&kon_kube_lease, "Once", "x", "once.x"}, {&kon_kube_lease, "RwLock", "x-1", "rwlock.x-1"},
	};
	char out[KON_KUBE_NAME];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(kon_kube_object_name(cases[i].dialect, cases[i].kind, cases[i].name, out, &err), 0);
		assert_string_equal(out, cases[i].object);
	}
	assert_int_equal(kon_kube_object_name(&kon_kube_lease, "Lease", "once.x", out, &err), KON_USAGE);
	assert_non_null(strstr(err.detail, "once."));
	assert_int_equal(kon_kube_object_name(&kon_kube_crd, "Once", "A", out, &err), KON_USAGE);
	assert_int_equal(kon_kube_object_name(&kon_kube_crd, "once", "a", out, &err), KON_USAGE);
}

static void names_that_are_too_long_are_shortened_and_come_back_whole(void **state)
{
	char name[KON_KUBE_NAME], object[KON_KUBE_NAME], other[KON_KUBE_NAME];
	(void)state;
	memset(name, 'a', 253);
	name[253] = '\0';
	for (size_t i = 60; i < 250; i += 61)
		name[i] = '.';
	name[182] = '-'; /* would be the last before the digest, where no '-' may be */
	assert_int_equal(kon_kube_object_name(&kon_kube_lease, "Once", name, object, &err), 0);
	assert_true(strlen(object) <= 253);
	assert_int_equal(strncmp(object, "once.aaa", 8), 0);
	assert_int_equal(kon_store_check_name("Once", object, &err), 0);
	char *body = kon_kube_make(&kon_kube_lease, "ns", "Once", name, "{}", 2, &err);
	cJSON *root = parse(body);
	cJSON *metadata = cJSON_GetObjectItem(root, "metadata");
	cJSON_AddStringToObject(metadata, "uid", "u");
	cJSON_AddStringToObject(metadata, "resourceVersion", "1");
	struct kon_kube_record read;
	assert_int_equal(kon_kube_read(&kon_kube_lease, root, "Once", 0, &read, &err), 0);
	assert_string_equal(read.record.name, name);
	kon_kube_record_done(&read);
	name[252] = 'b';
	assert_int_equal(kon_kube_object_name(&kon_kube_lease, "Once", name, other, &err), 0);
	assert_string_not_equal(object, other);
	cJSON_Delete(root);
	cJSON_free(body);
}

static void custom_resources_are_made_with_spec_and_label(void **state)
{
	(void)state;
	char *once = kon_kube_make(&kon_kube_crd, "ns", "Once", "a", "{\"ttl\":\"1h\"}", 12, &err);
	assert_string_equal(once, "{\"apiVersion\":\"konductor.io/v1\",\"kind\":\"Once\",\"metadata\":{\"name\":\"a\","
	                          "\"namespace\":\"ns\",\"labels\":{\"konductor.io/kind\":\"Once\"}},"
	                          "\"spec\":{\"ttl\":\"1h\"}}");
	char *gate = kon_kube_make(&kon_kube_crd, "ns", "Gate", "a", "{\"n\":1}trailing", 7, &err);
	assert_string_equal(gate,
	                    "{\"apiVersion\":\"konductor.io/v1\",\"kind\":\"Record\",\"metadata\":{\"name\":\"gate.a\","
	                    "\"namespace\":\"ns\",\"labels\":{\"konductor.io/kind\":\"Gate\"}},"
	                    "\"spec\":{\"kind\":\"Gate\",\"data\":{\"n\":1}}}");
	cJSON_free(once);
	cJSON_free(gate);
}

static void a_status_is_replaced_with_uid_and_version(void **state)
{
	struct kon_record record = {.kind = "Once", .name = "a", .uid = "u1", .rev = 41};
	struct kon_kube_change change = {.record = &record, .name_space = "ns", .status = "{\"op\":\"x\"}", .size = 10};
	(void)state;
	char *body = kon_kube_change(&kon_kube_crd, NULL, &change, &err);
	assert_string_equal(body, "{\"apiVersion\":\"konductor.io/v1\",\"kind\":\"Once\",\"metadata\":{\"name\":\"a\","
	                          "\"namespace\":\"ns\",\"uid\":\"u1\",\"resourceVersion\":\"41\"},"
	                          "\"status\":{\"op\":\"x\"}}");
	cJSON_free(body);
	body = kon_kube_delete(&record, &err);
	assert_string_equal(body, "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"preconditions\":{\"uid\":\"u1\","
	                          "\"resourceVersion\":\"41\"},\"propagationPolicy\":\"Background\"}");
	cJSON_free(body);
}

static void a_custom_resource_is_read_with_every_digit(void **state)
{
	struct kon_kube_record out;
	char text[900];
	(void)state;
	snprintf(text, sizeof(text),
	         "{" META ",\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"generation\":3,"
	         "\"deletionTimestamp\":\"2026-01-02T03:04:06Z\"},\"spec\":{\"ttl\":\"1h\"},"
	         "\"status\":{\"fence\":9007199254740991,\"half\":0.1,\"big\":1000000000000000}}",
	         "a");
	cJSON *root = read_ok(&kon_kube_crd, "Once", text, 0, &out);
	assert_string_equal(out.record.kind, "Once");
	assert_string_equal(out.record.name, "a");
	assert_string_equal(out.record.uid, "u1");
	assert_string_equal(out.record.created, "2026-01-02T03:04:05Z");
	assert_int_equal(out.record.rev, 41);
	assert_int_equal(out.record.generation, 3);
	assert_true(out.record.deleting);
	assert_string_equal(out.record.spec, "{\"ttl\":\"1h\"}");
	assert_string_equal(out.record.status,
	                    "{\"fence\":9007199254740991,\"half\":0.10000000000000001,\"big\":1000000000000000}");
	kon_kube_record_done(&out);
	cJSON_Delete(root);
}

static void what_a_definition_defaults_is_no_status(void **state)
{
	static const struct {
		const char *status, *read;
	} cases[] = {{"{\"phase\":\"Pending\"}", "{}"},
	             {"{}", "{}"},
	             {"{\"phase\":\"Pending\",\"op\":\"x\"}", "{\"phase\":\"Pending\",\"op\":\"x\"}"},
	             {"{\"holder\":\"\"}", "{\"holder\":\"\"}"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kon_kube_record out;
		char text[300];
		snprintf(text, sizeof(text), "{" META "},\"status\":%s}", "a", cases[i].status);
		cJSON *root = read_ok(&kon_kube_crd, "Lease", text, 0, &out);
		assert_string_equal(out.record.status, cases[i].read);
		assert_string_equal(out.record.spec, "{}");
		kon_kube_record_done(&out);
		cJSON_Delete(root);
	}
}

static void records_of_users_kinds_are_told_apart(void **state)
{
	struct kon_kube_record out;
	char text[400];
	(void)state;
	snprintf(text, sizeof(text),
	         "{" META "},\"spec\":{\"kind\":\"Gate\",\"data\":{\"n\":1}},\"status\":{\"phase\":\"x\"}}", "gate.a");
	cJSON *root = read_ok(&kon_kube_crd, "Gate", text, 0, &out);
	assert_string_equal(out.record.name, "a");
	assert_string_equal(out.record.spec, "{\"n\":1}");
	assert_string_equal(out.record.status, "{\"phase\":\"x\"}");
	kon_kube_record_done(&out);
	cJSON_Delete(root);
	read_fails(&kon_kube_crd, "GATE", text, KON_CORRUPT, "of kind Gate");
	read_fails(&kon_kube_crd, "Door", text, KON_CORRUPT, "cannot be a Door");
	snprintf(text, sizeof(text),
	         "{" META ",\"labels\":{\"konductor.io/kind\":\"Door\"}},\"spec\":{\"kind\":\"Gate\"}}", "gate.a");
	read_fails(&kon_kube_crd, "Gate", text, KON_CORRUPT, "is a Door by its label");
}

static void versions_that_are_no_numbers_are_refused(void **state)
{
	static const char *const bad[] = {"", "x", "1x", "-1", "9007199254740993", "99999999999999999999", " 1"};
	int64_t rev;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(kon_kube_rev(bad[i], &rev, &err), KON_CORRUPT);
	assert_int_equal(kon_kube_rev(NULL, &rev, &err), KON_CORRUPT);
	assert_int_equal(kon_kube_rev("9007199254740992", &rev, &err), 0);
	assert_true(rev == INT64_C(9007199254740992));
	read_fails(&kon_kube_crd, "Once", "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"a\"}}",
	           KON_CORRUPT, "whole number");
	read_fails(&kon_kube_crd, "Once", "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}", KON_CORRUPT,
	           "uid");
	read_fails(&kon_kube_crd, "Once", "{}", KON_CORRUPT, "metadata");
}

static int64_t age(const char *managed, int64_t date_s)
{
	struct kon_kube_record out;
	char text[1200];
	snprintf(text, sizeof(text), "{" META ",\"managedFields\":%s}}", "a", managed);
	cJSON *root = read_ok(&kon_kube_crd, "Once", text, date_s, &out);
	int64_t age_ms = out.record.age_ms;
	kon_kube_record_done(&out);
	cJSON_Delete(root);
	return age_ms;
}

static void age_counts_from_the_newest_write_that_is_not_the_queues(void **state)
{
	static const char all[] =
		"[{\"manager\":\"konductor-holder\",\"time\":\"2026-01-02T03:04:05Z\",\"subresource\":\"status\"},"
		"{\"manager\":\"kubectl\",\"time\":\"2026-01-02T03:04:01Z\"},"
		"{\"manager\":\"konductor-queue\",\"time\":\"2026-01-02T03:04:09Z\"}]";
	int64_t date_s = WALL_US / 1000000;
	(void)state;
	assert_int_equal(age(all, date_s + 7), 7000);
	assert_int_equal(age(all, date_s - 7), 0);
	assert_int_equal(age(all, 0), 0);
	assert_int_equal(age("[]", date_s), 0);
	assert_int_equal(age("[{\"manager\":\"konductor-queue\",\"time\":\"2026-01-02T03:04:09Z\"}]", date_s + 100), 0);
	assert_int_equal(age("[{\"manager\":\"x\",\"time\":\"yesterday\"}]", date_s), 0);
}

/* ---- coordination Leases ---- */

#define OURS                                                                                                           \
	"{\\\"holder\\\":\\\"pod-a\\\",\\\"session\\\":\\\"s1\\\",\\\"bound\\\":\\\"process\\\",\\\"fence\\\":7,"      \
	"\\\"ttlMs\\\":15000,\\\"op\\\":\\\"s1:1\\\"}"

static const char *lease(const char *name, const char *spec, const char *status, const char *waiters)
{
	static char text[2000];
	snprintf(text, sizeof(text),
	         "{" META ",\"labels\":{\"a\":\"b\"},\"managedFields\":[{}],\"ownerReferences\":[{\"name\":\"o\"}],"
	         "\"annotations\":{\"theirs\":\"kept\"%s%s%s%s%s%s}},\"spec\":%s}",
	         name,
	         status != NULL ? ",\"konductor.io/spec\":\"{\\\"ttl\\\":\\\"15s\\\"}\",\"konductor.io/status\":\""
	                        : "",
	         status != NULL ? status : "", status != NULL ? "\"" : "",
	         waiters != NULL ? ",\"konductor.io/waiters\":\"" : "", waiters != NULL ? waiters : "",
	         waiters != NULL ? "\"" : "", spec);
	return text;
}

static void status_of(const char *kind, const char *text, const char *spec, const char *status)
{
	struct kon_kube_record out;
	cJSON *root = read_ok(&kon_kube_lease, kind, text, 0, &out);
	assert_string_equal(out.record.status, status);
	assert_string_equal(out.record.spec, spec);
	kon_kube_record_done(&out);
	cJSON_Delete(root);
}

static void our_status_counts_while_the_holder_agrees(void **state)
{
	(void)state;
	status_of("Lease",
	          lease("a", "{\"holderIdentity\":\"pod-a_s1\",\"leaseDurationSeconds\":15}", OURS,
	                "[{\\\"id\\\":\\\"b\\\"}]"),
	          "{\"ttl\":\"15s\"}",
	          "{\"holder\":\"pod-a\",\"session\":\"s1\",\"bound\":\"process\",\"fence\":7,\"ttlMs\":15000,\"op\":"
	          "\"s1:1\","
	          "\"waiters\":[{\"id\":\"b\"}]}");
	status_of("Lease",
	          lease("a", "{\"holderIdentity\":\"h_7\"}",
	                "{\\\"holder\\\":\\\"h\\\",\\\"bound\\\":\\\"time\\\","
	                "\\\"session\\\":\\\"\\\",\\\"fence\\\":7}",
	                NULL),
	          "{\"ttl\":\"15s\"}", "{\"holder\":\"h\",\"bound\":\"time\",\"session\":\"\",\"fence\":7}");
	status_of("Once", lease("once.a", "{}", "{\\\"executed\\\":true,\\\"executor\\\":\\\"p\\\"}", NULL),
	          "{\"ttl\":\"15s\"}", "{\"executed\":true,\"executor\":\"p\"}");
}

static void a_foreign_holder_is_shown_with_our_fence_and_without_our_queue(void **state)
{
	(void)state;
	status_of("Lease",
	          lease("a",
	                "{\"holderIdentity\":\"them\",\"leaseDurationSeconds\":10,\"leaseTransitions\":4,"
	                "\"renewTime\":\"2026-01-02T03:04:05.000000Z\"}",
	                OURS, "[{\\\"id\\\":\\\"b\\\"}]"),
	          "{\"ttl\":\"15s\"}",
	          "{\"holder\":\"them\",\"session\":\"\",\"bound\":\"process\",\"op\":\"foreign:them:2026-01-02T03:04:"
	          "05.000000Z:4\","
	          "\"phase\":\"Held\",\"ttlMs\":10000,\"foreign\":true,\"fence\":7}");
	status_of("Lease", lease("a", "{\"holderIdentity\":\"them\"}", NULL, NULL), "{}",
	          "{\"holder\":\"them\",\"session\":\"\",\"bound\":\"process\",\"op\":\"foreign:them::0\",\"phase\":"
	          "\"Held\","
	          "\"ttlMs\":15000,\"foreign\":true}");
	status_of("Lease", lease("a", "{\"holderIdentity\":\"\",\"leaseDurationSeconds\":3}", NULL, NULL),
	          "{\"ttl\":\"3s\"}", "{}");
}

static void a_hold_that_another_program_freed_is_free(void **state)
{
	(void)state;
	status_of("Lease", lease("a", "{\"holderIdentity\":\"\"}", OURS, "[{\\\"id\\\":\\\"b\\\"}]"),
	          "{\"ttl\":\"15s\"}",
	          "{\"fence\":7,\"op\":\"s1:1\",\"session\":\"\",\"holder\":\"\",\"phase\":\"Available\"}");
	status_of("Once",
	          lease("once.a", "{}", "{\\\"executor\\\":\\\"p\\\",\\\"session\\\":\\\"s\\\",\\\"fence\\\":2}", NULL),
	          "{\"ttl\":\"15s\"}", "{\"fence\":2,\"session\":\"\",\"executor\":\"\"}");
}

static void leases_of_others_are_no_records_of_other_kinds(void **state)
{
	(void)state;
	read_fails(&kon_kube_lease, "Once", lease("once.a", "{}", NULL, NULL), KON_CORRUPT, "not made by konductor");
	read_fails(&kon_kube_lease, "Once", lease("once.a", "{\"holderIdentity\":\"them\"}", "{}", NULL), KON_CORRUPT,
	           "another program uses this Lease");
	read_fails(&kon_kube_lease, "Once", lease("a", "{}", "{}", NULL), KON_CORRUPT, "cannot be a Once");
	read_fails(&kon_kube_lease, "Lease", lease("a", "{}", "nonsense", NULL), KON_CORRUPT,
	           "konductor.io/status is damaged");
	read_fails(&kon_kube_lease, "Lease", lease("a", "{}", "[]", NULL), KON_CORRUPT, "no JSON object");
}

/* The Lease after status was written over seen. */
static cJSON *change_lease(const char *seen_text, const char *status, enum kon_store_by by, int64_t wall_us)
{
	struct kon_record record = {.kind = "Lease", .name = "a", .uid = "u1", .rev = 41};
	struct kon_kube_change change = {.record = &record,
	                                 .name_space = "ns",
	                                 .status = status,
	                                 .size = strlen(status),
	                                 .by = by,
	                                 .wall_us = wall_us};
	cJSON *seen = parse(seen_text);
	char *body = kon_kube_change(&kon_kube_lease, seen, &change, &err);
	if (body == NULL)
		fail_msg("%s", err.detail);
	cJSON *root = parse(body);
	cJSON_free(body);
	cJSON_Delete(seen);
	return root;
}

static const char *spec_text(const cJSON *root)
{
	static char text[500];
	char *printed = kon_kube_print(cJSON_GetObjectItem(root, "spec"));
	snprintf(text, sizeof(text), "%s", printed);
	cJSON_free(printed);
	return text;
}

static void a_hold_is_written_for_others_to_read(void **state)
{
	(void)state;
	cJSON *root =
		change_lease(lease("a", "{\"strategy\":\"theirs\"}", NULL, NULL),
	                     "{\"holder\":\"p\",\"session\":\"s\",\"bound\":\"process\",\"fence\":9,\"ttlMs\":3001,"
	                     "\"waiters\":[{\"id\":\"w\"}],\"foreign\":true}",
	                     KON_BY_HOLDER, WALL_US);
	assert_string_equal(
		spec_text(root),
		"{\"strategy\":\"theirs\",\"leaseTransitions\":0,\"acquireTime\":\"2026-01-02T03:04:05.000000Z\","
		"\"holderIdentity\":\"p_s\",\"leaseDurationSeconds\":4,\"renewTime\":\"2026-01-02T03:04:05.000000Z\"}");
	char *metadata = kon_kube_print(cJSON_GetObjectItem(root, "metadata"));
	assert_string_equal(
		metadata,
		"{\"name\":\"a\",\"namespace\":\"ns\",\"uid\":\"u1\",\"resourceVersion\":\"41\",\"labels\":{\"a\":"
		"\"b\","
		"\"konductor.io/kind\":\"Lease\"},\"ownerReferences\":[{\"name\":\"o\"}],\"annotations\":{"
		"\"theirs\":\"kept\",\"konductor.io/waiters\":\"[{\\\"id\\\":\\\"w\\\"}]\",\"konductor.io/status\":"
		"\"{\\\"holder\\\":\\\"p\\\",\\\"session\\\":\\\"s\\\",\\\"bound\\\":\\\"process\\\",\\\"fence\\\":9,"
		"\\\"ttlMs\\\":3001}\"}}");
	cJSON_free(metadata);
	cJSON_Delete(root);
}

#define HELD                                                                                                           \
	"{\"holderIdentity\":\"p_s\",\"leaseDurationSeconds\":15,\"leaseTransitions\":2,"                              \
	"\"acquireTime\":\"2026-01-02T03:00:00.000000Z\",\"renewTime\":\"2026-01-02T03:04:05.000000Z\"}"
#define HELD_STATUS "{\"holder\":\"p\",\"session\":\"s\",\"ttlMs\":15000,\"fence\":1}"

static void a_renewal_moves_the_time_by_a_second_at_least(void **state)
{
	static const struct {
		int64_t later_us;
		const char *renewed;
	} cases[] = {{200000, "2026-01-02T03:04:06.000000Z"},
	             {-3600000000, "2026-01-02T03:04:06.000000Z"},
	             {5000000, "2026-01-02T03:04:10.000000Z"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cJSON *root = change_lease(lease("a", HELD, NULL, NULL), HELD_STATUS, KON_BY_HOLDER,
		                           WALL_US + cases[i].later_us);
		const cJSON *spec = cJSON_GetObjectItem(root, "spec");
		assert_string_equal(kon_kube_text(spec, "renewTime"), cases[i].renewed);
		assert_string_equal(kon_kube_text(spec, "acquireTime"), "2026-01-02T03:00:00.000000Z");
		assert_int_equal(cJSON_GetObjectItem(spec, "leaseTransitions")->valueint, 2);
		cJSON_Delete(root);
	}
}

static void who_waits_does_not_make_a_hold_look_younger(void **state)
{
	(void)state;
	cJSON *root = change_lease(lease("a", HELD, NULL, NULL), HELD_STATUS, KON_BY_QUEUE, WALL_US + 5000000);
	assert_string_equal(kon_kube_text(cJSON_GetObjectItem(root, "spec"), "renewTime"),
	                    "2026-01-02T03:04:05.000000Z");
	cJSON_Delete(root);
	root = change_lease(lease("a", "{\"holderIdentity\":\"them\",\"leaseDurationSeconds\":9}", NULL, NULL),
	                    "{\"holder\":\"them\",\"session\":\"\",\"bound\":\"process\",\"foreign\":true}",
	                    KON_BY_QUEUE, WALL_US);
	assert_string_equal(spec_text(root), "{\"holderIdentity\":\"them\",\"leaseDurationSeconds\":9}");
	cJSON_Delete(root);
}

static void a_release_and_a_takeover_are_seen_by_others(void **state)
{
	(void)state;
	cJSON *root = change_lease(lease("a", HELD, NULL, NULL), "{\"holder\":\"\",\"session\":\"\",\"fence\":1}",
	                           KON_BY_HOLDER, WALL_US + 9000000);
	assert_string_equal(
		spec_text(root),
		"{\"leaseTransitions\":2,\"acquireTime\":\"2026-01-02T03:00:00.000000Z\",\"holderIdentity\":\"\","
		"\"leaseDurationSeconds\":1,\"renewTime\":\"2026-01-02T03:04:14.000000Z\"}");
	cJSON_Delete(root);
	root = change_lease(lease("a", HELD, NULL, NULL),
	                    "{\"holder\":\"q\",\"bound\":\"time\",\"fence\":8,\"ttlMs\":1}", KON_BY_HOLDER,
	                    WALL_US + 9000000);
	assert_string_equal(
		spec_text(root),
		"{\"leaseTransitions\":3,\"acquireTime\":\"2026-01-02T03:04:14.000000Z\",\"holderIdentity\":\"q_8\","
		"\"leaseDurationSeconds\":1,\"renewTime\":\"2026-01-02T03:04:14.000000Z\"}");
	cJSON_Delete(root);
}

static void fields_that_an_old_definition_dropped_are_named(void **state)
{
	(void)state;
	assert_int_equal(kon_kube_check_kept("status", "{\"a\":1,\"op\":2}", "{\"op\":3,\"a\":1,\"more\":1}", &err), 0);
	assert_int_equal(kon_kube_check_kept("status", "{\"a\":1,\"op\":2,\"fence\":1}", "{\"a\":1}", &err),
	                 KON_VERSION);
	assert_non_null(strstr(err.detail, "dropped op, fence of the status"));
	assert_non_null(strstr(err.detail, "konductor crds | kubectl apply -f -"));
}

static void answers_that_are_no_objects_are_refused(void **state)
{
	static const char *const bad[] = {"", "[]", "{", "{\"a\":\"\\u0000}", "null", "<html>"};
	static const char with_byte[] = "{\"a\":\"\\u0000\0\"}";
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_null(kon_kube_parse(bad[i], strlen(bad[i]), &err));
	assert_null(kon_kube_parse(with_byte, sizeof(with_byte) - 1, &err));
	cJSON *root = parse("{\"a\":\"\\\\u0000\"}");
	assert_false(kon_kube_has_nul(root));
	assert_string_equal(kon_kube_text(root, "a"), "\\u0000");
	cJSON_Delete(root);
}

static void a_nul_in_a_text_damages_its_object_and_no_other_of_a_list(void **state)
{
	struct kon_kube_record out;
	(void)state;
	cJSON *list = parse("{\"items\":[{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"1\"}},"
	                    "{\"metadata\":{\"name\":\"b\",\"uid\":\"u\",\"resourceVersion\":\"2\"},"
	                    "\"status\":{\"waiters\":[{\"id\":\"x\\u0000y\"}]}},"
	                    "{\"metadata\":{\"name\":\"c\",\"uid\":\"u\",\"resourceVersion\":\"3\"},"
	                    "\"spec\":{\"\\u0000\":1}}]}");
	static const int codes[] = {0, KON_CORRUPT, KON_CORRUPT};
	for (int i = 0; i < 3; i++) {
		const cJSON *item = cJSON_GetArrayItem(cJSON_GetObjectItem(list, "items"), i);
		assert_int_equal(kon_kube_read(&kon_kube_crd, item, "Once", 0, &out, &err), codes[i]);
		if (codes[i] == 0)
			kon_kube_record_done(&out);
		else
			assert_non_null(strstr(err.detail, "has a NUL character"));
	}
	cJSON_Delete(list);
	cJSON *event = parse("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"\\u0000\"}}}");
	assert_true(kon_kube_has_nul(cJSON_GetObjectItem(event, "object")));
	cJSON_Delete(event);
}

static void the_last_objects_seen_are_found_by_name_uid_and_version(void **state)
{
	struct kon_kube_seen seen = {0};
	char text[200], name[20];
	(void)state;
	for (int i = 0; i < KON_KUBE_SEEN + 5; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		snprintf(text, sizeof(text), "{" META "},\"n\":%d}", name, i);
		cJSON *root = parse(text);
		kon_kube_seen_put(&seen, root);
		kon_kube_seen_put(&seen, root);
		cJSON_Delete(root);
		if (i > 0)
			assert_non_null(kon_kube_seen_get(&seen, "n0", "u1", 41)); /* used all the time */
	}
	assert_null(kon_kube_seen_get(&seen, "n1", "u1", 41));
	assert_non_null(kon_kube_seen_get(&seen, "n36", "u1", 41));
	assert_null(kon_kube_seen_get(&seen, "n36", "u2", 41));
	assert_null(kon_kube_seen_get(&seen, "n36", "u1", 40));
	kon_kube_seen_done(&seen);
}

static void times_are_read_and_printed(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} good[] = {{"1970-01-01T00:00:00Z", 0},
	            {"2026-01-02T03:04:05Z", WALL_US},
	            {"2026-01-02T03:04:05.5Z", WALL_US + 500000},
	            {"2026-01-02T05:04:05.000001+02:00", WALL_US + 1},
	            {"2026-01-02T03:04:05.123456789Z", WALL_US + 123456},
	            {"2024-02-29T23:59:60Z", INT64_C(1709251200000000)}};
	static const char *const bad[] = {"",
	                                  "2026-01-02",
	                                  "2026-13-02T03:04:05Z",
	                                  "2026-01-02T24:04:05Z",
	                                  "2026-01-02T03:04:05",
	                                  "2026-01-02T03:04:05.Z",
	                                  "2026-01-02T03:04:05Zx",
	                                  "1969-01-02T03:04:05Z",
	                                  "2026-01-02T03:04:05+2:00",
	                                  "2026-01-0aT03:04:05Z"};
	int64_t us;
	char out[KON_RFC3339_SIZE];
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(kon_rfc3339_read(good[i].text, &us));
		assert_true(us == good[i].us);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(kon_rfc3339_read(bad[i], &us));
	kon_rfc3339_print(out, WALL_US + 42);
	assert_string_equal(out, "2026-01-02T03:04:05.000042Z");
	kon_rfc3339_print(out, INT64_C(253402300799999999));
	assert_string_equal(out, "9999-12-31T23:59:59.999999Z");
}

static void digests_are_those_of_the_standard(void **state)
{
	static const struct {
		size_t size;
		const char *hex;
	} of_a[] = {{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	            {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
	            {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
	            {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
	            {253, "32859a3ab65ac52932e16fad6060653636d6746f52b4cb205f4f121569c499f5"}};
	char text[300], hex[65];
	(void)state;
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < sizeof(of_a) / sizeof(*of_a); i++) {
		kon_sha256_hex(text, of_a[i].size, hex);
		assert_string_equal(hex, of_a[i].hex);
	}
	kon_sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_objects_are_kinds_and_names),
		cmocka_unit_test(names_that_are_too_long_are_shortened_and_come_back_whole),
		cmocka_unit_test(custom_resources_are_made_with_spec_and_label),
		cmocka_unit_test(a_status_is_replaced_with_uid_and_version),
		cmocka_unit_test(a_custom_resource_is_read_with_every_digit),
		cmocka_unit_test(what_a_definition_defaults_is_no_status),
		cmocka_unit_test(records_of_users_kinds_are_told_apart),
		cmocka_unit_test(versions_that_are_no_numbers_are_refused),
		cmocka_unit_test(age_counts_from_the_newest_write_that_is_not_the_queues),
		cmocka_unit_test(our_status_counts_while_the_holder_agrees),
		cmocka_unit_test(a_foreign_holder_is_shown_with_our_fence_and_without_our_queue),
		cmocka_unit_test(a_hold_that_another_program_freed_is_free),
		cmocka_unit_test(leases_of_others_are_no_records_of_other_kinds),
		cmocka_unit_test(a_hold_is_written_for_others_to_read),
		cmocka_unit_test(a_renewal_moves_the_time_by_a_second_at_least),
		cmocka_unit_test(who_waits_does_not_make_a_hold_look_younger),
		cmocka_unit_test(a_release_and_a_takeover_are_seen_by_others),
		cmocka_unit_test(fields_that_an_old_definition_dropped_are_named),
		cmocka_unit_test(what_cannot_be_read_is_listed_by_its_name_and_the_reason),
		cmocka_unit_test(what_has_no_version_cannot_even_be_listed),
		cmocka_unit_test(answers_that_are_no_objects_are_refused),
		cmocka_unit_test(a_nul_in_a_text_damages_its_object_and_no_other_of_a_list),
		cmocka_unit_test(the_last_objects_seen_are_found_by_name_uid_and_version),
		cmocka_unit_test(times_are_read_and_printed),
		cmocka_unit_test(digests_are_those_of_the_standard),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
