/*
 * Any bytes as an object of the API, in both dialects: read or refused with words.  What was read can be written back,
 * and a coordination Lease that was written by us is read as what was written.
 *
 * The first byte picks dialect and kind.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kube_object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* Writes the record's own status over its object, and reads it again. */
static void write_back(const struct kon_kube_dialect *dialect, const cJSON *object, const struct kon_record *record)
{
	struct kon_err err = {0};
	struct kon_kube_record again;
	struct kon_kube_change change = {.record = record,
	                                 .name_space = "ns",
	                                 .status = record->status,
	                                 .size = record->status_size,
	                                 .by = KON_BY_HOLDER,
	                                 .wall_us = INT64_C(1767323045000000)};
	char *body = kon_kube_change(dialect, object, &change, &err);
	check(body != NULL);
	cJSON *written = kon_kube_parse(body, strlen(body), &err);
	check(written != NULL);
	if (dialect->whole) {
		int code = kon_kube_read(dialect, written, record->kind, 0, &again, &err);
		check(code == 0 || (code == KON_CORRUPT && err.detail[0] != '\0'));
		if (code == 0) {
			check(strcmp(again.record.name, record->name) == 0 && again.record.rev == record->rev);
			check(strcmp(again.record.spec, record->spec) == 0 || strstr(record->spec, "ttl") != NULL ||
			      strcmp(record->spec, "{}") == 0);
			kon_kube_record_done(&again);
		}
	}
	cJSON_Delete(written);
	cJSON_free(body);
}

/* A name that stands twice, as no API server sends it: which of the two is meant, nobody says. */
static bool has_twins(const cJSON *item)
{
	for (const cJSON *child = item->child; child != NULL; child = child->next) {
		for (const cJSON *other = child->next; child->string != NULL && other != NULL; other = other->next)
			if (strcasecmp(child->string, other->string) == 0)
				return true;
		if (has_twins(child))
			return true;
	}
	return false;
}

/* What cannot be read has a name and a reason in a list, or is no object at all. */
static void list_damaged(const struct kon_kube_dialect *dialect, const cJSON *object, const char *kind,
                         const struct kon_err *why)
{
	struct kon_err err = {0};
	struct kon_kube_record read;
	if (kon_kube_read_damaged(dialect, object, kind, why, &read, &err) != 0) {
		check(err.code == KON_CORRUPT && err.detail[0] != '\0');
		return;
	}
	struct kon_record *copy = kon_record_copy(&read.record);
	check(copy != NULL && copy->rev >= 0 && strcmp(copy->damage, why->detail) == 0);
	free(copy);
	kon_kube_record_done(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const kinds[] = {"Lease", "Once", "Gate"};
	struct kon_err err = {0};
	struct kon_kube_record read;
	if (size < 1)
		return 0;
	const struct kon_kube_dialect *dialect = data[0] & 1 ? &kon_kube_lease : &kon_kube_crd;
	const char *kind = kinds[data[0] / 2 % 3];
	cJSON *object = kon_kube_parse((const char *)data + 1, size - 1, &err);
	if (object == NULL) {
		check(err.code == KON_CORRUPT && err.detail[0] != '\0');
		return 0;
	}
	int code = kon_kube_read(dialect, object, kind, 1767323045, &read, &err);
	if (code == 0) {
		check(read.record.age_ms >= 0 && read.record.rev >= 0);
		if (!has_twins(object))
			write_back(dialect, object, &read.record);
		kon_kube_record_done(&read);
	} else {
		check(code == KON_CORRUPT && err.detail[0] != '\0');
		list_damaged(dialect, object, kind, &err);
	}
	cJSON_Delete(object);
	return 0;
}
