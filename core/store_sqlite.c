#include "store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bell.h"
#include "buf.h"
#include "clock.h"
#include "fs.h"
#include "session.h"
#include "sqlite_db.h"
#include "sqlite_news.h"

struct sqlite_store {
	struct kon_store base;
	struct kon_loop *loop;
	struct kon_sqlite_db *db;
	struct kon_bells *bells;
	struct kon_session *session;
	struct kon_buf news; /* of the last write */
	char *name_space;
	char *place;
	const char *path; /* within place */
	char *live_dir;
};

struct sqlite_sub {
	struct kon_store_sub base;
	struct kon_store_watch watch;
	struct sqlite_store *store;
	char *kind;
	char *name; /* NULL: the whole kind */
	struct kon_bell_watch *bell;
	struct kon_peer *peer;
};

static struct sqlite_store *of(struct kon_store *store)
{
	return (struct sqlite_store *)store;
}

/* ---- requests ---- */

static void read_records(struct kon_store *store, const char *kind, const char *name, struct kon_reply reply)
{
	struct kon_err err = {0};
	int count = 0;
	int code = kon_sqlite_db_read(of(store)->db, kind, name, reply.record, reply.data, &count, &err);
	if (code == 0 && name != NULL && count == 0)
		code = kon_err_set(&err, KON_ABSENT, "there is no %s %s", kind, name);
	reply.done(reply.data, code, &err);
}

static struct kon_store_call *sqlite_get(struct kon_store *store, const char *kind, const char *name, int64_t limit_ms,
                                         struct kon_reply reply)
{
	(void)limit_ms; /* nothing here waits longer than for another process's lock */
	read_records(store, kind, name, reply);
	return NULL;
}

static struct kon_store_call *sqlite_list(struct kon_store *store, const char *kind, struct kon_reply reply)
{
	read_records(store, kind, NULL, reply);
	return NULL;
}

/* FNV-1a over the parts and the zeros between them.  Two keys that meet only wake each other for nothing. */
static uint64_t key_of(const struct sqlite_store *store, const char *kind, const char *name)
{
	const char *parts[] = {store->name_space, kind, name != NULL ? name : ""};
	uint64_t hash = 14695981039346656037u;
	for (int i = 0; i < 3; i++) {
		const char *at = parts[i];
		do
			hash = (hash ^ (unsigned char)*at) * 1099511628211u;
		while (*at++ != '\0');
	}
	return hash;
}

/* Those who watch the record get it along: ten that look it up at once would keep each other from their work.  before_ms: the
 * boot clock before the commit, because this process may have been stopped right behind it. */
static void ring(struct sqlite_store *store, const struct kon_record *record, int64_t before_ms, const char *first)
{
	struct kon_ring bare = {.word = record->name}, full = bare;
	if (record->status != NULL && kon_sqlite_news_write(&store->news, store->name_space, record, before_ms)) {
		full.news = store->news.data;
		full.news_size = store->news.size;
	}
	kon_bells_ring(store->bells, key_of(store, record->kind, record->name), &full, first);
	kon_bells_ring(store->bells, key_of(store, record->kind, NULL), &bare, first);
}

static struct kon_store_call *answer(struct kon_reply reply, int code, const struct kon_record *record,
                                     const struct kon_err *err)
{
	if (code == 0 && record != NULL)
		reply.record(reply.data, record);
	reply.done(reply.data, code, err);
	return NULL;
}

static struct kon_store_call *sqlite_create(struct kon_store *base, const char *kind, const char *name,
                                            const char *spec, size_t size, struct kon_reply reply)
{
	struct sqlite_store *store = of(base);
	struct kon_err err = {0};
	struct kon_record made;
	int64_t before_ms = kon_clock_boot_ms();
	int code = kon_sqlite_db_create(store->db, kind, name, spec, size, &made, &err);
	if (code == 0)
		ring(store, &made, before_ms, NULL);
	return answer(reply, code, &made, &err);
}

static struct kon_store_call *sqlite_replace(struct kon_store *base, const struct kon_record *record,
                                             const char *status, size_t size, const struct kon_store_how *how,
                                             struct kon_reply reply)
{
	struct sqlite_store *store = of(base);
	struct kon_err err = {0};
	struct kon_record made;
	int64_t before_ms = kon_clock_boot_ms();
	int code = kon_sqlite_db_replace(store->db, record, status, size, how->by, &made, &err);
	if (code == 0)
		ring(store, &made, before_ms, how->first);
	return answer(reply, code, &made, &err);
}

static struct kon_store_call *sqlite_delete(struct kon_store *base, const struct kon_record *record,
                                            struct kon_reply reply)
{
	struct sqlite_store *store = of(base);
	struct kon_err err = {0};
	int code = kon_sqlite_db_delete(store->db, record, &err);
	if (code == 0)
		ring(store, &(struct kon_record){.kind = record->kind, .name = record->name}, 0, NULL);
	return answer(reply, code, NULL, &err);
}

/* ---- events ---- */

static void end_sub(struct kon_store_sub *base)
{
	struct sqlite_sub *sub = (struct sqlite_sub *)base;
	kon_bell_unwatch(sub->bell);
	kon_peer_free(sub->peer);
	free(sub->kind);
	free(sub->name);
	free(sub);
}

static struct sqlite_sub *new_sub(struct kon_err *err)
{
	struct sqlite_sub *sub = calloc(1, sizeof(*sub));
	if (sub == NULL)
		kon_err_set(err, KON_SYSTEM, "out of memory");
	else
		sub->base.end = end_sub;
	return sub;
}

/* The record of this subscription, if it came along and may be believed.  Rings may overtake each other, so one without news
 * may be about something newer than the next one with them. */
static bool read_news(const struct sqlite_sub *sub, const struct kon_ring *ring, struct kon_record *out)
{
	if (ring->news != NULL &&
	    kon_sqlite_news_read(ring->news, ring->news_size, sub->store->name_space, kon_clock_boot_ms(), out) &&
	    strcmp(out->kind, sub->kind) == 0 && strcmp(out->name, sub->name) == 0)
		return kon_sqlite_db_believes(sub->store->db, out->rev);
	kon_sqlite_db_doubt(sub->store->db);
	return false;
}

/* The word of a bell is the name that changed, but two keys may share a bell. */
static void on_rung(void *data, const struct kon_ring *ring)
{
	struct sqlite_sub *sub = data;
	struct kon_record record;
	if (sub->name == NULL)
		sub->watch.changed(sub->watch.data, ring->word, NULL);
	else if (ring->word == NULL || strcmp(ring->word, sub->name) == 0)
		sub->watch.changed(sub->watch.data, sub->name, read_news(sub, ring, &record) ? &record : NULL);
}

static int sqlite_watch(struct kon_store *base, const char *kind, const char *name, struct kon_store_watch watch,
                        struct kon_store_sub **out, struct kon_err *err)
{
	struct sqlite_store *store = of(base);
	struct sqlite_sub *sub = new_sub(err);
	if (sub == NULL)
		return KON_SYSTEM;
	sub->watch = watch;
	sub->store = store;
	sub->kind = strdup(kind);
	sub->name = name != NULL ? strdup(name) : NULL;
	if (sub->kind == NULL || (name != NULL && sub->name == NULL)) {
		end_sub(&sub->base);
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	}
	int code = kon_bell_watch(store->bells, key_of(store, kind, name), on_rung, sub, &sub->bell, err);
	if (code != 0) {
		end_sub(&sub->base);
		return code;
	}
	*out = &sub->base;
	return 0;
}

static int sqlite_peer(struct kon_store *base, const char *session, void (*gone)(void *data), void *data,
                       struct kon_store_sub **out, struct kon_err *err)
{
	struct sqlite_store *store = of(base);
	struct sqlite_sub *sub = new_sub(err);
	if (sub == NULL)
		return KON_SYSTEM;
	int code = kon_peer_watch(store->loop, store->live_dir, session, gone, data, &sub->peer, err);
	if (code != 0) {
		end_sub(&sub->base);
		return code;
	}
	*out = &sub->base;
	return 0;
}

static int sqlite_keep_fd(const struct kon_store *store)
{
	return kon_session_fd(((const struct sqlite_store *)store)->session);
}

/* ---- open and close ---- */

static void sqlite_close(struct kon_store *base, bool orderly)
{
	struct sqlite_store *store = of(base);
	kon_sqlite_db_close(store->db);
	kon_bells_close(store->bells);
	/* Last: as long as the session counts as alive, nobody looks at what is still being closed. */
	kon_session_close(store->session, orderly);
	kon_buf_done(&store->news);
	free(store->live_dir);
	free(store->place);
	free(store->name_space);
	free(store);
}

static const struct kon_store_ops sqlite_ops = {
	.get = sqlite_get,
	.list = sqlite_list,
	.create = sqlite_create,
	.replace = sqlite_replace,
	.delete = sqlite_delete,
	.watch = sqlite_watch,
	.peer = sqlite_peer,
	.keep_fd = sqlite_keep_fd,
	.close = sqlite_close,
};

/* PATH.d/NAME, to be freed; NULL without memory. */
static char *beside(const struct sqlite_store *store, const char *name)
{
	char *dir;
	return asprintf(&dir, "%s.d/%s", store->path, name) >= 0 ? dir : NULL;
}

/* Makes PATH.d/bell and PATH.d/live.  The session is open before anybody can read of it. */
static int open_beside(struct sqlite_store *store, const char *session, struct kon_err *err)
{
	char *bell_dir = beside(store, "bell");
	store->live_dir = beside(store, "live");
	int code = 0;
	if (bell_dir == NULL || store->live_dir == NULL)
		code = kon_err_set(err, KON_SYSTEM, "out of memory");
	if (code == 0)
		code = kon_fs_make_dirs(bell_dir, err);
	if (code == 0)
		code = kon_fs_make_dirs(store->live_dir, err);
	if (code == 0)
		code = kon_session_open(&store->session, store->live_dir, session, err);
	if (code == 0)
		code = kon_bells_open(&store->bells, store->loop, bell_dir, session, err);
	free(bell_dir);
	return code;
}

static int open_parts(struct sqlite_store *store, const char *session, struct kon_err *err)
{
	char *dir = kon_fs_parent(store->path);
	if (dir == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	int code = kon_fs_make_dirs(dir, err);
	if (code == 0)
		code = kon_fs_check_local(dir, err);
	free(dir);
	/* It may be a symbolic link to elsewhere. */
	if (code == 0 && access(store->path, F_OK) == 0)
		code = kon_fs_check_local(store->path, err);
	if (code == 0)
		code = kon_sqlite_db_open(&store->db, store->path, store->name_space, err);
	if (code == 0)
		code = open_beside(store, session, err);
	return code;
}

int kon_sqlite_open(struct kon_store **out, struct kon_loop *loop, const struct kon_sqlite_options *options,
                    struct kon_err *err)
{
	int code = kon_store_check_namespace(options->name_space, err);
	if (code != 0)
		return code;
	struct sqlite_store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	store->base.ops = &sqlite_ops;
	store->loop = loop;
	kon_buf_init(&store->news, KON_BELL_MAX_NEWS);
	store->name_space = strdup(options->name_space);
	if (store->name_space == NULL || asprintf(&store->place, "sqlite:%s", options->path) < 0) {
		store->place = NULL;
		sqlite_close(&store->base, true);
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	}
	store->base.place = store->place;
	store->path = store->place + strlen("sqlite:");
	code = open_parts(store, options->session, err);
	if (code != 0) {
		sqlite_close(&store->base, true);
		return code;
	}
	*out = &store->base;
	return 0;
}
