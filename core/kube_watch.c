#include "kube_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kube_event.h"
#include "kube_known.h"
#include "kube_later.h"
#include "kube_path.h"
#include "kube_status.h"
#include "kube_subs.h"

#define BEGIN_MS 20 /* a subscription that is closed at once costs nothing */
#define HEAD_MS 5000
#define IDLE_MS 90000 /* bookmarks come every minute */
#define HEALTHY_MS 10000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define LIST_EVERY_MS 1000
#define FORBIDDEN_MS 60000 /* rights may be given */
#define FAILURES_TO_LIST 3

struct watcher {
	struct kon_kube_watches *watches;
	struct watcher *next;
	struct kon_kube_subs subs;
	char *kind;
	char *name;   /* NULL: the whole kind */
	char *object; /* of name */
	struct kon_kube_known known;
	struct kon_kube_lines lines;
	struct kon_kube_later later; /* a line that tells of another's hold */
	struct kon_kube_call *call;  /* the list or the watch under way */
	struct kon_timer next_try;
	char *rev; /* to watch from; NULL: list first */
	int64_t listed_at_ms;
	int64_t began_at_ms;
	int failures; /* in a row */
	bool told;    /* the first list has been told of */
	bool ours;    /* what was told last may be a hold of ours: its end cannot wait */
	bool fresh;   /* the last connection fell silent */
	bool busy;    /* in a callback of ours */
};

struct kon_kube_watches {
	struct kon_kube_watches_options o;
	struct watcher *first;
	struct kon_kube_watch_counts counts;
	bool warned;
};

static void *need(void *memory)
{
	if (memory == NULL)
		abort(); /* the guards kill what runs when we are gone */
	return memory;
}

/* ---- telling ---- */

static void tell(struct watcher *watcher, const char *name, const struct kon_record *record)
{
	kon_kube_subs_tell(&watcher->subs, watcher->name != NULL ? watcher->name : name, record);
}

static void tell_gone(struct watcher *watcher, const struct kon_kube_entry *entry)
{
	tell(watcher, entry->name, NULL);
}

/* An object as a list or an event gives it.  What cannot be read is told without its content: who then gets it learns
 * what is wrong. */
static void take(struct watcher *watcher, const cJSON *object, bool gone, int64_t date_s, int64_t came_at_ms)
{
	struct kon_kube_watches *watches = watcher->watches;
	struct kon_kube_record read;
	struct kon_err err;
	const char *object_name, *uid;
	int64_t rev;
	if (kon_kube_identify(object, &object_name, &uid, &rev, &err) != 0)
		return;
	struct kon_kube_entry *entry = kon_kube_known_take(&watcher->known, object_name, rev, gone);
	if (entry == NULL)
		return;
	bool readable = kon_kube_read(watches->o.dialect, object, watcher->kind, date_s, &read, &err) == 0;
	if (readable && entry->name == NULL)
		entry->name = need(strdup(read.name));
	read.record.came_at_ms = came_at_ms;
	if (gone) {
		tell_gone(watcher, entry);
	} else {
		if (watches->o.seen != NULL)
			watches->o.seen(watches->o.data, object);
		tell(watcher, entry->name, readable ? &read.record : NULL);
	}
	if (readable)
		kon_kube_record_done(&read);
}

/* ---- what is done next ---- */

static void begin(struct watcher *watcher);

static void on_next_try(struct kon_timer *timer, void *data)
{
	(void)timer;
	begin(data);
}

static void again_in(struct watcher *watcher, int64_t ms)
{
	kon_timer_start(watcher->watches->o.loop, &watcher->next_try, kon_clock_boot_ms() + ms);
}

static void list_next(struct watcher *watcher)
{
	free(watcher->rev);
	watcher->rev = NULL;
}

static void again(struct watcher *watcher)
{
	int64_t now_ms = kon_clock_boot_ms();
	int64_t ms = BACKOFF_MIN_MS;
	if (now_ms - watcher->began_at_ms >= HEALTHY_MS)
		watcher->failures = 0;
	if (watcher->failures++ >= FAILURES_TO_LIST)
		list_next(watcher);
	for (int i = 1; i < watcher->failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	ms = ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms;
	ms = ms / 2 + kon_kube_jitter(ms / 2);
	if (watcher->rev == NULL && watcher->listed_at_ms + LIST_EVERY_MS > now_ms + ms)
		ms = watcher->listed_at_ms + LIST_EVERY_MS - now_ms;
	again_in(watcher, ms);
}

/* The right is missing: those who decide have timers of their own, so this is silence and no failure. */
static void forbidden(struct watcher *watcher, const struct kon_err *err)
{
	struct kon_kube_watches *watches = watcher->watches;
	char sentence[700];
	if (!watches->warned && watches->o.warn != NULL) {
		watches->warned = true;
		snprintf(sentence, sizeof(sentence), "changes of %s are noticed late, without a watch: %s",
		         watches->o.dialect->plural(watcher->kind), err->detail);
		watches->o.warn(watches->o.data, sentence);
	}
	list_next(watcher);
	again_in(watcher, FORBIDDEN_MS);
}

static void failed(struct watcher *watcher, const struct kon_http_answer *answer)
{
	struct kon_err err = answer->err;
	struct kon_kube_ask ask = {
		.verb = KON_KUBE_GET,
		.word = watcher->watches->o.dialect->word,
		.resource = watcher->watches->o.dialect->plural(watcher->kind),
		.object = NULL,
		.name_space = watcher->watches->o.name_space,
	};
	int code = answer->code;
	if (code == 0)
		code = kon_kube_judge(&ask, answer->status, answer->content_type, answer->body, answer->size, &err);
	if (code == KON_DENIED) {
		forbidden(watcher, &err);
		return;
	}
	if (answer->code == 0 && answer->status == 410)
		list_next(watcher);
	watcher->fresh = answer->code == KON_UNKNOWN;
	again(watcher);
}

/* ---- LIST ---- */

static void take_list(struct watcher *watcher, const cJSON *root, int64_t date_s)
{
	const cJSON *item;
	struct kon_err err;
	struct kon_kube_entry *entry;
	int64_t rev;
	bool first = !watcher->told;
	const char *version = kon_kube_text(cJSON_GetObjectItemCaseSensitive(root, "metadata"), "resourceVersion");
	if (kon_kube_rev(version, &rev, &err) != 0) {
		again(watcher);
		return;
	}
	kon_kube_later_drop(&watcher->later); /* it came before the list was asked for */
	kon_kube_known_begin(&watcher->known, rev);
	watcher->told = watcher->ours = true;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, "items"))
	{
		take(watcher, item, false, date_s, 0);
	}
	while ((entry = kon_kube_known_missing(&watcher->known, rev)) != NULL)
		tell_gone(watcher, entry);
	if (first && watcher->name != NULL && watcher->known.count == 0)
		tell(watcher, watcher->name, NULL);
	list_next(watcher);
	watcher->rev = need(strdup(version));
	begin(watcher);
}

static void settle(struct watcher *watcher);

static void on_list(void *data, const struct kon_http_answer *answer)
{
	struct watcher *watcher = data;
	struct kon_err err;
	watcher->call = NULL;
	watcher->busy = true;
	cJSON *root = NULL;
	if (answer->code == 0 && answer->status == 200)
		root = kon_kube_parse(answer->body, answer->size, &err);
	if (root != NULL)
		take_list(watcher, root, answer->date_s);
	else
		failed(watcher, answer);
	cJSON_Delete(root);
	settle(watcher);
}

/* ---- WATCH ---- */

static void move_on(struct watcher *watcher, const cJSON *object)
{
	const char *version = kon_kube_text(cJSON_GetObjectItemCaseSensitive(object, "metadata"), "resourceVersion");
	int64_t rev;
	struct kon_err err;
	if (kon_kube_rev(version, &rev, &err) != 0) /* it becomes part of an address */
		return;
	free(watcher->rev);
	watcher->rev = need(strdup(version));
}

static bool take_line(struct watcher *watcher, const char *text, size_t size, int64_t came_at_ms)
{
	struct kon_kube_watch_counts *counts = &watcher->watches->counts;
	struct kon_kube_event event;
	struct kon_err err;
	if (kon_kube_event_read(&event, text, size, &err) != 0) {
		counts->unknown_events++;
		return true;
	}
	counts->events++;
	if (event.type == KON_KUBE_CHANGED || event.type == KON_KUBE_GONE)
		kon_kube_later_drop(&watcher->later); /* of the same object, and older */
	else
		kon_kube_later_now(&watcher->later);
	switch (event.type) {
	case KON_KUBE_CHANGED:
	case KON_KUBE_GONE:
		take(watcher, event.object, event.type == KON_KUBE_GONE, 0, came_at_ms);
		move_on(watcher, event.object);
		break;
	case KON_KUBE_BOOKMARK:
		move_on(watcher, event.object);
		break;
	case KON_KUBE_ERROR:
		if (event.code == 410)
			list_next(watcher);
		break; /* the server ends the watch after it */
	case KON_KUBE_OTHER:
		counts->unknown_events++;
		break;
	}
	kon_kube_event_done(&event);
	return watcher->subs.list != NULL;
}

static bool on_line(void *data, const char *text, size_t size)
{
	struct watcher *watcher = data;
	struct kon_kube_watches *watches = watcher->watches;
	const char *first = watcher->name != NULL ? kon_kube_subs_first(&watcher->subs) : NULL;
	enum kon_kube_whose whose = KON_KUBE_ANYONES;
	if (first != NULL)
		whose = kon_kube_event_whose(watches->o.dialect, text, size, first);
	if (whose == KON_KUBE_OTHERS && !watcher->ours) {
		watches->counts.put_off++;
		kon_kube_later_put(&watcher->later, text, size);
		return true;
	}
	watcher->ours = whose == KON_KUBE_OURS;
	return take_line(watcher, text, size, 0);
}

static void on_later(void *data, const char *text, size_t size, int64_t came_at_ms)
{
	struct watcher *watcher = data;
	bool busy = watcher->busy;
	watcher->busy = true;
	take_line(watcher, text, size, came_at_ms);
	if (!busy)
		settle(watcher);
}

static void on_piece(void *data, const char *bytes, size_t size)
{
	struct watcher *watcher = data;
	struct kon_err err;
	watcher->busy = true;
	if (kon_kube_lines_feed(&watcher->lines, bytes, size, on_line, watcher, &err) != 0) {
		watcher->watches->counts.too_big++;
		kon_kube_cancel(watcher->call);
		watcher->call = NULL;
		list_next(watcher);
		again(watcher);
	}
	settle(watcher);
}

static void on_watch_end(void *data, const struct kon_http_answer *answer)
{
	struct watcher *watcher = data;
	watcher->call = NULL;
	watcher->busy = true;
	if (answer->code == 0 && answer->status == 200) {
		watcher->fresh = false;
		again(watcher);
	} else {
		failed(watcher, answer);
	}
	settle(watcher);
}

static void begin(struct watcher *watcher)
{
	const struct kon_kube_watches_options *o = &watcher->watches->o;
	char tail[160] = "";
	bool watch = watcher->rev != NULL;
	if (watch)
		snprintf(tail, sizeof(tail), "&watch=1&resourceVersion=%s&allowWatchBookmarks=true&timeoutSeconds=%d",
		         watcher->rev, 270 + (int)kon_kube_jitter(30));
	char *path = kon_kube_path_list(o->dialect, o->name_space, watcher->kind, watcher->object, tail);
	struct kon_kube_request request = {
		.method = "GET",
		.path = path,
		.limit_ms = HEAD_MS,
		.idle_ms = watch ? IDLE_MS : 0,
		.max_bytes = watch ? 0 : KON_KUBE_MAX_LIST,
		.rank = KON_KUBE_READ,
		.fresh = watcher->fresh,
		.piece = watch ? on_piece : NULL,
		.done = watch ? on_watch_end : on_list,
		.data = watcher,
	};
	watcher->began_at_ms = kon_clock_boot_ms();
	if (watch) {
		watcher->watches->counts.watches++;
		kon_kube_lines_done(&watcher->lines);
		kon_kube_known_forget_gone(&watcher->known);
	} else {
		watcher->watches->counts.lists++;
		watcher->listed_at_ms = watcher->began_at_ms;
	}
	watcher->call = kon_kube_start(o->kube, &request);
	free(path);
}

/* ---- who follows ---- */

static void free_watcher(struct watcher *watcher)
{
	kon_timer_stop(watcher->watches->o.loop, &watcher->next_try);
	if (watcher->call != NULL)
		kon_kube_cancel(watcher->call);
	kon_kube_later_done(&watcher->later);
	kon_kube_known_done(&watcher->known);
	kon_kube_lines_done(&watcher->lines);
	free(watcher->rev);
	free(watcher->kind);
	free(watcher->name);
	free(watcher->object);
	free(watcher);
}

/* After a callback: those who ended their subscription within it go, and the watcher with the last of them. */
static void settle(struct watcher *watcher)
{
	watcher->busy = false;
	if (kon_kube_subs_sweep(&watcher->subs))
		return;
	struct watcher **link = &watcher->watches->first;
	while (*link != watcher)
		link = &(*link)->next;
	*link = watcher->next;
	free_watcher(watcher);
}

static void on_sub_end(void *owner)
{
	struct watcher *watcher = owner;
	if (!watcher->busy)
		settle(watcher);
}

static bool on_catch_up(void *owner)
{
	struct watcher *watcher = owner;
	return kon_kube_later_now(&watcher->later);
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static struct watcher *find_or_make(struct kon_kube_watches *watches, const char *kind, const char *name,
                                    const char *object)
{
	struct watcher *watcher = watches->first;
	while (watcher != NULL && !(same(watcher->kind, kind) && same(watcher->name, name)))
		watcher = watcher->next;
	if (watcher != NULL)
		return watcher;
	watcher = need(calloc(1, sizeof(*watcher)));
	watcher->watches = watches;
	watcher->kind = need(strdup(kind));
	watcher->name = name != NULL ? need(strdup(name)) : NULL;
	watcher->object = name != NULL ? need(strdup(object)) : NULL;
	watcher->subs = (struct kon_kube_subs){.ended = on_sub_end, .catch_up = on_catch_up, .owner = watcher};
	kon_kube_lines_init(&watcher->lines);
	kon_kube_later_init(&watcher->later, watches->o.loop, watches->o.later_ms, on_later, watcher);
	watcher->next_try = (struct kon_timer){.fire = on_next_try, .data = watcher};
	watcher->listed_at_ms = -LIST_EVERY_MS;
	watcher->next = watches->first;
	watches->first = watcher;
	again_in(watcher, BEGIN_MS);
	return watcher;
}

struct kon_store_sub *kon_kube_watch(struct kon_kube_watches *watches, const char *kind, const char *name,
                                     const char *object, struct kon_store_watch watch)
{
	struct watcher *watcher = find_or_make(watches, kind, name, object);
	return kon_kube_subs_add(&watcher->subs, &watch);
}

struct kon_kube_watches *kon_kube_watches_new(const struct kon_kube_watches_options *options)
{
	struct kon_kube_watches *watches = need(calloc(1, sizeof(*watches)));
	watches->o = *options;
	return watches;
}

void kon_kube_watches_free(struct kon_kube_watches *watches)
{
	while (watches != NULL && watches->first != NULL) {
		struct watcher *watcher = watches->first;
		watches->first = watcher->next;
		kon_kube_subs_abandon(&watcher->subs);
		free_watcher(watcher);
	}
	free(watches);
}

struct kon_kube_watch_counts kon_kube_watch_counts(const struct kon_kube_watches *watches)
{
	return watches->counts;
}
