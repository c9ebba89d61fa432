#include "store_kube.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "kube_call.h"

static void kube_close(struct kon_store *base, bool orderly)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	(void)orderly; /* nobody here asks for the end of a session */
	kon_kube_calls_end(store);
	kon_kube_watches_free(store->watches);
	kon_kube_free(store->kube);
	kon_kube_seen_done(&store->seen);
	free(store->name_space);
	free(store->place);
	free(store);
}

static int kube_watch(struct kon_store *base, const char *kind, const char *name, struct kon_store_watch watch,
                      struct kon_store_sub **out, struct kon_err *err)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	char object[KON_KUBE_NAME] = "";
	int code = kon_kube_object_name(store->dialect, kind, name != NULL ? name : "any", object, err);
	if (code != 0)
		return code;
	*out = kon_kube_watch(store->watches, kind, name, object, watch);
	return 0;
}

static void end_peer(struct kon_store_sub *sub)
{
	free(sub);
}

/* A watch has no way to know of the end of another process. */
static int kube_peer(struct kon_store *store, const char *session, void (*gone)(void *data), void *data,
                     struct kon_store_sub **out, struct kon_err *err)
{
	(void)store, (void)session, (void)gone, (void)data;
	*out = calloc(1, sizeof(**out));
	if (*out == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	(*out)->end = end_peer;
	return 0;
}

static int kube_keep_fd(const struct kon_store *store)
{
	(void)store;
	return -1;
}

static const struct kon_store_ops kube_ops = {
	.get = kon_kube_call_get,
	.list = kon_kube_call_list,
	.create = kon_kube_call_create,
	.replace = kon_kube_call_replace,
	.delete = kon_kube_call_delete,
	.watch = kube_watch,
	.peer = kube_peer,
	.keep_fd = kube_keep_fd,
	.close = kube_close,
};

static void on_seen(void *data, const cJSON *object)
{
	struct kon_kube_store *store = data;
	if (store->dialect->whole)
		kon_kube_seen_put(&store->seen, object);
}

static void on_warn(void *data, const char *sentence)
{
	struct kon_kube_store *store = data;
	if (store->warn != NULL)
		store->warn(store->data, sentence);
}

/* Sanitizers look into their own process from another, and so must be able to. */
static void hide_memory(void)
{
#ifndef KON_TEARDOWN
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

int kon_kube_store_open(struct kon_store **out, struct kon_loop *loop, const struct kon_kube_store_options *options,
                        struct kon_err *err)
{
	int code = kon_store_check_namespace(options->name_space, err);
	if (code != 0)
		return code;
	struct kon_kube_store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	store->base.ops = &kube_ops;
	store->dialect = options->dialect;
	store->warn = options->warn;
	store->data = options->kube.data;
	store->name_space = strdup(options->name_space);
	if (store->name_space == NULL || asprintf(&store->place, "%s:%s at %s", options->dialect->word,
	                                          options->name_space, options->kube.server) < 0) {
		store->place = NULL;
		kube_close(&store->base, true);
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	}
	store->base.place = store->place;
	hide_memory();
	code = kon_kube_new(&store->kube, loop, &options->kube, err);
	if (code != 0) {
		kube_close(&store->base, true);
		return code;
	}
	store->watches = kon_kube_watches_new(&(struct kon_kube_watches_options){
		.loop = loop,
		.kube = store->kube,
		.dialect = store->dialect,
		.name_space = store->name_space,
		.later_ms = options->later_ms,
		.seen = on_seen,
		.warn = on_warn,
		.data = store,
	});
	*out = &store->base;
	return 0;
}

bool kon_kube_store_is(const struct kon_store *store)
{
	return store->ops == &kube_ops;
}

struct kon_kube *kon_kube_store_server(struct kon_store *store)
{
	return ((struct kon_kube_store *)store)->kube;
}

struct kon_kube_watch_counts kon_kube_store_counts(struct kon_store *store)
{
	return kon_kube_watch_counts(((struct kon_kube_store *)store)->watches);
}
