/* What answers of API servers, and of proxies before them, mean; as kube-apiserver 1.34 words them. */
#include "kube_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GET KON_KUBE_GET
#define CREATE KON_KUBE_CREATE
#define REPLACE KON_KUBE_REPLACE
#define DELETE KON_KUBE_DELETE
#define JSON "application/json"
#define STATUS(reason, message, details)                                                                               \
	"{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"" reason "\",\"message\":\"" message                 \
	"\",\"details\":" details "}"
#define OF_A "{\"name\":\"a\",\"group\":\"konductor.io\",\"kind\":\"onces\"}"
#define NO_UID                                                                                                         \
	"StorageError: invalid object, Code: 4, AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID " \
	"in object meta: "

static const struct {
	enum kon_kube_verb verb;
	int status;
	const char *type, *body;
	int code;
	const char *words;
} cases[] = {
	{GET, 200, JSON, "{}", 0, ""},
	{CREATE, 201, JSON, "{}", 0, ""},
	{GET, 404, JSON, STATUS("NotFound", "onces.konductor.io \\\"a\\\" not found", OF_A), KON_ABSENT,
         "there is no onces a in namespace ns"},
	{REPLACE, 404, JSON, STATUS("NotFound", "onces.konductor.io \\\"a\\\" not found", OF_A), KON_ABSENT,
         "there is no"},
	{GET, 404, "text/plain", "404 page not found\n", KON_CONFIG, "konductor crds | kubectl apply -f -"},
	{GET, 404, JSON, STATUS("NotFound", "the server could not find the requested resource", "{}"), KON_CONFIG,
         "not installed"},
	{CREATE, 404, JSON,
         STATUS("NotFound", "namespaces \\\"ns\\\" not found", "{\"name\":\"ns\",\"kind\":\"namespaces\"}"), KON_CONFIG,
         "no namespace 'ns'"},
	{CREATE, 409, JSON, STATUS("AlreadyExists", "onces.konductor.io \\\"a\\\" already exists", OF_A), KON_EXISTS,
         "already"},
	{REPLACE, 409, JSON, STATUS("Conflict", "the object has been modified", OF_A), KON_CONFLICT,
         "changed since it was read"},
	{REPLACE, 409, JSON, STATUS("Conflict", NO_UID, OF_A), KON_ABSENT, "any more"},
	{REPLACE, 409, JSON, STATUS("Conflict", NO_UID "3f2a", OF_A), KON_CONFLICT, "changed"},
	{DELETE, 409, JSON, STATUS("Conflict", NO_UID "3f2a", OF_A), KON_CONFLICT, "changed"},
	{REPLACE, 410, JSON, STATUS("Expired", "too old", "{}"), KON_CONFLICT, "gone"},
	{GET, 410, JSON, STATUS("Expired", "too old", "{}"), KON_STORE, "gone"},
	{REPLACE, 422, JSON, STATUS("Invalid", "Once \\\"a\\\" is invalid: status.fence: must not go back", OF_A),
         KON_CONFIG, "status.fence: must not go back"},
	{CREATE, 400, JSON, STATUS("BadRequest", "strict decoding error", "{}"), KON_CONFIG, "strict decoding error"},
	{GET, 401, JSON, STATUS("Unauthorized", "Unauthorized", "{}"), KON_DENIED, "credentials"},
	{GET, 403, JSON,
         STATUS("Forbidden",
                "User \\\"u\\\" cannot get resource \\\"onces\\\" in API group \\\"konductor.io\\\" in the namespace "
                "\\\"ns\\\"",
                OF_A),
         KON_DENIED, "cannot get resource \"onces\""},
	{CREATE, 403, JSON,
         STATUS("Forbidden",
                "onces.konductor.io \\\"a\\\" is forbidden: unable to create new content in namespace ns because it is "
                "being terminated",
                "{\"causes\":[{\"reason\":\"NamespaceTerminating\"}]}"),
         KON_CONFIG, "is being deleted"},
	{CREATE, 403, JSON, STATUS("Forbidden", "because it is being terminated", "{}"), KON_CONFIG,
         "is being deleted"},
	{REPLACE, 413, JSON, STATUS("RequestEntityTooLarge", "limit is 3145728", "{}"), KON_TOO_BIG, "larger"},
	{REPLACE, 500, JSON, STATUS("", "etcdserver: request is too large", "{}"), KON_TOO_BIG, "larger"},
	{GET, 429, "text/plain", "Too many requests", KON_BUSY, "come back later"},
	{REPLACE, 500, JSON, STATUS("InternalError", "etcdserver: request timed out", "{}"), KON_UNKNOWN,
         "500: etcdserver: request timed out"},
	{GET, 500, JSON, STATUS("InternalError", "etcdserver: leader changed", "{}"), KON_STORE, "leader changed"},
	{DELETE, 504, JSON, STATUS("Timeout", "", "{}"), KON_UNKNOWN, "504"},
	{CREATE, 503, "text/plain", "apiserver is shutting down", KON_UNKNOWN, "503"},
	{REPLACE, 502, "text/html", "<html>Bad Gateway</html>", KON_UNKNOWN, "502"},
	{GET, 502, "text/html", "<html>Bad Gateway</html>", KON_STORE, "502"},
	{GET, 200, "text/html; charset=utf-8", "<html>Login</html>", KON_STORE, "an HTML page came back"},
	{REPLACE, 200, JSON, "\n <!doctype html>", KON_STORE, "a proxy or a login page"},
	{GET, 403, "text/html", "<html>Blocked</html>", KON_STORE, "HTML page"},
	{GET, 302, "text/plain", "", KON_STORE, "302"},
	{GET, 405, JSON, STATUS("MethodNotAllowed", "no", "{}"), KON_CONFIG, "405"},
};

static void every_answer_has_one_meaning(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kon_err err = {0};
		struct kon_kube_ask ask = {
			.verb = cases[i].verb, .word = "kube", .resource = "onces", .object = "a", .name_space = "ns"};
		int code = kon_kube_judge(&ask, cases[i].status, cases[i].type, cases[i].body, strlen(cases[i].body),
		                          &err);
		if (code != cases[i].code || strstr(err.detail, cases[i].words) == NULL)
			fail_msg("case %zu (%d %.60s): %s: %s", i, cases[i].status, cases[i].body, kon_err_word(code),
			         err.detail);
	}
}

static void a_list_is_never_absent(void **state)
{
	struct kon_err err = {0};
	struct kon_kube_ask ask = {.verb = GET, .word = "kube-lease", .resource = "leases", .name_space = "ns"};
	(void)state;
	assert_int_equal(kon_kube_judge(&ask, 404, "text/plain", "404 page not found", 18, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "is it an API server?"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_answer_has_one_meaning),
		cmocka_unit_test(a_list_is_never_absent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
