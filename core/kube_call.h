/*
 * The verbs of the store contract as requests to an API server.  What store_kube.c, kube_call.c,
 * kube_list.c and kube_op.c know of each other, and nobody else.
 */
#ifndef KON_KUBE_CALL_H
#define KON_KUBE_CALL_H

#include "kube_seen.h"
#include "store_kube.h"

struct kon_kube_op;

struct kon_kube_store {
	struct kon_store base;
	const struct kon_kube_dialect *dialect;
	struct kon_kube *kube;
	struct kon_kube_watches *watches;
	struct kon_kube_seen seen; /* filled where the dialect writes whole objects */
	struct kon_kube_op *ops;   /* under way */
	void (*warn)(void *data, const char *sentence);
	void *data;
	char *name_space;
	char *place;
};

struct kon_store_call *kon_kube_call_get(struct kon_store *store, const char *kind, const char *name, int64_t limit_ms,
                                         struct kon_reply reply);
struct kon_store_call *kon_kube_call_list(struct kon_store *store, const char *kind, struct kon_reply reply);
struct kon_store_call *kon_kube_call_create(struct kon_store *store, const char *kind, const char *name,
                                            const char *spec, size_t size, struct kon_reply reply);
struct kon_store_call *kon_kube_call_replace(struct kon_store *store, const struct kon_record *record,
                                             const char *status, size_t size, const struct kon_store_how *how,
                                             struct kon_reply reply);
struct kon_store_call *kon_kube_call_delete(struct kon_store *store, const struct kon_record *record,
                                            struct kon_reply reply);

/* Answers what is under way: the store is closed. */
void kon_kube_calls_end(struct kon_kube_store *store);

#endif
