/*
 * The store contract: opaque records with a version, and nothing of policies.
 *
 * A request is answered exactly once, through its kon_reply: within the call when the store is at
 * hand (SQLite), which then returns NULL; or later, from the loop, when it is on a network.  What
 * is returned then stands for the request until done was called or cancel returned.  Arguments are
 * borrowed for the call, records for the callback.
 *
 * The outcomes of a write are never merged: 0 (applied: here is the new version);
 * KON_CONFLICT or KON_ABSENT or KON_EXISTS (not applied: the record is another one now);
 * KON_BUSY, KON_FULL, KON_DENIED, KON_STORE, KON_CORRUPT (not applied); KON_UNKNOWN (it may
 * be applied: read again before anything else).
 */
#ifndef KON_STORE_H
#define KON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define KON_STORE_MAX_BYTES ((size_t)1 << 20) /* spec and status of one record, each */

struct kon_store;

struct kon_record {
	const char *kind;
	const char *name;
	const char *uid;
	int64_t rev;
	const char *created; /* RFC 3339, for people */
	int64_t generation;  /* version of the spec alone; 0: the store does not count it */
	int64_t age_ms;      /* since the last write by anybody but KON_BY_QUEUE, by the store's clock */
	bool deleting;       /* it goes as soon as those who asked to be waited for let it go */
	int64_t came_at_ms;  /* news that were put off: when they came, boot clock; 0: just now */
	const char *spec;    /* JSON text, as it was written */
	size_t spec_size;
	const char *status;
	size_t status_size;
	const char *damage; /* in a list, of what cannot be read: why, and spec and status are empty; else NULL */
};

/* On whose behalf a record is replaced.  A waiter that joins a queue is no sign of life of the holder. */
enum kon_store_by { KON_BY_HOLDER, KON_BY_QUEUE, KON_BY_GC };

struct kon_store_how {
	enum kon_store_by by;
	const char *first; /* the session whose waiter should wake before the others, or NULL */
	int64_t limit_ms;  /* longest wait for the answer; 0: the store's own */
};

/* First member of every request under way.  cancel takes it: no callback comes any more, and a write may still be
 * applied. */
struct kon_store_call {
	void (*cancel)(struct kon_store_call *call);
};

struct kon_reply {
	/* For each record of the answer, in order of name. */
	void (*record)(void *data, const struct kon_record *record);
	/* Last.  err is borrowed, and filled unless code is 0. */
	void (*done)(void *data, int code, const struct kon_err *err);
	void *data;
};

struct kon_store_sub;

/* A record changed.  name is NULL when the watch is on a whole kind and the store does not say which.  record is NULL
 * when it was deleted, and when the store does not send along what it is now. */
struct kon_store_watch {
	void (*changed)(void *data, const char *name, const struct kon_record *record);
	void *data;
	/* A session, copied: what tells of the hold of another one (the session of its status) may be told up to a
	 * second later, together with what follows; all else at once, and that too in which a hold of this session
	 * ends.  NULL: everything at once. */
	const char *first;
};

struct kon_store_ops {
	/* limit_ms: longest wait for the answer; 0: the store's own. */
	struct kon_store_call *(*get)(struct kon_store *store, const char *kind, const char *name, int64_t limit_ms,
	                              struct kon_reply reply);
	struct kon_store_call *(*list)(struct kon_store *store, const char *kind, struct kon_reply reply);
	/* Always unheld: the status of the new record is {}. */
	struct kon_store_call *(*create)(struct kon_store *store, const char *kind, const char *name, const char *spec,
	                                 size_t size, struct kon_reply reply);
	/* Only if uid and rev of record still match; of record, kind, name, uid and rev are read. */
	struct kon_store_call *(*replace)(struct kon_store *store, const struct kon_record *record, const char *status,
	                                  size_t size, const struct kon_store_how *how, struct kon_reply reply);
	struct kon_store_call *(*delete)(struct kon_store *store, const struct kon_record *record,
	                                 struct kon_reply reply);
	/* name NULL: every record of the kind.  Calls changed from the loop for every commit after this returned;
	 * changes may be merged, told late or twice, and rarely not at all. */
	int (*watch)(struct kon_store *store, const char *kind, const char *name, struct kon_store_watch watch,
	             struct kon_store_sub **out, struct kon_err *err);
	/* Calls gone once, from the loop, when no process of the session lives; never when the store cannot know. */
	int (*peer)(struct kon_store *store, const char *session, void (*gone)(void *data), void *data,
	            struct kon_store_sub **out, struct kon_err *err);
	/* To be kept by everything that acts under this session (kon_proc_spec.keep_fd); -1: the store needs none. */
	int (*keep_fd)(const struct kon_store *store);
	/* Ends requests, watches and the session.  orderly: no record names this session as its holder any more, so
	 * nobody will ask for it.  Subscriptions that are left only await their end. */
	void (*close)(struct kon_store *store, bool orderly);
};

/* First member of every store. */
struct kon_store {
	const struct kon_store_ops *ops;
	const char *place; /* for people: "sqlite:/path" */
};

/* First member of every subscription.  end takes it; it is fine within the subscription's callback of a watch. */
struct kon_store_sub {
	void (*end)(struct kon_store_sub *sub);
	/* Tells now what was put off; false when nothing was.  Not within a callback.  NULL: this store puts nothing
	 * off. */
	bool (*catch_up)(struct kon_store_sub *sub);
};

/* Whether kind and name are what Kubernetes would take: [A-Z][A-Za-z0-9]{0,62} and a DNS-1123 subdomain of at most
 * 253 bytes.  KON_USAGE with what is wrong. */
int kon_store_check_name(const char *kind, const char *name, struct kon_err *err);

/* A namespace is a DNS-1123 label of at most 63 bytes. */
int kon_store_check_namespace(const char *name_space, struct kon_err *err);

/* A copy in one piece, to be freed with free(); NULL without memory. */
struct kon_record *kon_record_copy(const struct kon_record *record);

#endif
