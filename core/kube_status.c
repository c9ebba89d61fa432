#include "kube_status.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The server's own words, empty where it has none. */
struct words {
	cJSON *root;
	const char *reason;
	const char *message;
	const char *name; /* of what details speak of */
	const char *kind;
};

static const char *text_of(const cJSON *object, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
	return text != NULL ? text : "";
}

static struct words read_words(const char *body, size_t size)
{
	cJSON *root = cJSON_ParseWithLength(body, size);
	const cJSON *details = cJSON_GetObjectItemCaseSensitive(root, "details");
	return (struct words){
		.root = root,
		.reason = text_of(root, "reason"),
		.message = text_of(root, "message"),
		.name = text_of(details, "name"),
		.kind = text_of(details, "kind"),
	};
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static bool is_html(const char *content_type, const char *body, size_t size)
{
	size_t start = 0;
	while (start < size && strchr(" \t\r\n", body[start]) != NULL)
		start++;
	return strncasecmp(content_type, "text/html", 9) == 0 || (start < size && body[start] == '<');
}

static bool is_terminating(const struct words *words)
{
	const cJSON *cause;
	const cJSON *details = cJSON_GetObjectItemCaseSensitive(words->root, "details");
	cJSON_ArrayForEach(cause, cJSON_GetObjectItemCaseSensitive(details, "causes"))
	{
		if (strcmp(text_of(cause, "reason"), "NamespaceTerminating") == 0)
			return true;
	}
	return has(words->message, "because it is being terminated");
}

static int absent(const struct kon_kube_ask *ask, const struct words *words, struct kon_err *err)
{
	bool found_nothing = strcmp(words->reason, "NotFound") == 0;
	if (found_nothing && strcmp(words->kind, "namespaces") == 0)
		return kon_err_set(err, KON_CONFIG, "there is no namespace '%s' in this cluster", ask->name_space);
	if (found_nothing && ask->object != NULL && strcmp(words->name, ask->object) == 0)
		return kon_err_set(err, KON_ABSENT, "there is no %s %s in namespace %s", ask->resource, ask->object,
		                   ask->name_space);
	if (strcmp(ask->word, "kube") == 0)
		return kon_err_set(
			err, KON_CONFIG,
			"this cluster does not know %s.konductor.io: its custom resource definitions are not "
			"installed; konductor crds | kubectl apply -f - installs them, and the store kube-lease "
			"needs none",
			ask->resource);
	return kon_err_set(err, KON_CONFIG,
	                   "the server has no %s of coordination.k8s.io/v1: is it an API server? It said: %.200s",
	                   ask->resource, words->message);
}

static int forbidden(const struct kon_kube_ask *ask, const struct words *words, struct kon_err *err)
{
	if (is_terminating(words))
		return kon_err_set(err, KON_CONFIG,
		                   "the namespace '%s' is being deleted: nothing can be made in it any more",
		                   ask->name_space);
	return kon_err_set(err, KON_DENIED, "a right is missing: %.400s",
	                   words->message[0] != '\0' ? words->message : "the server said 403 and nothing more");
}

static int failed(const struct kon_kube_ask *ask, int status, const struct words *words, struct kon_err *err)
{
	const char *message = words->message[0] != '\0' ? words->message : "nothing more";
	if (has(words->message, "request is too large"))
		return kon_err_set(err, KON_TOO_BIG, "the record is larger than the API server takes: %.300s", message);
	/* A read has no effect that could be in doubt. */
	return kon_err_set(err, ask->verb == KON_KUBE_GET ? KON_STORE : KON_UNKNOWN,
	                   "the API server failed with status %d: %.300s", status, message);
}

/* A Lease that was deleted is not absent to a write: it would be made again, but for the uid that it is checked for. */
static bool has_no_uid(const struct words *words)
{
	static const char before[] = "UID in object meta: ";
	const char *found = strstr(words->message, before);
	return found != NULL && strspn(found + strlen(before), " ,") == strlen(found + strlen(before));
}

static int conflict(const struct kon_kube_ask *ask, const struct words *words, struct kon_err *err)
{
	const char *what = ask->object != NULL ? ask->object : ask->resource;
	if (ask->verb == KON_KUBE_CREATE && strcmp(words->reason, "AlreadyExists") == 0)
		return kon_err_set(err, KON_EXISTS, "there is a %s %s already", ask->resource, what);
	if (ask->verb == KON_KUBE_REPLACE && has_no_uid(words))
		return kon_err_set(err, KON_ABSENT, "there is no %s %s in namespace %s any more", ask->resource, what,
		                   ask->name_space);
	return kon_err_set(err, KON_CONFLICT, "%s changed since it was read", what);
}

static int refused(const struct kon_kube_ask *ask, int status, const struct words *words, struct kon_err *err)
{
	const char *what = ask->object != NULL ? ask->object : ask->resource;
	switch (status) {
	case 401:
		return kon_err_set(err, KON_DENIED,
		                   "the API server does not accept our credentials (401 Unauthorized)");
	case 403:
		return forbidden(ask, words, err);
	case 404:
		return absent(ask, words, err);
	case 409:
		return conflict(ask, words, err);
	case 410:
		return kon_err_set(err, ask->verb == KON_KUBE_GET ? KON_STORE : KON_CONFLICT,
		                   "the version of %s that was asked for is gone", what);
	case 413:
		return kon_err_set(err, KON_TOO_BIG, "%s is larger than the API server takes", what);
	case 429:
		return kon_err_set(err, KON_BUSY, "the API server asks to come back later");
	default:
		return kon_err_set(err, KON_CONFIG, "the API server refused %s with status %d: %.300s", what, status,
		                   words->message[0] != '\0' ? words->message : "nothing more");
	}
}

int kon_kube_judge(const struct kon_kube_ask *ask, int status, const char *content_type, const char *body, size_t size,
                   struct kon_err *err)
{
	bool html = is_html(content_type, body, size);
	if (status >= 200 && status < 300 && !html)
		return 0;
	if (html && status < 500)
		return kon_err_set(
			err, KON_STORE,
			"an HTML page came back (status %d), so a proxy or a login page answered and not the API "
			"server",
			status);
	if (status < 400)
		return kon_err_set(err, KON_STORE, "status %d came back, which no API server sends here", status);
	struct words words = read_words(body, size);
	int code = status >= 500 ? failed(ask, status, &words, err) : refused(ask, status, &words, err);
	cJSON_Delete(words.root);
	return code;
}
