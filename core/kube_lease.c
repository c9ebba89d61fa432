/*
 * Records as coordination Leases, so that nothing has to be installed.
 *
 * What other leader elections read is in the Lease's spec: holderIdentity is "" when free, else
 * holder_session, or holder_fence of a hold that is bound to time.  Our own record is in annotations
 * and counts only while it agrees with holderIdentity, because others write that and not these.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube_object.h"
#include "rfc3339.h"

#define IDENTITY 600
#define FOREIGN_TTL_S 15 /* client-go's, for a Lease that says none */

static const char ours_spec[] = "konductor.io/spec";
static const char ours_status[] = "konductor.io/status";
static const char ours_waiters[] = "konductor.io/waiters";

static bool is_lease(const char *kind)
{
	return strcmp(kind, "Lease") == 0;
}

static bool lease_prefixed(const char *kind)
{
	return !is_lease(kind);
}

static bool always(const char *kind)
{
	(void)kind;
	return true;
}

static const char *lease_plural(const char *kind)
{
	(void)kind;
	return "leases";
}

static int lease_check_name(const char *kind, const char *name, struct kon_err *err)
{
	if (is_lease(kind) && strncmp(name, "once.", 5) == 0)
		return kon_err_set(
			err, KON_USAGE,
			"a Lease cannot be called '%.80s' in this store: names that begin with 'once.' are those "
			"of Onces here",
			name);
	return 0;
}

/* ---- who holds ---- */

static const char *text_or(const cJSON *object, const char *key, const char *otherwise)
{
	const char *text = kon_kube_text(object, key);
	return text != NULL ? text : otherwise;
}

/* The holderIdentity of our status: "" while nobody holds. */
static void identity_of(const cJSON *status, char out[IDENTITY])
{
	const cJSON *fence = cJSON_GetObjectItemCaseSensitive(status, "fence");
	const char *holder = kon_kube_text(status, "holder");
	const char *session = text_or(status, "session", "");
	bool executed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "executed"));
	if (holder == NULL)
		holder = executed ? "" : text_or(status, "executor", "");
	out[0] = '\0';
	if (holder[0] == '\0')
		return;
	if (session[0] != '\0')
		snprintf(out, IDENTITY, "%.400s_%.100s", holder, session);
	else if (strcmp(text_or(status, "bound", "time"), "time") == 0)
		snprintf(out, IDENTITY, "%.400s_%.0f", holder, cJSON_IsNumber(fence) ? fence->valuedouble : 0);
}

/* ---- writing ---- */

static void set(cJSON *object, const char *key, cJSON *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	if (value != NULL)
		cJSON_AddItemToObject(object, key, value);
}

static cJSON *member_object(cJSON *parent, const char *key)
{
	cJSON *member = cJSON_GetObjectItemCaseSensitive(parent, key);
	if (cJSON_IsObject(member))
		return member;
	set(parent, key, NULL);
	return cJSON_AddObjectToObject(parent, key);
}

static void set_printed(cJSON *annotations, const char *key, const cJSON *value)
{
	char *text = value != NULL ? kon_kube_print(value) : NULL;
	set(annotations, key, text != NULL ? cJSON_CreateString(text) : NULL);
	cJSON_free(text);
}

static void set_time(cJSON *spec, const char *key, int64_t us)
{
	char text[KON_RFC3339_SIZE];
	kon_rfc3339_print(text, us);
	set(spec, key, cJSON_CreateString(text));
}

static cJSON *lease_make(const char *kind, cJSON *metadata, const char *spec, size_t size)
{
	char *text = strndup(spec, size);
	cJSON *root = cJSON_CreateObject();
	(void)kind;
	cJSON_AddStringToObject(root, "apiVersion", "coordination.k8s.io/v1");
	cJSON_AddStringToObject(root, "kind", "Lease");
	cJSON_AddItemToObject(root, "metadata", metadata);
	cJSON_AddStringToObject(member_object(metadata, "annotations"), ours_spec, text != NULL ? text : "{}");
	cJSON_AddObjectToObject(root, "spec");
	free(text);
	return root;
}

/* Others see that it lives when renewTime moves by a second at least, which is as fine as they compare it. */
static void renew(cJSON *spec, int64_t wall_us)
{
	int64_t last_us;
	const char *last = kon_kube_text(spec, "renewTime");
	if (last != NULL && kon_rfc3339_read(last, &last_us) && wall_us < last_us + 1000000)
		wall_us = last_us + 1000000;
	set_time(spec, "renewTime", wall_us);
}

static void set_hold(cJSON *spec, const cJSON *status, const struct kon_kube_change *change)
{
	char identity[IDENTITY];
	const char *was = text_or(spec, "holderIdentity", "");
	const cJSON *count = cJSON_GetObjectItemCaseSensitive(spec, "leaseTransitions");
	int64_t seconds = (kon_kube_whole(status, "ttlMs", INT32_MAX * INT64_C(1000), 1) + 999) / 1000;
	/* Still the hold of another program: its words stay as they are. */
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "foreign")) &&
	    strcmp(text_or(status, "holder", ""), was) == 0)
		return;
	identity_of(status, identity);
	bool moved = strcmp(was, identity) != 0;
	if (moved && identity[0] != '\0') {
		double transitions = cJSON_IsNumber(count) ? count->valuedouble + 1 : 0;
		set(spec, "leaseTransitions", cJSON_CreateNumber(transitions));
		set_time(spec, "acquireTime", change->wall_us);
	}
	set(spec, "holderIdentity", cJSON_CreateString(identity));
	set(spec, "leaseDurationSeconds", cJSON_CreateNumber((double)(seconds < 1 ? 1 : seconds)));
	/* Who waits must not make the hold of another look younger. */
	if (moved || change->by == KON_BY_HOLDER)
		renew(spec, change->wall_us);
}

static void copy_metadata(cJSON *to, const cJSON *from)
{
	const cJSON *member;
	cJSON_ArrayForEach(member, from)
	{
		/* Ours says name, uid and version; the rest of what is left out is the server's own. */
		bool servers = strcmp(member->string, "managedFields") == 0;
		if (!servers && cJSON_GetObjectItemCaseSensitive(to, member->string) == NULL)
			cJSON_AddItemToObject(to, member->string, cJSON_Duplicate(member, 1));
	}
}

static cJSON *lease_change(const cJSON *seen, cJSON *metadata, const struct kon_kube_change *change,
                           struct kon_err *err)
{
	cJSON *status = cJSON_ParseWithLength(change->status, change->size);
	cJSON *root = cJSON_Duplicate(seen, 1);
	if (!cJSON_IsObject(status) || root == NULL) {
		kon_err_set(err, KON_SYSTEM, "out of memory");
		cJSON_Delete(status);
		cJSON_Delete(root);
		cJSON_Delete(metadata);
		return NULL;
	}
	copy_metadata(metadata, cJSON_GetObjectItemCaseSensitive(root, "metadata"));
	set(root, "metadata", metadata);
	set(root, "apiVersion", cJSON_CreateString("coordination.k8s.io/v1"));
	set(root, "kind", cJSON_CreateString("Lease"));
	set_hold(member_object(root, "spec"), status, change);
	set(member_object(metadata, "labels"), KON_KUBE_LABEL, cJSON_CreateString(change->record->kind));
	set(status, "foreign", NULL);
	cJSON *annotations = member_object(metadata, "annotations");
	cJSON *waiters = cJSON_DetachItemFromObjectCaseSensitive(status, "waiters");
	set_printed(annotations, ours_waiters, waiters);
	set_printed(annotations, ours_status, status);
	cJSON_Delete(waiters);
	cJSON_Delete(status);
	return root;
}

/* ---- reading ---- */

/* The JSON object in an annotation; *out NULL when there is no such annotation. */
static int read_annotation(const cJSON *annotations, const char *key, cJSON **out, struct kon_err *err)
{
	const char *text = kon_kube_text(annotations, key);
	*out = text != NULL ? cJSON_Parse(text) : NULL;
	if (text != NULL && *out == NULL)
		return kon_err_set(err, KON_CORRUPT, "the annotation %s is damaged: not JSON", key);
	return 0;
}

static double number_or(const cJSON *object, const char *key, double otherwise)
{
	const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsNumber(number) ? number->valuedouble : otherwise;
}

/* The status of a lease that another program holds: as much of it as its Lease tells. */
static cJSON *foreign_status(const cJSON *spec, const char *identity, const cJSON *ours)
{
	char op[900];
	const cJSON *fence = cJSON_GetObjectItemCaseSensitive(ours, "fence");
	cJSON *status = cJSON_CreateObject();
	snprintf(op, sizeof(op), "foreign:%.600s:%.40s:%.0f", identity, text_or(spec, "renewTime", ""),
	         number_or(spec, "leaseTransitions", 0));
	cJSON_AddStringToObject(status, "holder", identity);
	cJSON_AddStringToObject(status, "session", "");
	cJSON_AddStringToObject(status, "bound", "process");
	cJSON_AddStringToObject(status, "op", op);
	cJSON_AddStringToObject(status, "phase", "Held");
	cJSON_AddNumberToObject(status, "ttlMs", number_or(spec, "leaseDurationSeconds", FOREIGN_TTL_S) * 1000);
	cJSON_AddBoolToObject(status, "foreign", 1);
	if (fence != NULL)
		cJSON_AddItemToObject(status, "fence", cJSON_Duplicate(fence, 1));
	return status;
}

/* Ours, but another program has freed it. */
static void free_status(cJSON *status)
{
	static const char *const of_hold[] = {"bound", "ttlMs", "accepted", "prio", "acquired", "expires", "preempt"};
	for (size_t i = 0; i < sizeof(of_hold) / sizeof(*of_hold); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(status, of_hold[i]);
	set(status, "session", cJSON_CreateString(""));
	if (cJSON_HasObjectItem(status, "holder")) {
		set(status, "holder", cJSON_CreateString(""));
		set(status, "phase", cJSON_CreateString("Available"));
	} else {
		set(status, "executor", cJSON_CreateString(""));
	}
}

static int settle(const cJSON *object, const char *kind, cJSON **status, cJSON **waiters, struct kon_err *err)
{
	char ours[IDENTITY];
	const cJSON *spec = cJSON_GetObjectItemCaseSensitive(object, "spec");
	const char *identity = text_or(spec, "holderIdentity", "");
	identity_of(*status, ours);
	if (strcmp(identity, ours) == 0)
		return 0;
	/* Who waited for that hold may be long gone: the annotations were not kept up. */
	cJSON_Delete(*waiters);
	*waiters = NULL;
	if (identity[0] == '\0') {
		free_status(*status);
		return 0;
	}
	if (!is_lease(kind))
		return kon_err_set(
			err, KON_CORRUPT,
			"its holderIdentity is '%.80s', which is not konductor's: another program uses this Lease",
			identity);
	cJSON *foreign = foreign_status(spec, identity, *status);
	cJSON_Delete(*status);
	*status = foreign;
	return 0;
}

static int read_status(const cJSON *object, const cJSON *annotations, const char *kind, char **out, struct kon_err *err)
{
	cJSON *status = NULL, *waiters = NULL;
	int code = read_annotation(annotations, ours_status, &status, err);
	/* Without a queue somebody joins again: a damaged one is told of, and damages nothing else. */
	if (code == 0 && read_annotation(annotations, ours_waiters, &waiters, err) != 0)
		waiters = cJSON_CreateString("not JSON");
	if (code == 0 && status == NULL)
		status = cJSON_CreateObject();
	if (code == 0 && !cJSON_IsObject(status))
		code = kon_err_set(err, KON_CORRUPT, "the annotation %s is damaged: no JSON object", ours_status);
	if (code == 0)
		code = settle(object, kind, &status, &waiters, err);
	if (code == 0 && waiters != NULL) {
		set(status, "waiters", waiters);
		waiters = NULL;
	}
	if (code == 0)
		*out = kon_kube_print(status);
	cJSON_Delete(waiters);
	cJSON_Delete(status);
	return code;
}

/* Ours, or what a Lease of another program amounts to. */
static int read_spec(const cJSON *object, const cJSON *annotations, const char *kind, char **out, struct kon_err *err)
{
	const char *text = kon_kube_text(annotations, ours_spec);
	double seconds = number_or(cJSON_GetObjectItemCaseSensitive(object, "spec"), "leaseDurationSeconds", 0);
	char made[40] = "{}";
	if (text == NULL && !is_lease(kind))
		return kon_err_set(err, KON_CORRUPT, "it was not made by konductor: a Lease without the annotation %s",
		                   ours_spec);
	if (text == NULL && seconds >= 1 && seconds < 1e9)
		snprintf(made, sizeof(made), "{\"ttl\":\"%.0fs\"}", seconds);
	*out = strdup(text != NULL ? text : made);
	return 0;
}

static int lease_read(const cJSON *object, const char *kind, struct kon_kube_record *out, struct kon_err *err)
{
	struct kon_err why = {0};
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
	const cJSON *annotations = cJSON_GetObjectItemCaseSensitive(metadata, "annotations");
	int code = read_spec(object, annotations, kind, &out->spec, &why);
	if (code == 0)
		code = read_status(object, annotations, kind, &out->status, &why);
	if (code == 0 && (out->spec == NULL || out->status == NULL))
		abort(); /* the guards kill what runs when we are gone */
	if (code != 0)
		kon_err_set(err, code, "the Lease %.80s cannot be read as the %s %.80s: %.200s",
		            text_or(metadata, "name", "?"), kind, out->name, why.detail);
	return code;
}

const struct kon_kube_dialect kon_kube_lease = {
	.word = "kube-lease",
	.group = "/apis/coordination.k8s.io/v1",
	.status = "",
	.whole = true,
	.holder = {"spec", "holderIdentity"},
	.plural = lease_plural,
	.prefixed = lease_prefixed,
	.labelled = always,
	.check_name = lease_check_name,
	.make = lease_make,
	.change = lease_change,
	.read = lease_read,
};
