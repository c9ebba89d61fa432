/*
 * The store contract on a Kubernetes API server: custom resources, or coordination Leases alone.
 *
 * It knows nothing of the death of sessions: peer() never speaks.
 */
#ifndef KON_STORE_KUBE_H
#define KON_STORE_KUBE_H

#include "kube.h"
#include "kube_object.h"
#include "kube_watch.h"
#include "store.h"

struct kon_kube_store_options {
	const struct kon_kube_dialect *dialect;
	const char *name_space;
	struct kon_kube_options kube; /* its data is that of warn too */
	int64_t later_ms;             /* at most, for news that can wait; 0: the store's own */
	void (*warn)(void *data, const char *sentence);
};

/* Also makes the memory of this process unreadable to others of the same user: it holds credentials. */
int kon_kube_store_open(struct kon_store **out, struct kon_loop *loop, const struct kon_kube_store_options *options,
                        struct kon_err *err);

/* A request of any kind to the same server; request as of kube.h, and done with its answer. */
struct kon_store_call *kon_kube_store_request(struct kon_store *store, const struct kon_kube_request *request);

bool kon_kube_store_is(const struct kon_store *store);
struct kon_kube *kon_kube_store_server(struct kon_store *store);
struct kon_kube_watch_counts kon_kube_store_counts(struct kon_store *store);

#endif
