/*
 * LIST and WATCH of one object or of one kind, shared by all who follow it in this process.
 *
 * A watch is never trusted to be complete by those who decide; here is done what can be done that it
 * is: begun at the version of a list, resumed where it broke off, begun anew by a list after three
 * failures in a row or when the server no longer has that version.
 *
 * Of an object that one session follows (kon_store_watch.first), what tells of the hold of another is put off for up
 * to a second and merged: a crowd that reads each renewal and each grant at once takes the processors from the one
 * whose turn it is.
 */
#ifndef KON_KUBE_WATCH_H
#define KON_KUBE_WATCH_H

#include "kube.h"
#include "kube_object.h"

struct kon_kube_watches;

struct kon_kube_watches_options {
	struct kon_loop *loop;
	struct kon_kube *kube;
	const struct kon_kube_dialect *dialect;
	const char *name_space; /* borrowed */
	/* Each object that is told of.  NULL: nobody wants them. */
	void (*seen)(void *data, const cJSON *object);
	int64_t later_ms; /* at most, for what can wait; 0: KON_KUBE_LATER_MS */
	/* Something that a person should know, once: that a right is missing. */
	void (*warn)(void *data, const char *sentence);
	void *data;
};

/* What happened so far, for measurements and tests. */
struct kon_kube_watch_counts {
	int lists;
	int watches;
	int events;
	int put_off; /* lines that could wait: read later, or never because of a newer one */
	int unknown_events;
	int too_big;
};

struct kon_kube_watches *kon_kube_watches_new(const struct kon_kube_watches_options *options);
/* Subscriptions that are left only await their end.  NULL is fine. */
void kon_kube_watches_free(struct kon_kube_watches *watches);

/* The watch of the store contract. */
struct kon_store_sub *kon_kube_watch(struct kon_kube_watches *watches, const char *kind, const char *name,
                                     const char *object, struct kon_store_watch watch);

struct kon_kube_watch_counts kon_kube_watch_counts(const struct kon_kube_watches *watches);

#endif
