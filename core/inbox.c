/* Inboxes: queues of events with at most one waiting task.  How tasks run is in task.c. */
#include <lauxlib.h>
#include <stdlib.h>

#include "clock.h"
#include "lua_core.h"
#include "lua_type.h"
#include "task_impl.h"

#define INBOX_TYPE "konductor.inbox"

/* An event posted by Lua: a table kept in the registry. */
struct lua_event {
	struct kon_event base;
	lua_State *L;
	int ref;
};

static void free_queue(struct kon_inbox *inbox)
{
	while (inbox->first != NULL) {
		struct kon_event *event = inbox->first;
		inbox->first = event->next;
		event->free(event);
	}
	inbox->last = &inbox->first;
}

void kon_inbox_release(struct kon_inbox *inbox)
{
	if (inbox == NULL || --inbox->refs > 0)
		return;
	free_queue(inbox);
	free(inbox);
}

void kon_inbox_post(struct kon_inbox *inbox, struct kon_event *event)
{
	if (inbox->closed) {
		event->free(event);
		return;
	}
	event->next = NULL;
	*inbox->last = event;
	inbox->last = &event->next;
	if (inbox->waiter != NULL)
		kon_task_ready(inbox->waiter, WAKE_EVENT);
}

void kon_inbox_push_first(lua_State *L, struct kon_inbox *inbox)
{
	struct kon_event *event = inbox->first;
	inbox->first = event->next;
	if (inbox->first == NULL)
		inbox->last = &inbox->first;
	event->push(L, event);
	event->free(event);
}

static struct kon_inbox *check_inbox(lua_State *L, int idx)
{
	return *(struct kon_inbox **)luaL_checkudata(L, idx, INBOX_TYPE);
}

struct kon_inbox *kon_inbox_acquire(lua_State *L, int idx)
{
	struct kon_inbox *inbox = check_inbox(L, idx);
	inbox->refs++;
	return inbox;
}

int kon_lua_inbox(lua_State *L)
{
	struct kon_inbox **slot = lua_newuserdata(L, sizeof(*slot));
	struct kon_inbox *inbox = calloc(1, sizeof(*inbox));
	if (inbox == NULL)
		return luaL_error(L, "out of memory");
	inbox->sched = kon_sched_of(L);
	inbox->last = &inbox->first;
	inbox->refs = 1;
	*slot = inbox;
	luaL_getmetatable(L, INBOX_TYPE);
	lua_setmetatable(L, -2);
	lua_newtable(L); /* the anchored subscriptions */
	lua_setfenv(L, -2);
	return 1;
}

void kon_inbox_anchor(lua_State *L, int inbox_idx, int idx)
{
	lua_pushvalue(L, idx);
	lua_getfenv(L, inbox_idx < 0 ? inbox_idx - 1 : inbox_idx);
	lua_insert(L, -2);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

void kon_inbox_unanchor(lua_State *L, int inbox_idx, int idx)
{
	lua_pushvalue(L, idx);
	lua_getfenv(L, inbox_idx < 0 ? inbox_idx - 1 : inbox_idx);
	lua_insert(L, -2);
	lua_pushnil(L);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

/* inbox:wait(until_ms|nil) -> event | nil,"timeout" | nil,"cancelled" */
static int inbox_wait(lua_State *L)
{
	struct kon_inbox *inbox = check_inbox(L, 1);
	struct kon_sched *sched = inbox->sched;
	struct kon_task *task = sched->running;
	bool timed = !lua_isnoneornil(L, 2);
	int64_t at_ms = timed ? kon_lua_check_ms(L, 2) : INT64_MAX;

	if (task == NULL || task->co != L)
		return luaL_error(L, "wait is only possible in a task, not in a coroutine of the script's own");
	if (inbox->waiter != NULL)
		return luaL_error(L, "another task waits on this inbox already");
	if (!lua_isyieldable(L)) /* asked before anything is set up, because lua_yield would raise after it */
		return luaL_error(L, "wait is not possible within a function of C, such as a comparison of table.sort");
	if (task->cancel_pending || inbox->closed) {
		task->cancel_pending = false;
		lua_pushnil(L);
		lua_pushliteral(L, "cancelled");
		return 2;
	}
	if (inbox->first != NULL) {
		kon_inbox_push_first(L, inbox);
		return 1;
	}
	if (at_ms != INT64_MAX && lua_tonumber(L, 2) > (double)at_ms)
		at_ms++; /* a wait may end late, never early */
	if (timed && at_ms <= kon_clock_boot_ms()) {
		lua_pushnil(L);
		lua_pushliteral(L, "timeout");
		return 2;
	}
	inbox->waiter = task;
	inbox->refs++;
	task->waits_on = inbox;
	if (at_ms != INT64_MAX)
		kon_timer_start(sched->loop, &task->deadline, at_ms);
	return lua_yield(L, 0);
}

static void push_lua_event(lua_State *L, struct kon_event *event)
{
	struct lua_event *posted = (struct lua_event *)event;
	lua_rawgeti(L, LUA_REGISTRYINDEX, posted->ref);
}

static void free_lua_event(struct kon_event *event)
{
	struct lua_event *posted = (struct lua_event *)event;
	luaL_unref(posted->L, LUA_REGISTRYINDEX, posted->ref);
	free(posted);
}

void kon_inbox_post_table(lua_State *L, struct kon_inbox *inbox)
{
	struct lua_event *event = calloc(1, sizeof(*event));
	if (event == NULL)
		luaL_error(L, "out of memory");
	event->base.push = push_lua_event;
	event->base.free = free_lua_event;
	event->L = inbox->sched->L;
	event->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	kon_inbox_post(inbox, &event->base);
}

static int inbox_post(lua_State *L)
{
	struct kon_inbox *inbox = check_inbox(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	kon_inbox_post_table(L, inbox);
	return 0;
}

static int inbox_close(lua_State *L)
{
	struct kon_inbox *inbox = check_inbox(L, 1);
	if (inbox->closed)
		return 0;
	inbox->closed = true;
	free_queue(inbox);
	if (inbox->waiter != NULL)
		kon_task_ready(inbox->waiter, WAKE_CANCEL);
	lua_getfenv(L, 1);
	lua_newtable(L);
	lua_setfenv(L, 1);
	for (lua_pushnil(L); lua_next(L, 2) != 0; lua_settop(L, 3)) {
		lua_getfield(L, 3, "close");
		lua_pushvalue(L, 3);
		lua_call(L, 1, 0);
	}
	return 0;
}

static int inbox_gc(lua_State *L)
{
	struct kon_inbox *inbox = check_inbox(L, 1);
	inbox->closed = true;
	/* Now, because its other owners may outlive the Lua state, and events name what belongs to that. */
	free_queue(inbox);
	kon_inbox_release(inbox);
	return 0;
}

void kon_inbox_register(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"wait", inbox_wait}, {"post", inbox_post}, {"close", inbox_close}, {"__gc", inbox_gc}, {NULL, NULL}};
	kon_lua_make_type(L, INBOX_TYPE, methods, NULL);
}
