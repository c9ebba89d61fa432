/* Tasks and their scheduler: the one place where Lua is resumed.  Inboxes are in inbox.c. */
#include "task.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lua_type.h"
#include "task_impl.h"

#define TASK_TYPE "konductor.task"

/* ---- tasks ---- */

void kon_task_ready(struct kon_task *task, enum wake wake)
{
	struct kon_sched *sched = task->sched;
	if (task->ready)
		return;
	task->ready = true;
	task->wake = wake;
	kon_timer_stop(sched->loop, &task->deadline);
	task->next_ready = NULL;
	*sched->last_ready = task;
	sched->last_ready = &task->next_ready;
	kon_loop_wake(sched->loop);
}

static void release_task(struct kon_task *task)
{
	if (--task->refs == 0)
		free(task);
}

static void on_deadline(struct kon_timer *timer, void *data)
{
	(void)timer;
	kon_task_ready(data, WAKE_TIMEOUT);
}

/* Takes the function and its nargs arguments from the top of L.  The caller owns one reference. */
static struct kon_task *start(struct kon_sched *sched, lua_State *L, int nargs)
{
	struct kon_task *task = calloc(1, sizeof(*task));
	if (task == NULL)
		luaL_error(L, "out of memory");
	task->sched = sched;
	task->refs = 2;
	task->id = ++sched->next_id;
	task->deadline.fire = on_deadline;
	task->deadline.data = task;
	task->start_args = nargs;
	task->next_live = sched->live;
	task->live_link = &sched->live;
	if (sched->live != NULL)
		sched->live->live_link = &task->next_live;
	sched->live = task;
	task->co = lua_newthread(L);
	lua_pushlightuserdata(L, task);
	lua_pushvalue(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
	lua_insert(L, -nargs - 2);
	if (!lua_checkstack(task->co, nargs + 1))
		luaL_error(L, "too many arguments for a task");
	lua_xmove(L, task->co, nargs + 1);
	lua_pop(L, 1);
	kon_task_ready(task, WAKE_START);
	return task;
}

int kon_lua_task(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct kon_inbox *done = lua_isnoneornil(L, 1) ? NULL : kon_inbox_acquire(L, 1);
	struct kon_task *task = start(kon_sched_of(L), L, lua_gettop(L) - 2);
	task->done = done;
	struct kon_task **slot = lua_newuserdata(L, sizeof(*slot));
	*slot = task;
	luaL_getmetatable(L, TASK_TYPE);
	lua_setmetatable(L, -2);
	if (done != NULL) {
		/* The event of its end carries the task itself; remembered by address, weakly. */
		lua_getfield(L, LUA_REGISTRYINDEX, TASK_TYPE ".of");
		lua_pushlightuserdata(L, task);
		lua_pushvalue(L, -3);
		lua_rawset(L, -3);
		lua_pop(L, 1);
	}
	return 1;
}

static int task_cancel(lua_State *L)
{
	struct kon_task *task = *(struct kon_task **)luaL_checkudata(L, 1, TASK_TYPE);
	if (task->co == NULL)
		return 0;
	if (task->waits_on != NULL && !task->ready)
		kon_task_ready(task, WAKE_CANCEL);
	else
		task->cancel_pending = true;
	return 0;
}

static int task_gc(lua_State *L)
{
	release_task(*(struct kon_task **)luaL_checkudata(L, 1, TASK_TYPE));
	return 0;
}

static int task_index(lua_State *L)
{
	struct kon_task *task = *(struct kon_task **)luaL_checkudata(L, 1, TASK_TYPE);
	const char *key = luaL_checkstring(L, 2);
	if (key[0] == 'i' && key[1] == 'd' && key[2] == '\0')
		lua_pushinteger(L, task->id);
	else
		luaL_getmetafield(L, 1, key);
	return 1;
}

/* Replaces the error on top of co by its text with a traceback of co. */
static void describe_error(lua_State *L, lua_State *co)
{
	if (!lua_isstring(co, -1)) {
		lua_getglobal(co, "tostring");
		lua_pushvalue(co, -2);
		if (lua_pcall(co, 1, 1, 0) != 0)
			lua_pushliteral(co, "(an error that cannot be shown)");
	}
	luaL_traceback(L, co, lua_tostring(co, -1), 0);
}

/* Pushes {type="done", task=, ok=, value=} and posts it.  The value is on top of co when has_value. */
static void post_done(struct kon_sched *sched, struct kon_task *task, bool ok, bool has_value)
{
	lua_State *L = sched->L;
	lua_createtable(L, 0, 4);
	kon_lua_set_text(L, "type", "done");
	kon_lua_set_flag(L, "ok", ok);
	if (has_value) {
		lua_xmove(task->co, L, 1);
		lua_setfield(L, -2, "value");
	}
	lua_getfield(L, LUA_REGISTRYINDEX, TASK_TYPE ".of");
	lua_pushlightuserdata(L, task);
	lua_rawget(L, -2);
	lua_setfield(L, -3, "task");
	lua_pop(L, 1);
	kon_inbox_post_table(L, task->done);
}

static void end_process(struct kon_sched *sched, int exit_code)
{
	sched->exit_code = exit_code;
	sched->over = true;
	kon_loop_stop(sched->loop);
}

/* An error that nobody asked to be told of: fail closed.  The guards stop what runs when we are gone. */
static void uncaught(struct kon_sched *sched, struct kon_task *task)
{
	describe_error(sched->L, task->co);
	fprintf(stderr, "konductor: %s\n", lua_tostring(sched->L, -1));
	lua_pop(sched->L, 1);
	end_process(sched, kon_err_exit(KON_STUCK));
}

/* The task has ended, or is dropped at teardown, after the Lua state has closed. */
static void end_task(struct kon_task *task)
{
	*task->live_link = task->next_live;
	if (task->next_live != NULL)
		task->next_live->live_link = task->live_link;
	kon_timer_stop(task->sched->loop, &task->deadline);
	kon_inbox_release(task->waits_on);
	kon_inbox_release(task->done);
	task->co = NULL;
	release_task(task);
}

static void finish(struct kon_sched *sched, struct kon_task *task, int status)
{
	lua_State *co = task->co;
	bool ok = status == 0;
	bool has_value = !ok || lua_gettop(co) > 0;
	if (ok && lua_gettop(co) > 1)
		lua_settop(co, 1);
	if (task == sched->main) {
		if (!ok)
			uncaught(sched, task);
		else
			end_process(sched, has_value ? (int)lua_tointeger(co, 1) : 0);
	} else if (task->done != NULL) {
		post_done(sched, task, ok, has_value);
	} else if (!ok) {
		uncaught(sched, task);
	}
	lua_pushlightuserdata(sched->L, task);
	lua_pushnil(sched->L);
	lua_rawset(sched->L, LUA_REGISTRYINDEX);
	end_task(task);
}

/* Pushes what the wait gives back; the number of values. */
static int push_wake(struct kon_task *task)
{
	lua_State *co = task->co;
	struct kon_inbox *inbox = task->waits_on;
	int count = 2;
	task->waits_on = NULL;
	if (inbox != NULL)
		inbox->waiter = NULL;
	if (task->wake == WAKE_START) {
		count = task->start_args;
	} else if (task->wake == WAKE_EVENT && inbox->first != NULL) {
		kon_inbox_push_first(co, inbox);
		count = 1;
	} else {
		lua_pushnil(co);
		lua_pushstring(co, task->wake == WAKE_TIMEOUT ? "timeout" : "cancelled");
	}
	kon_inbox_release(inbox);
	return count;
}

static void resume(struct kon_sched *sched, struct kon_task *task)
{
	int nargs = push_wake(task);
	sched->running = task;
	int status = lua_resume(task->co, nargs);
	sched->running = NULL;
	if (status == LUA_YIELD && task->waits_on == NULL) {
		lua_settop(task->co, 0);
		lua_pushliteral(task->co, "coroutine.yield outside a coroutine of the script's own");
		status = LUA_ERRRUN;
	}
	if (status != LUA_YIELD)
		finish(sched, task, status);
}

/* Loading makes no garbage worth a collection, so there is none until the program waits for the first time. */
static void settle(struct kon_sched *sched)
{
	if (sched->settled)
		return;
	sched->settled = true;
	lua_gc(sched->L, LUA_GCRESTART, -1); /* -1: when the memory has doubled, not at once */
}

/* One turn: the tasks that are ready now.  Those made ready meanwhile wait for the next turn,
 * so that descriptors and timers get their share. */
static void turn(void *data)
{
	struct kon_sched *sched = data;
	struct kon_task *task = sched->first_ready;
	if (task == NULL) {
		settle(sched);
		return;
	}
	sched->first_ready = NULL;
	sched->last_ready = &sched->first_ready;
	kon_watchdog_enter(sched->dog);
	while (task != NULL && !sched->over) {
		struct kon_task *next = task->next_ready;
		task->ready = false;
		resume(sched, task);
		task = next;
	}
	kon_watchdog_leave(sched->dog);
	if (sched->first_ready != NULL)
		kon_loop_wake(sched->loop);
}

/* ---- the scheduler ---- */

int kon_sched_new(struct kon_sched **out, lua_State *L, struct kon_loop *loop, struct kon_watchdog *dog,
                  struct kon_err *err)
{
	static const luaL_Reg task_methods[] = {{"cancel", task_cancel}, {"__gc", task_gc}, {NULL, NULL}};

	struct kon_sched *sched = calloc(1, sizeof(*sched));
	if (sched == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	sched->L = L;
	sched->loop = loop;
	sched->dog = dog;
	sched->last_ready = &sched->first_ready;
	lua_pushlightuserdata(L, sched);
	lua_setfield(L, LUA_REGISTRYINDEX, "konductor.sched");
	kon_inbox_register(L);
	kon_lua_make_type(L, TASK_TYPE, task_methods, task_index);
	kon_lua_make_weak(L, TASK_TYPE ".of");
	kon_loop_on_turn(loop, turn, sched);
	lua_gc(L, LUA_GCSTOP, 0); /* until it settles */
	*out = sched;
	return 0;
}

void kon_sched_free(struct kon_sched *sched)
{
	if (sched == NULL)
		return;
	while (sched->live != NULL)
		end_task(sched->live);
	free(sched);
}

struct kon_sched *kon_sched_of(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "konductor.sched");
	struct kon_sched *sched = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return sched;
}

struct kon_loop *kon_sched_loop(struct kon_sched *sched)
{
	return sched->loop;
}

struct kon_watchdog *kon_sched_watchdog(struct kon_sched *sched)
{
	return sched->dog;
}

lua_State *kon_sched_lua(struct kon_sched *sched)
{
	return sched->L;
}

void kon_sched_main(struct kon_sched *sched, lua_State *L, int nargs)
{
	sched->main = start(sched, L, nargs);
	sched->main->refs--; /* nobody holds the main task but the scheduler */
}

int kon_sched_exit_code(const struct kon_sched *sched)
{
	return sched->exit_code;
}
