/*
 * Tasks and inboxes: how Lua waits.
 *
 * A task is one Lua coroutine.  It waits in one place only, inbox:wait(until), and each
 * wait ends exactly once: with an event, with the deadline, or with a cancel.  Events
 * come from C (timers, children, watches) or from Lua, and queue up in an inbox that at
 * most one task waits on.  Whatever ends a wait only marks the task ready; tasks are
 * resumed from one queue, in order, once a turn of the loop.  User code never runs inside
 * a callback of a library.
 */
#ifndef KON_TASK_H
#define KON_TASK_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"
#include "watchdog.h"

struct kon_inbox;
struct kon_sched;

/* What a C module posts.  It embeds this as its first member. */
struct kon_event {
	struct kon_event *next;
	/* Pushes one table on L.  Called at most once, on the task that takes the event. */
	void (*push)(lua_State *L, struct kon_event *event);
	/* Releases the event whether or not it was pushed. */
	void (*free)(struct kon_event *event);
};

/* L is the main state.  Registers the inbox and task metatables. */
int kon_sched_new(struct kon_sched **out, lua_State *L, struct kon_loop *loop, struct kon_watchdog *dog,
                  struct kon_err *err);
/* After the Lua state has closed.  Drops the tasks that still wait.  NULL is fine. */
void kon_sched_free(struct kon_sched *sched);

/* The scheduler of a Lua state, kept in its registry. */
struct kon_sched *kon_sched_of(lua_State *L);
struct kon_loop *kon_sched_loop(struct kon_sched *sched);
struct kon_watchdog *kon_sched_watchdog(struct kon_sched *sched);
lua_State *kon_sched_lua(struct kon_sched *sched); /* the main state: for events that outlive a task */

/* Starts the function on top of L's stack below its nargs arguments (pops them) as the main task.  When it ends the
 * loop stops, and no task runs any more; its first return value is the exit code, 70 after an uncaught error. */
void kon_sched_main(struct kon_sched *sched, lua_State *L, int nargs);
int kon_sched_exit_code(const struct kon_sched *sched);

/* The inbox at idx, or raises.  The pointer is counted: pair with kon_inbox_release. */
struct kon_inbox *kon_inbox_acquire(lua_State *L, int idx);
void kon_inbox_release(struct kon_inbox *inbox);

/* Takes event: queued, or freed at once when the inbox has been closed.  Never runs Lua. */
void kon_inbox_post(struct kon_inbox *inbox, struct kon_event *event);

/* Keeps the object at idx alive as long as the inbox at inbox_idx is open; inbox:close() calls its close method. */
void kon_inbox_anchor(lua_State *L, int inbox_idx, int idx);
void kon_inbox_unanchor(lua_State *L, int inbox_idx, int idx);

/* core.inbox() and core.task(inbox|nil, fn, ...). */
int kon_lua_inbox(lua_State *L);
int kon_lua_task(lua_State *L);

#endif
