/*
 * Records as objects of the Kubernetes API, and back.  Pure: texts and times in, texts out.
 *
 * Two dialects share what lies here (names, metadata, ages): custom resources of konductor.io
 * (kube_crd.c), and coordination Leases alone (kube_lease.c).
 */
#ifndef KON_KUBE_OBJECT_H
#define KON_KUBE_OBJECT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

#define KON_KUBE_NAME 254 /* a name of at most 253 bytes */
#define KON_KUBE_LABEL "konductor.io/kind"

/* A record on its way out of an object.  Its strings are here or in the object, which must outlive it. */
struct kon_kube_record {
	struct kon_record record;
	char name[KON_KUBE_NAME];
	char *spec;
	char *status;
	char *damage;
};

/* What is written over an object. */
struct kon_kube_change {
	const struct kon_record *record; /* kind, name, uid, rev */
	const char *name_space;
	const char *status;
	size_t size;
	enum kon_store_by by;
	int64_t wall_us; /* our wall clock, since 1970 */
};

struct kon_kube_dialect {
	const char *word;   /* "kube" */
	const char *group;  /* "/apis/konductor.io/v1" */
	const char *status; /* behind the path of an object that is replaced: "/status" or "" */
	bool whole;         /* a replace writes the whole object, and so needs the last one that was seen */
	const char
		*holder[2]; /* the member of an object that ends with the session that holds, and is empty when free */
	const char *(*plural)(const char *kind);
	bool (*prefixed)(const char *kind); /* the object's name is kind.name, in small letters */
	bool (*labelled)(const char *kind); /* one resource holds several kinds: a list selects by KON_KUBE_LABEL */
	int (*check_name)(const char *kind, const char *name, struct kon_err *err);
	/* A new object, unheld; metadata is taken.  NULL: no memory. */
	cJSON *(*make)(const char *kind, cJSON *metadata, const char *spec, size_t size);
	/* The object with a new status; seen is borrowed, and NULL unless whole.  NULL with err. */
	cJSON *(*change)(const cJSON *seen, cJSON *metadata, const struct kon_kube_change *change, struct kon_err *err);
	/* Fills spec and status of out. */
	int (*read)(const cJSON *object, const char *kind, struct kon_kube_record *out, struct kon_err *err);
};

extern const struct kon_kube_dialect kon_kube_crd;   /* "kube" */
extern const struct kon_kube_dialect kon_kube_lease; /* "kube-lease" */

/* The object that keeps a record, or KON_USAGE. */
int kon_kube_object_name(const struct kon_kube_dialect *dialect, const char *kind, const char *name,
                         char out[KON_KUBE_NAME], struct kon_err *err);

/* Bodies of requests, to be freed with cJSON_free(); NULL with err. */
char *kon_kube_make(const struct kon_kube_dialect *dialect, const char *name_space, const char *kind, const char *name,
                    const char *spec, size_t size, struct kon_err *err);
char *kon_kube_change(const struct kon_kube_dialect *dialect, const cJSON *seen, const struct kon_kube_change *change,
                      struct kon_err *err);
char *kon_kube_delete(const struct kon_record *record, struct kon_err *err);

/* The name of the manager that writes on whose behalf. */
const char *kon_kube_manager(enum kon_store_by by);

/* Parses the text of an object, list or event; cJSON_Delete() frees it.  NULL with err: KON_CORRUPT. */
cJSON *kon_kube_parse(const char *text, size_t size, struct kon_err *err);

/* Whether a text of this object had a NUL in it, where cJSON would have cut it off. */
bool kon_kube_has_nul(const cJSON *object);

/* The record of that kind in an object; date_s is the server's clock, 0: unknown.  On success, done frees. */
int kon_kube_read(const struct kon_kube_dialect *dialect, const cJSON *object, const char *kind, int64_t date_s,
                  struct kon_kube_record *out, struct kon_err *err);
void kon_kube_record_done(struct kon_kube_record *record);

/* For an object that kon_kube_read() refuses as why says: what is known of it all the same, to be listed beside others.
 * KON_CORRUPT when it has not even a name or version. */
int kon_kube_read_damaged(const struct kon_kube_dialect *dialect, const cJSON *object, const char *kind,
                          const struct kon_err *why, struct kon_kube_record *out, struct kon_err *err);

/* What an event needs before its object is read: its name and version. */
int kon_kube_identify(const cJSON *object, const char **object_name, const char **uid, int64_t *rev,
                      struct kon_err *err);

/* A resourceVersion as a number; KON_CORRUPT. */
int kon_kube_rev(const char *text, int64_t *rev, struct kon_err *err);

/* KON_VERSION unless each name that was sent came back: an older CRD prunes those it does not know. */
int kon_kube_check_kept(const char *what, const char *sent, const char *got, struct kon_err *err);

/* ---- for the dialects ---- */

/* The string of a member, or NULL. */
const char *kon_kube_text(const cJSON *object, const char *key);

/* The number at key as an integer of 0 to most, whatever its size; otherwise where there is none. */
int64_t kon_kube_whole(const cJSON *object, const char *key, int64_t most, int64_t otherwise);
/* The JSON of an item with every digit of its numbers, to be freed with cJSON_free(); NULL without memory. */
char *kon_kube_print(const cJSON *item);
/* Adds text as it is. */
void kon_kube_add_raw(cJSON *object, const char *key, const char *text, size_t size);
/* kind in small letters. */
void kon_kube_lower(const char *kind, char out[64]);

#endif
