#include "kube_seen.h"

#include <stddef.h>
#include <string.h>

#include "kube_object.h"

static const char *name_of(const cJSON *object)
{
	const char *name = kon_kube_text(cJSON_GetObjectItemCaseSensitive(object, "metadata"), "name");
	return name != NULL ? name : "";
}

void kon_kube_seen_put(struct kon_kube_seen *seen, const cJSON *object)
{
	size_t at = 0;
	for (size_t i = 0; i < KON_KUBE_SEEN; i++) {
		const cJSON *kept = seen->entries[i].object;
		if (kept != NULL && strcmp(name_of(kept), name_of(object)) == 0) {
			at = i;
			break;
		}
		if (kept == NULL ||
		    (seen->entries[at].object != NULL && seen->entries[i].used < seen->entries[at].used))
			at = i;
	}
	cJSON_Delete(seen->entries[at].object);
	seen->entries[at].object = cJSON_Duplicate(object, 1);
	seen->entries[at].used = ++seen->clock;
}

const cJSON *kon_kube_seen_get(struct kon_kube_seen *seen, const char *object_name, const char *uid, int64_t rev)
{
	for (size_t i = 0; i < KON_KUBE_SEEN; i++) {
		const cJSON *object = seen->entries[i].object;
		const char *its_name, *its_uid;
		int64_t its_rev;
		if (object == NULL || kon_kube_identify(object, &its_name, &its_uid, &its_rev, NULL) != 0)
			continue;
		if (its_rev == rev && strcmp(its_name, object_name) == 0 && strcmp(its_uid, uid) == 0) {
			seen->entries[i].used = ++seen->clock;
			return object;
		}
	}
	return NULL;
}

void kon_kube_seen_done(struct kon_kube_seen *seen)
{
	for (size_t i = 0; i < KON_KUBE_SEEN; i++) {
		cJSON_Delete(seen->entries[i].object);
		seen->entries[i].object = NULL;
	}
}
