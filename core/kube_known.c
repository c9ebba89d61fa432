#include "kube_known.h"

#include <stdlib.h>
#include <string.h>

static void free_entry(struct kon_kube_entry *entry)
{
	free(entry->object);
	free(entry->name);
}

void kon_kube_known_done(struct kon_kube_known *known)
{
	for (size_t i = 0; i < known->count; i++)
		free_entry(&known->entries[i]);
	free(known->entries);
	*known = (struct kon_kube_known){0};
}

/* Where it is, or would be. */
static size_t place_of(const struct kon_kube_known *known, const char *object)
{
	size_t low = 0, high = known->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(known->entries[middle].object, object) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct kon_kube_entry *insert(struct kon_kube_known *known, size_t at, const char *object, int64_t rev)
{
	if (known->count == known->room) {
		known->room = known->room == 0 ? 1 : known->room * 2;
		known->entries = realloc(known->entries, known->room * sizeof(*known->entries));
	}
	char *copy = strdup(object);
	if (known->entries == NULL || copy == NULL)
		abort(); /* the guards kill what runs when we are gone */
	struct kon_kube_entry *entry = &known->entries[at];
	memmove(entry + 1, entry, (known->count - at) * sizeof(*entry));
	known->count++;
	*entry = (struct kon_kube_entry){.object = copy, .rev = rev, .listed = true};
	return entry;
}

struct kon_kube_entry *kon_kube_known_take(struct kon_kube_known *known, const char *object, int64_t rev, bool gone)
{
	size_t at = place_of(known, object);
	if (at == known->count || strcmp(known->entries[at].object, object) != 0)
		return gone ? NULL : insert(known, at, object, rev);
	struct kon_kube_entry *entry = &known->entries[at];
	entry->listed = true;
	if (rev <= entry->rev)
		return NULL;
	bool news = !gone || !entry->gone;
	entry->rev = rev;
	entry->gone = gone;
	return news ? entry : NULL;
}

void kon_kube_known_begin(struct kon_kube_known *known, int64_t rev)
{
	bool back = false;
	for (size_t i = 0; i < known->count; i++)
		back = back || known->entries[i].rev > rev;
	for (size_t i = 0; i < known->count; i++) {
		known->entries[i].listed = false;
		if (back)
			known->entries[i].rev = -1;
	}
	known->next = 0;
}

struct kon_kube_entry *kon_kube_known_missing(struct kon_kube_known *known, int64_t rev)
{
	while (known->next < known->count) {
		struct kon_kube_entry *entry = &known->entries[known->next++];
		if (entry->listed || entry->gone || entry->rev >= rev)
			continue;
		entry->gone = true;
		entry->rev = rev;
		return entry;
	}
	return NULL;
}

void kon_kube_known_forget_gone(struct kon_kube_known *known)
{
	size_t kept = 0;
	for (size_t i = 0; i < known->count; i++) {
		if (known->entries[i].gone)
			free_entry(&known->entries[i]);
		else
			known->entries[kept++] = known->entries[i];
	}
	known->count = kept;
}
