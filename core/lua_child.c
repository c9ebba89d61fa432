#include "lua_child.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "buf.h"
#include "lua_type.h"

#define MAX_OUTPUT ((size_t)1 << 20)
#define MAX_ERRORS ((size_t)16 << 10)

enum kind { STARTED, FAILED, STOPPED, EXITED, EMPTY };

struct child_event {
	struct kon_event base;
	struct kon_lua_child *child;
	enum kind kind;
	int number; /* pid, signal, or wait status */
	enum kon_proc_end end;
	bool sure;
	int64_t ended_us;
	struct kon_err err;
	struct kon_buf output;
	struct kon_buf errors;
};

/* ---- the userdata ---- */

struct kon_lua_child *kon_lua_child_push(lua_State *L)
{
	struct kon_lua_child *child = lua_newuserdata(L, sizeof(*child));
	memset(child, 0, sizeof(*child));
	child->loop = kon_sched_loop(kon_sched_of(L));
	child->L = kon_sched_lua(kon_sched_of(L));
	kon_capture_init(&child->output, child->loop, MAX_OUTPUT, false);
	kon_capture_init(&child->errors, child->loop, MAX_ERRORS, true);
	luaL_getmetatable(L, KON_LUA_CHILD);
	lua_setmetatable(L, -2);
	return child;
}

void kon_lua_child_anchor(lua_State *L, struct kon_lua_child *child, int idx)
{
	lua_pushlightuserdata(L, child);
	lua_pushvalue(L, idx);
	lua_rawset(L, LUA_REGISTRYINDEX);
	lua_getfield(L, LUA_REGISTRYINDEX, KON_LUA_CHILD ".of");
	lua_pushlightuserdata(L, child);
	lua_pushvalue(L, idx);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static void unanchor(struct kon_lua_child *child)
{
	lua_pushlightuserdata(child->L, child);
	lua_pushnil(child->L);
	lua_rawset(child->L, LUA_REGISTRYINDEX);
}

static void push_child(lua_State *L, struct kon_lua_child *child)
{
	lua_getfield(L, LUA_REGISTRYINDEX, KON_LUA_CHILD ".of");
	lua_pushlightuserdata(L, child);
	lua_rawget(L, -2);
	lua_remove(L, -2);
}

/* ---- events ---- */

static void push_exit(lua_State *L, const struct child_event *event)
{
	static const char *const ends[] = {"own", "stopped", "deadman"};
	int status = event->number;
	if (WIFSIGNALED(status)) {
		kon_lua_set_number(L, "signal", WTERMSIG(status));
		kon_lua_set_number(L, "code", 128 + WTERMSIG(status));
	} else {
		kon_lua_set_number(L, "code", WEXITSTATUS(status));
	}
	kon_lua_set_text(L, "by", ends[event->end]);
}

static void set_captured(lua_State *L, const char *key, const struct kon_capture *capture, const struct kon_buf *text)
{
	if (!capture->is_on)
		return;
	lua_pushlstring(L, text->size > 0 ? text->data : "", text->size);
	lua_setfield(L, -2, key);
}

static void push_event(lua_State *L, struct kon_event *base)
{
	static const char *const types[] = {"started", "failed", "stopped", "exit", "empty"};
	struct child_event *event = (struct child_event *)base;
	lua_createtable(L, 0, 6);
	kon_lua_set_text(L, "type", types[event->kind]);
	push_child(L, event->child);
	lua_setfield(L, -2, "child");
	switch (event->kind) {
	case STARTED:
		kon_lua_set_number(L, "pid", event->number);
		break;
	case FAILED:
		kon_lua_set_text(L, "code", kon_err_word(event->err.code));
		kon_lua_set_text(L, "detail", event->err.detail);
		break;
	case STOPPED:
		kon_lua_set_number(L, "signal", event->number);
		break;
	case EXITED:
		push_exit(L, event);
		break;
	case EMPTY:
		kon_lua_set_flag(L, "sure", event->sure);
		kon_lua_set_number(L, "ended_us", (lua_Number)event->ended_us);
		break;
	}
	if (event->kind == EXITED || event->kind == EMPTY) {
		set_captured(L, "output", &event->child->output, &event->output);
		set_captured(L, "errors", &event->child->errors, &event->errors);
	}
}

/* The last event lets go of the child: those before it, which name it too, are freed by then. */
static void free_event(struct kon_event *base)
{
	struct child_event *event = (struct child_event *)base;
	if (event->kind == EMPTY)
		unanchor(event->child);
	kon_buf_done(&event->output);
	kon_buf_done(&event->errors);
	free(event);
}

static struct child_event *new_event(struct kon_lua_child *child, enum kind kind)
{
	struct child_event *event = calloc(1, sizeof(*event));
	if (event == NULL)
		abort(); /* the guard kills the tree when we are gone */
	event->base.push = push_event;
	event->base.free = free_event;
	event->child = child;
	event->kind = kind;
	kon_buf_init(&event->output, MAX_OUTPUT);
	kon_buf_init(&event->errors, MAX_ERRORS);
	return event;
}

/* ---- captured output ---- */

static void take(struct kon_capture *capture, struct kon_buf *text)
{
	kon_capture_drain(capture);
	if (capture->is_on)
		kon_buf_add(text, capture->text.data != NULL ? capture->text.data : "", capture->text.size);
}

static void attach_output(struct kon_lua_child *child, struct child_event *event)
{
	take(&child->output, &event->output);
	take(&child->errors, &event->errors);
}

/* ---- what proc.c tells ---- */

static void on_started(void *data, pid_t pid)
{
	struct child_event *event = new_event(data, STARTED);
	event->number = pid;
	kon_inbox_post(event->child->inbox, &event->base);
}

static void on_failed(void *data, const struct kon_err *err)
{
	struct child_event *event = new_event(data, FAILED);
	event->err = *err;
	kon_inbox_post(event->child->inbox, &event->base);
}

static void on_stopped(void *data, int signal)
{
	struct child_event *event = new_event(data, STOPPED);
	event->number = signal;
	kon_inbox_post(event->child->inbox, &event->base);
}

static void on_exited(void *data, int status, enum kon_proc_end end)
{
	struct child_event *event = new_event(data, EXITED);
	event->number = status;
	event->end = end;
	attach_output(event->child, event);
	kon_inbox_post(event->child->inbox, &event->base);
}

static void on_gone(void *data, bool sure)
{
	struct kon_lua_child *child = data;
	struct child_event *event = new_event(child, EMPTY);
	event->sure = sure;
	event->ended_us = kon_proc_ended_us(child->proc);
	attach_output(child, event);
	kon_capture_end(&child->output);
	kon_capture_end(&child->errors);
	struct kon_inbox *inbox = child->inbox;
	child->inbox = NULL;
	kon_proc_free(child->proc);
	child->proc = NULL;
	kon_inbox_post(inbox, &event->base);
	kon_inbox_release(inbox);
}

const struct kon_proc_events kon_lua_child_events = {
	.started = on_started,
	.failed = on_failed,
	.stopped = on_stopped,
	.exited = on_exited,
	.gone = on_gone,
};

void kon_lua_add_child(lua_State *L)
{
	kon_lua_make_weak(L, KON_LUA_CHILD ".of");
}
