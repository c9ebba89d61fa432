#include "lua_sub.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lua_core.h"
#include "lua_request.h"
#include "lua_type.h"
#include "task.h"

#define SUB_TYPE "konductor.subscription"

/* More names of one kind than this wait in an inbox as one event without a name: "any of them". */
#define MAX_PENDING 256

/* What a subscription posts from; events that are still queued keep it alive. */
struct feed {
	int refs;
	int pending;
	bool pending_any; /* an event without a name is queued */
	bool is_peer;
	struct feed_event *last; /* of a name: the event that is queued */
	struct kon_inbox *inbox; /* counted; NULL after close */
	struct kon_store_sub *source;
	char *word; /* kind, or session */
	char *name; /* NULL: of a kind, or a peer */
};

struct feed_event {
	struct kon_event base;
	struct feed *feed;
	char *name;                /* NULL: any */
	struct kon_record *record; /* owned; NULL: not sent along */
};

static void release_feed(struct feed *feed)
{
	if (--feed->refs > 0)
		return;
	free(feed->word);
	free(feed->name);
	free(feed);
}

static void push_event(lua_State *L, struct kon_event *base)
{
	const struct feed_event *event = (const struct feed_event *)base;
	const struct feed *feed = event->feed;
	struct kon_err err;
	lua_createtable(L, 0, 4);
	kon_lua_set_text(L, "type", feed->is_peer ? "gone" : "changed");
	kon_lua_set_text(L, feed->is_peer ? "session" : "kind", feed->word);
	if (event->name != NULL)
		kon_lua_set_text(L, "name", event->name);
	/* One that is damaged is not sent along: whoever reads it then is told what is wrong. */
	if (event->record != NULL && kon_lua_push_record(L, event->record, NULL, &err) == 0)
		lua_setfield(L, -2, "record");
}

static void free_event(struct kon_event *base)
{
	struct feed_event *event = (struct feed_event *)base;
	event->feed->pending--;
	if (event->name == NULL)
		event->feed->pending_any = false;
	if (event->feed->last == event)
		event->feed->last = NULL;
	free(event->record);
	free(event->name);
	release_feed(event->feed);
	free(event);
}

static struct kon_record *copy_record(const struct kon_record *record)
{
	struct kon_record *copy = record != NULL ? kon_record_copy(record) : NULL;
	if (record != NULL && copy == NULL)
		abort(); /* the guards kill what runs when we are gone */
	return copy;
}

static struct feed_event *post(struct feed *feed, const char *name, const struct kon_record *record)
{
	struct feed_event *event = calloc(1, sizeof(*event));
	char *copy = name != NULL ? strdup(name) : NULL;
	if (event == NULL || (name != NULL && copy == NULL))
		abort();
	*event = (struct feed_event){.base = {.push = push_event, .free = free_event}, .feed = feed, .name = copy};
	event->record = copy_record(record);
	feed->refs++;
	feed->pending++;
	feed->pending_any = feed->pending_any || name == NULL;
	kon_inbox_post(feed->inbox, &event->base);
	return event;
}

/* An event that waits says as much as another one, once it has the newer record, which a store tells last.  Of a whole kind,
 * records are not sent along: that many could wait. */
static void on_changed(void *data, const char *name, const struct kon_record *record)
{
	struct feed *feed = data;
	if (feed->name == NULL) {
		if (!feed->pending_any)
			post(feed, feed->pending < MAX_PENDING ? name : NULL, NULL);
	} else if (feed->last != NULL) {
		free(feed->last->record);
		feed->last->record = copy_record(record);
	} else {
		struct feed_event *event = post(feed, name, record);
		feed->last = feed->pending > 0 ? event : NULL; /* a closed inbox has freed it */
	}
}

static void on_gone(void *data)
{
	post(data, NULL, NULL);
}

static void close_feed(struct feed *feed)
{
	if (feed == NULL)
		return;
	if (feed->source != NULL)
		feed->source->end(feed->source);
	feed->source = NULL;
	kon_inbox_release(feed->inbox);
	feed->inbox = NULL;
	release_feed(feed);
}

/* Pushes a subscription without a source yet, for the inbox at index 2; the store at index 1 outlives it. */
static struct feed *push_sub(lua_State *L, const char *word, const char *name)
{
	struct feed **slot = lua_newuserdata(L, sizeof(*slot));
	*slot = NULL;
	luaL_getmetatable(L, SUB_TYPE);
	lua_setmetatable(L, -2);
	lua_createtable(L, 2, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	lua_pushvalue(L, 2);
	lua_rawseti(L, -2, 2);
	lua_setfenv(L, -2);
	struct kon_inbox *inbox = kon_inbox_acquire(L, 2);
	struct feed *feed = calloc(1, sizeof(*feed));
	if (feed == NULL)
		abort();
	*feed = (struct feed){.refs = 1, .inbox = inbox, .word = strdup(word), .name = name ? strdup(name) : NULL};
	if (feed->word == NULL || (name != NULL && feed->name == NULL))
		abort();
	*slot = feed;
	return feed;
}

static int finish_sub(lua_State *L, int code, const struct kon_err *err)
{
	if (code != 0)
		return kon_lua_fail(L, err);
	kon_inbox_anchor(L, 2, -1);
	return 1;
}

int kon_lua_watch(lua_State *L, struct kon_store *store, const char *kind, const char *name, const char *first)
{
	struct kon_err err = {0};
	struct feed *feed = push_sub(L, kind, name);
	struct kon_store_watch watch = {.changed = on_changed, .data = feed, .first = first};
	return finish_sub(L, store->ops->watch(store, kind, name, watch, &feed->source, &err), &err);
}

int kon_lua_peer(lua_State *L, struct kon_store *store, const char *session)
{
	struct kon_err err = {0};
	struct feed *feed = push_sub(L, session, NULL);
	feed->is_peer = true;
	return finish_sub(L, store->ops->peer(store, session, on_gone, feed, &feed->source, &err), &err);
}

static int sub_gc(lua_State *L)
{
	struct feed **slot = luaL_checkudata(L, 1, SUB_TYPE);
	close_feed(*slot);
	*slot = NULL;
	return 0;
}

static int sub_close(lua_State *L)
{
	struct feed **slot = luaL_checkudata(L, 1, SUB_TYPE);
	if (*slot == NULL)
		return 0;
	lua_settop(L, 1);
	lua_getfenv(L, 1);
	lua_rawgeti(L, 2, 2);
	kon_inbox_unanchor(L, 3, 1);
	return sub_gc(L);
}

/* subscription:catch_up() -> whether something had been put off and is told now */
static int sub_catch_up(lua_State *L)
{
	struct feed **slot = luaL_checkudata(L, 1, SUB_TYPE);
	struct kon_store_sub *source = *slot != NULL ? (*slot)->source : NULL;
	lua_pushboolean(L, source != NULL && source->catch_up != NULL && source->catch_up(source));
	return 1;
}

void kon_lua_add_sub(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"close", sub_close}, {"catch_up", sub_catch_up}, {"__gc", sub_gc}, {NULL, NULL}};
	kon_lua_make_type(L, SUB_TYPE, methods, NULL);
}
