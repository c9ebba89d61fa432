#include "kube_subs.h"

#include <stdlib.h>
#include <string.h>

struct kon_kube_sub {
	struct kon_store_sub base;
	struct kon_store_watch watch;
	char *first;                /* of watch */
	struct kon_kube_subs *subs; /* NULL: abandoned */
	struct kon_kube_sub *next;
	bool ended;
};

static void free_sub(struct kon_kube_sub *sub)
{
	free(sub->first);
	free(sub);
}

static void end_sub(struct kon_store_sub *base)
{
	struct kon_kube_sub *sub = (struct kon_kube_sub *)base;
	sub->ended = true;
	if (sub->subs == NULL)
		free_sub(sub);
	else
		sub->subs->ended(sub->subs->owner);
}

static bool catch_up(struct kon_store_sub *base)
{
	const struct kon_kube_sub *sub = (const struct kon_kube_sub *)base;
	return sub->subs != NULL && sub->subs->catch_up(sub->subs->owner);
}

struct kon_store_sub *kon_kube_subs_add(struct kon_kube_subs *subs, const struct kon_store_watch *watch)
{
	struct kon_kube_sub *sub = calloc(1, sizeof(*sub));
	char *first = watch->first != NULL ? strdup(watch->first) : NULL;
	if (sub == NULL || (watch->first != NULL && first == NULL))
		abort(); /* the guards kill what runs when we are gone */
	*sub = (struct kon_kube_sub){
		.base = {.end = end_sub, .catch_up = catch_up},
		.watch = *watch,
		.first = first,
		.subs = subs,
		.next = subs->list,
	};
	subs->list = sub;
	return &sub->base;
}

void kon_kube_subs_tell(const struct kon_kube_subs *subs, const char *name, const struct kon_record *record)
{
	for (struct kon_kube_sub *sub = subs->list; sub != NULL; sub = sub->next)
		if (!sub->ended)
			sub->watch.changed(sub->watch.data, name, record);
}

const char *kon_kube_subs_first(const struct kon_kube_subs *subs)
{
	const char *first = subs->list != NULL ? subs->list->first : NULL;
	for (const struct kon_kube_sub *sub = subs->list; sub != NULL && first != NULL; sub = sub->next)
		if (sub->first == NULL || strcmp(sub->first, first) != 0)
			first = NULL;
	return first;
}

bool kon_kube_subs_sweep(struct kon_kube_subs *subs)
{
	for (struct kon_kube_sub **link = &subs->list; *link != NULL;) {
		struct kon_kube_sub *sub = *link;
		if (!sub->ended) {
			link = &sub->next;
			continue;
		}
		*link = sub->next;
		free_sub(sub);
	}
	return subs->list != NULL;
}

void kon_kube_subs_abandon(struct kon_kube_subs *subs)
{
	for (struct kon_kube_sub *sub = subs->list; sub != NULL; sub = sub->next)
		sub->subs = NULL;
}
