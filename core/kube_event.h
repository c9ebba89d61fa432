/*
 * What a watch sends: lines in pieces of any size, each an event.  Pure.
 */
#ifndef KON_KUBE_EVENT_H
#define KON_KUBE_EVENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "kube_object.h"

#define KON_KUBE_MAX_LINE ((size_t)4 << 20)

struct kon_kube_lines {
	struct kon_buf rest; /* of a line whose end has not come */
};

void kon_kube_lines_init(struct kon_kube_lines *lines);
void kon_kube_lines_done(struct kon_kube_lines *lines);

/* Gives each line that the piece ends to line, without its end, until that returns false.  KON_TOO_BIG. */
int kon_kube_lines_feed(struct kon_kube_lines *lines, const char *bytes, size_t size,
                        bool (*line)(void *data, const char *text, size_t size), void *data, struct kon_err *err);

enum kon_kube_event_type {
	KON_KUBE_CHANGED,
	KON_KUBE_GONE,
	KON_KUBE_BOOKMARK,
	KON_KUBE_ERROR,
	KON_KUBE_OTHER, /* of a type that is not known here */
};

struct kon_kube_event {
	enum kon_kube_event_type type;
	int code; /* KON_KUBE_ERROR: HTTP status, 410 for "too old" */
	const cJSON *object;
	cJSON *root;
};

/* KON_CORRUPT for what is no event.  On success, done frees. */
int kon_kube_event_read(struct kon_kube_event *event, const char *text, size_t size, struct kon_err *err);
void kon_kube_event_done(struct kon_kube_event *event);

enum kon_kube_whose {
	KON_KUBE_ANYONES, /* of what is free, new, gone, or not understood at a glance */
	KON_KUBE_OURS,
	KON_KUBE_OTHERS,
};

/* Of whose hold a line tells, at a glance: for the choice of what is read first, and for nothing else.  session is 32
 * hex digits drawn at random, so what ends with them is ours. */
enum kon_kube_whose kon_kube_event_whose(const struct kon_kube_dialect *dialect, const char *text, size_t size,
                                         const char *session);

#endif
