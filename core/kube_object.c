#include "kube_object.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "rfc3339.h"
#include "sha256.h"

#define MAX_REV ((int64_t)1 << 53) /* what Lua keeps exactly */

static const char full_name[] = "konductor.io/name";

/* ---- names ---- */

void kon_kube_lower(const char *kind, char out[64])
{
	size_t i = 0;
	for (; kind[i] != '\0' && i < 63; i++)
		out[i] = kind[i] >= 'A' && kind[i] <= 'Z' ? (char)(kind[i] - 'A' + 'a') : kind[i];
	out[i] = '\0';
}

/* "semaphore." or "". */
static void prefix_of(const struct kon_kube_dialect *dialect, const char *kind, char out[65])
{
	out[0] = '\0';
	if (dialect->prefixed(kind)) {
		kon_kube_lower(kind, out);
		memcpy(out + strlen(out), ".", 2);
	}
}

/* As much of the name as there is room for, and the digest of all of it. */
static void shorten(const char *prefix, const char *name, char out[KON_KUBE_NAME])
{
	char digest[65];
	size_t room = KON_KUBE_NAME - 1 - strlen(prefix) - sizeof(digest);
	kon_sha256_hex(name, strlen(name), digest);
	while (room > 0 && (name[room - 1] == '.' || name[room - 1] == '-'))
		room--;
	snprintf(out, KON_KUBE_NAME, "%s%.*s.%s", prefix, (int)room, name, digest);
}

int kon_kube_object_name(const struct kon_kube_dialect *dialect, const char *kind, const char *name,
                         char out[KON_KUBE_NAME], struct kon_err *err)
{
	char prefix[65];
	int code = kon_store_check_name(kind, name, err);
	if (code == 0)
		code = dialect->check_name(kind, name, err);
	if (code != 0)
		return code;
	prefix_of(dialect, kind, prefix);
	size_t before = strlen(prefix), size = strlen(name);
	if (before + size >= KON_KUBE_NAME) {
		shorten(prefix, name, out);
	} else {
		snprintf(out, KON_KUBE_NAME, "%s", prefix);
		memcpy(out + before, name, size + 1);
	}
	return 0;
}

/* ---- small things of JSON ---- */

int64_t kon_kube_whole(const cJSON *object, const char *key, int64_t most, int64_t otherwise)
{
	const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, key);
	if (!cJSON_IsNumber(number) || isnan(number->valuedouble))
		return otherwise;
	double value = fmax(number->valuedouble, 0);
	return value < (double)most ? (int64_t)value : most;
}

const char *kon_kube_text(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

void kon_kube_add_raw(cJSON *object, const char *key, const char *text, size_t size)
{
	char *copy = strndup(text, size); /* need not end where it ends */
	if (copy == NULL)
		abort();
	cJSON_AddRawToObject(object, key, copy);
	free(copy);
}

/* cJSON prints 15 digits where they are nearly equal to 16. */
static void keep_digits(cJSON *item)
{
	char digits[32];
	for (; item != NULL; item = item->next) {
		keep_digits(item->child);
		if (!cJSON_IsNumber(item))
			continue;
		bool whole =
			item->valuedouble == floor(item->valuedouble) && fabs(item->valuedouble) <= (double)MAX_REV;
		snprintf(digits, sizeof(digits), whole ? "%.0f" : "%.17g", item->valuedouble + 0.0);
		if (!isfinite(item->valuedouble)) /* not "null", as if there were none: who reads it refuses it */
			snprintf(digits, sizeof(digits), "%s", item->valuedouble < 0 ? "-1e999" : "1e999");
		item->type = cJSON_Raw;
		item->valuestring = strdup(digits);
		if (item->valuestring == NULL)
			abort();
	}
}

char *kon_kube_print(const cJSON *item)
{
	cJSON *copy = cJSON_Duplicate(item, 1);
	keep_digits(copy);
	char *text = copy != NULL ? cJSON_PrintUnformatted(copy) : NULL;
	cJSON_Delete(copy);
	return text;
}

/* root is NULL for want of memory, or for what err says. */
static char *print(cJSON *root, struct kon_err *err)
{
	char *text = root != NULL ? kon_kube_print(root) : NULL;
	if (text == NULL && (root != NULL || err->code == 0))
		kon_err_set(err, KON_SYSTEM, "out of memory");
	cJSON_Delete(root);
	return text;
}

/* ---- bodies ---- */

const char *kon_kube_manager(enum kon_store_by by)
{
	static const char *const names[] = {"konductor-holder", "konductor-queue", "konductor-gc"};
	return names[by];
}

char *kon_kube_make(const struct kon_kube_dialect *dialect, const char *name_space, const char *kind, const char *name,
                    const char *spec, size_t size, struct kon_err *err)
{
	char object_name[KON_KUBE_NAME], prefix[65];
	if (kon_kube_object_name(dialect, kind, name, object_name, err) != 0)
		return NULL;
	cJSON *metadata = cJSON_CreateObject();
	cJSON_AddStringToObject(metadata, "name", object_name);
	cJSON_AddStringToObject(metadata, "namespace", name_space);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(metadata, "labels"), KON_KUBE_LABEL, kind);
	prefix_of(dialect, kind, prefix);
	if (strlen(prefix) + strlen(name) >= KON_KUBE_NAME)
		cJSON_AddStringToObject(cJSON_AddObjectToObject(metadata, "annotations"), full_name, name);
	return print(dialect->make(kind, metadata, spec, size), err);
}

static void add_rev(cJSON *metadata, int64_t rev)
{
	char digits[24];
	snprintf(digits, sizeof(digits), "%lld", (long long)rev);
	cJSON_AddStringToObject(metadata, "resourceVersion", digits);
}

char *kon_kube_change(const struct kon_kube_dialect *dialect, const cJSON *seen, const struct kon_kube_change *change,
                      struct kon_err *err)
{
	char object_name[KON_KUBE_NAME];
	if (kon_kube_object_name(dialect, change->record->kind, change->record->name, object_name, err) != 0)
		return NULL;
	cJSON *metadata = cJSON_CreateObject();
	cJSON_AddStringToObject(metadata, "name", object_name);
	cJSON_AddStringToObject(metadata, "namespace", change->name_space);
	cJSON_AddStringToObject(metadata, "uid", change->record->uid);
	add_rev(metadata, change->record->rev);
	return print(dialect->change(seen, metadata, change, err), err);
}

char *kon_kube_delete(const struct kon_record *record, struct kon_err *err)
{
	cJSON *root = cJSON_CreateObject();
	cJSON_AddStringToObject(root, "apiVersion", "v1");
	cJSON_AddStringToObject(root, "kind", "DeleteOptions");
	cJSON *preconditions = cJSON_AddObjectToObject(root, "preconditions");
	cJSON_AddStringToObject(preconditions, "uid", record->uid);
	add_rev(preconditions, record->rev);
	cJSON_AddStringToObject(root, "propagationPolicy", "Background");
	return print(root, err);
}

/* ---- reading ---- */

int kon_kube_rev(const char *text, int64_t *rev, struct kon_err *err)
{
	int64_t value = 0;
	const char *at = text != NULL ? text : "";
	for (; *at >= '0' && *at <= '9' && value <= MAX_REV / 10; at++)
		value = value * 10 + (*at - '0');
	if (text == NULL || at == text || *at != '\0' || value > MAX_REV)
		return kon_err_set(err, KON_CORRUPT,
		                   "the resourceVersion '%.40s' is no whole number up to 2^53, as API servers count",
		                   text != NULL ? text : "");
	*rev = value;
	return 0;
}

int kon_kube_identify(const cJSON *object, const char **object_name, const char **uid, int64_t *rev,
                      struct kon_err *err)
{
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
	*object_name = kon_kube_text(metadata, "name");
	*uid = kon_kube_text(metadata, "uid");
	if (*object_name == NULL || *uid == NULL || **uid == '\0')
		return kon_err_set(err, KON_CORRUPT, "the API server sent an object without metadata.name or uid");
	return kon_kube_rev(kon_kube_text(metadata, "resourceVersion"), rev, err);
}

/* Milliseconds since the last write of a manager other than the queue; 0 when that is not known. */
static int64_t age_of(const cJSON *metadata, int64_t date_s)
{
	const cJSON *entry;
	int64_t newest = -1, us;
	cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(metadata, "managedFields"))
	{
		const char *manager = kon_kube_text(entry, "manager");
		const char *time = kon_kube_text(entry, "time");
		bool queue = manager != NULL && strcmp(manager, kon_kube_manager(KON_BY_QUEUE)) == 0;
		if (!queue && time != NULL && kon_rfc3339_read(time, &us) && us > newest)
			newest = us;
	}
	int64_t age_ms = date_s * 1000 - newest / 1000;
	return date_s == 0 || newest < 0 || age_ms < 0 ? 0 : age_ms;
}

/* The record's name out of the object's. */
static int read_name(const struct kon_kube_dialect *dialect, const cJSON *metadata, const char *kind,
                     const char *object_name, char out[KON_KUBE_NAME], struct kon_err *err)
{
	char prefix[65], again[KON_KUBE_NAME] = "";
	const char *name = kon_kube_text(cJSON_GetObjectItemCaseSensitive(metadata, "annotations"), full_name);
	prefix_of(dialect, kind, prefix);
	if (strncmp(object_name, prefix, strlen(prefix)) == 0) {
		if (name == NULL)
			name = object_name + strlen(prefix);
		if (kon_kube_object_name(dialect, kind, name, again, err) == 0 && strcmp(again, object_name) == 0) {
			snprintf(out, KON_KUBE_NAME, "%s", name);
			return 0;
		}
	}
	return kon_err_set(err, KON_CORRUPT, "the object %.80s cannot be a %s: its name is another's", object_name,
	                   kind);
}

/* A label may be missing, as on what people make by hand, but not be another's. */
static int check_label(const cJSON *metadata, const char *kind, const char *object_name, struct kon_err *err)
{
	const char *label = kon_kube_text(cJSON_GetObjectItemCaseSensitive(metadata, "labels"), KON_KUBE_LABEL);
	if (label != NULL && strcmp(label, kind) != 0)
		return kon_err_set(err, KON_CORRUPT,
		                   "the object %.80s is a %.63s by its label " KON_KUBE_LABEL ", not a %s", object_name,
		                   label, kind);
	return 0;
}

int kon_kube_read(const struct kon_kube_dialect *dialect, const cJSON *object, const char *kind, int64_t date_s,
                  struct kon_kube_record *out, struct kon_err *err)
{
	*out = (struct kon_kube_record){.record = {.kind = kind}};
	struct kon_record *record = &out->record;
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
	const char *object_name;
	int code = kon_kube_identify(object, &object_name, &record->uid, &record->rev, err);
	if (code == 0 && kon_kube_has_nul(object))
		code = kon_err_set(err, KON_CORRUPT, "a text of the %s %s has a NUL character in it", dialect->word,
		                   object_name);
	if (code == 0)
		code = check_label(metadata, kind, object_name, err);
	if (code == 0)
		code = read_name(dialect, metadata, kind, object_name, out->name, err);
	if (code == 0)
		code = dialect->read(object, kind, out, err);
	if (code != 0) {
		kon_kube_record_done(out);
		return code;
	}
	const char *created = kon_kube_text(metadata, "creationTimestamp");
	record->name = out->name;
	record->created = created != NULL ? created : "";
	record->age_ms = age_of(metadata, date_s);
	record->generation = kon_kube_whole(metadata, "generation", MAX_REV, 0);
	record->deleting = kon_kube_text(metadata, "deletionTimestamp") != NULL;
	record->spec = out->spec;
	record->spec_size = strlen(out->spec);
	record->status = out->status;
	record->status_size = strlen(out->status);
	return 0;
}

int kon_kube_read_damaged(const struct kon_kube_dialect *dialect, const cJSON *object, const char *kind,
                          const struct kon_err *why, struct kon_kube_record *out, struct kon_err *err)
{
	*out = (struct kon_kube_record){.record = {.kind = kind, .spec = "", .status = ""}};
	struct kon_record *record = &out->record;
	struct kon_err unnamed = {0};
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");
	const char *created = kon_kube_text(metadata, "creationTimestamp"), *object_name;
	int code = kon_kube_identify(object, &object_name, &record->uid, &record->rev, err);
	if (code != 0)
		return code;
	if (read_name(dialect, metadata, kind, object_name, out->name, &unnamed) != 0)
		snprintf(out->name, KON_KUBE_NAME, "%s", object_name);
	out->damage = strdup(why->detail);
	if (out->damage == NULL)
		abort();
	record->name = out->name;
	record->created = created != NULL ? created : "";
	record->damage = out->damage;
	return 0;
}

void kon_kube_record_done(struct kon_kube_record *record)
{
	cJSON_free(record->spec);
	cJSON_free(record->status);
	free(record->damage);
	record->spec = record->status = record->damage = NULL;
}

int kon_kube_check_kept(const char *what, const char *sent, const char *got, struct kon_err *err)
{
	cJSON *before = cJSON_Parse(sent), *after = cJSON_Parse(got);
	const cJSON *member;
	char lost[200] = "";
	cJSON_ArrayForEach(member, before)
	{
		size_t used = strlen(lost);
		if (cJSON_GetObjectItemCaseSensitive(after, member->string) == NULL)
			snprintf(lost + used, sizeof(lost) - used, "%s%s", used > 0 ? ", " : "", member->string);
	}
	cJSON_Delete(before);
	cJSON_Delete(after);
	if (lost[0] == '\0')
		return 0;
	return kon_err_set(err, KON_VERSION,
	                   "the API server dropped %s of the %s: its custom resource definitions are older than this "
	                   "konductor; konductor crds | kubectl apply -f -",
	                   lost, what);
}
