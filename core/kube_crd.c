/*
 * Records as custom resources: a Once, a Lease, and for every other kind a Record, whose spec
 * names the kind and keeps the record's own spec as data.  Status is a resource of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "kube_object.h"

static bool is_once(const char *kind)
{
	return strcmp(kind, "Once") == 0;
}

static bool is_record(const char *kind)
{
	return !is_once(kind) && strcmp(kind, "Lease") != 0;
}

static const char *crd_plural(const char *kind)
{
	return is_record(kind) ? "records" : is_once(kind) ? "onces" : "leases";
}

static int crd_check_name(const char *kind, const char *name, struct kon_err *err)
{
	(void)kind, (void)name, (void)err;
	return 0;
}

static cJSON *begin(const char *kind, cJSON *metadata)
{
	cJSON *root = cJSON_CreateObject();
	cJSON_AddStringToObject(root, "apiVersion", "konductor.io/v1");
	cJSON_AddStringToObject(root, "kind", is_record(kind) ? "Record" : kind);
	cJSON_AddItemToObject(root, "metadata", metadata);
	return root;
}

static cJSON *crd_make(const char *kind, cJSON *metadata, const char *spec, size_t size)
{
	cJSON *root = begin(kind, metadata);
	if (is_record(kind)) {
		cJSON *wrap = cJSON_AddObjectToObject(root, "spec");
		cJSON_AddStringToObject(wrap, "kind", kind);
		kon_kube_add_raw(wrap, "data", spec, size);
	} else {
		kon_kube_add_raw(root, "spec", spec, size);
	}
	return root;
}

static cJSON *crd_change(const cJSON *seen, cJSON *metadata, const struct kon_kube_change *change, struct kon_err *err)
{
	(void)seen, (void)err;
	cJSON *root = begin(change->record->kind, metadata);
	kon_kube_add_raw(root, "status", change->status, change->size);
	return root;
}

/* The member as text, "{}" when there is none. */
static char *print_member(const cJSON *object, const char *key)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
	char *text = cJSON_IsObject(member) ? kon_kube_print(member) : strdup("{}");
	if (text == NULL)
		abort();
	return text;
}

/* What the definition's defaults make of no status at all. */
static bool is_default(const cJSON *status)
{
	return cJSON_IsObject(status) && status->child != NULL && status->child->next == NULL &&
	       strcmp(status->child->string, "phase") == 0;
}

static int crd_read(const cJSON *object, const char *kind, struct kon_kube_record *out, struct kon_err *err)
{
	const cJSON *spec = cJSON_GetObjectItemCaseSensitive(object, "spec");
	const cJSON *status = cJSON_GetObjectItemCaseSensitive(object, "status");
	const char *of = kon_kube_text(spec, "kind");
	if (is_record(kind) && (of == NULL || strcmp(of, kind) != 0))
		return kon_err_set(err, KON_CORRUPT, "the Record is of kind %.63s by its spec, not of kind %s",
		                   of != NULL ? of : "none", kind);
	out->spec = is_record(kind) ? print_member(spec, "data") : print_member(object, "spec");
	out->status = !is_record(kind) && is_default(status) ? strdup("{}") : print_member(object, "status");
	return 0;
}

const struct kon_kube_dialect kon_kube_crd = {
	.word = "kube",
	.group = "/apis/konductor.io/v1",
	.status = "/status",
	.holder = {"status", "session"},
	.plural = crd_plural,
	.prefixed = is_record,
	.labelled = is_record,
	.check_name = crd_check_name,
	.make = crd_make,
	.change = crd_change,
	.read = crd_read,
};
