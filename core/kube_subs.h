/*
 * Those who follow one watch, as subscriptions of the store contract.
 *
 * A subscription may end within a callback: it is told nothing more, and freed by the next sweep.
 */
#ifndef KON_KUBE_SUBS_H
#define KON_KUBE_SUBS_H

#include <stdbool.h>

#include "store.h"

struct kon_kube_sub;

struct kon_kube_subs {
	struct kon_kube_sub *list;
	void (*ended)(void *owner); /* one of them: sweep when it is safe */
	bool (*catch_up)(void *owner);
	void *owner;
};

struct kon_store_sub *kon_kube_subs_add(struct kon_kube_subs *subs, const struct kon_store_watch *watch);

void kon_kube_subs_tell(const struct kon_kube_subs *subs, const char *name, const struct kon_record *record);

/* The session that all of them have in common as the first (kon_store_watch.first), or NULL. */
const char *kon_kube_subs_first(const struct kon_kube_subs *subs);

/* Frees those that have ended.  False when none is left. */
bool kon_kube_subs_sweep(struct kon_kube_subs *subs);

/* There is nothing to follow any more; those that are left only await their end. */
void kon_kube_subs_abandon(struct kon_kube_subs *subs);

#endif
