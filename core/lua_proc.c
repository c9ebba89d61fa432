/*
 * core.spawn(inbox, spec): a supervised command (proc.h) as events in an inbox:
 * started, stopped, exit, empty; or failed, empty.
 *
 * The child's userdata is anchored in the registry until its last descendant is gone, so that
 * collecting it can never take a running command out of sight.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "lua_capture.h"
#include "lua_core.h"
#include "proc.h"
#include "task.h"

#define CHILD_TYPE "konductor.child"
#define MAX_OUTPUT ((size_t)1 << 20)
#define MAX_ERRORS ((size_t)16 << 10)
#define MAX_KEEP 8

struct child {
	struct kon_proc *proc;   /* NULL once gone */
	struct kon_inbox *inbox; /* counted; NULL once gone */
	struct kon_loop *loop;
	lua_State *L; /* main state */
	struct kon_capture output;
	struct kon_capture errors;
};

enum kind { STARTED, FAILED, STOPPED, EXITED, EMPTY };

struct child_event {
	struct kon_event base;
	struct child *child;
	enum kind kind;
	int number; /* pid, signal, or wait status */
	enum kon_proc_end end;
	bool sure;
	int64_t ended_us;
	struct kon_err err;
	struct kon_buf output;
	struct kon_buf errors;
};

/* ---- events ---- */

static void set_integer(lua_State *L, const char *key, lua_Integer value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, key);
}

static void set_string(lua_State *L, const char *key, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, key);
}

static void push_child(lua_State *L, struct child *child)
{
	lua_getfield(L, LUA_REGISTRYINDEX, CHILD_TYPE ".of");
	lua_pushlightuserdata(L, child);
	lua_rawget(L, -2);
	lua_remove(L, -2);
}

static void push_exit(lua_State *L, const struct child_event *event)
{
	static const char *const ends[] = {"own", "stopped", "deadman"};
	int status = event->number;
	if (WIFSIGNALED(status)) {
		set_integer(L, "signal", WTERMSIG(status));
		set_integer(L, "code", 128 + WTERMSIG(status));
	} else {
		set_integer(L, "code", WEXITSTATUS(status));
	}
	set_string(L, "by", ends[event->end]);
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
	set_string(L, "type", types[event->kind]);
	push_child(L, event->child);
	lua_setfield(L, -2, "child");
	switch (event->kind) {
	case STARTED:
		set_integer(L, "pid", event->number);
		break;
	case FAILED:
		set_string(L, "code", kon_err_word(event->err.code));
		set_string(L, "detail", event->err.detail);
		break;
	case STOPPED:
		set_integer(L, "signal", event->number);
		break;
	case EXITED:
		push_exit(L, event);
		break;
	case EMPTY:
		lua_pushboolean(L, event->sure);
		lua_setfield(L, -2, "sure");
		lua_pushnumber(L, (lua_Number)event->ended_us);
		lua_setfield(L, -2, "ended_us");
		break;
	}
	if (event->kind == EXITED || event->kind == EMPTY) {
		set_captured(L, "output", &event->child->output, &event->output);
		set_captured(L, "errors", &event->child->errors, &event->errors);
	}
}

static void unanchor(struct child *child)
{
	lua_pushlightuserdata(child->L, child);
	lua_pushnil(child->L);
	lua_rawset(child->L, LUA_REGISTRYINDEX);
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

static struct child_event *new_event(struct child *child, enum kind kind)
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

static void attach_output(struct child *child, struct child_event *event)
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
	struct child *child = data;
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

static const struct kon_proc_events proc_events = {
	.started = on_started,
	.failed = on_failed,
	.stopped = on_stopped,
	.exited = on_exited,
	.gone = on_gone,
};

/* ---- the specification ---- */

struct spawn {
	struct kon_proc_spec spec;
	const char **argv;
	const char **envp;
	int keep[MAX_KEEP];
	int own_fd[3]; /* of the command's streams, to be closed once it runs; -1: none */
};

/* The strings of the list at idx, which must stay on the stack: they belong to Lua.  NULL-terminated. */
static const char **string_list(lua_State *L, int idx, const char *what)
{
	int count = (int)lua_objlen(L, idx);
	const char **list = lua_newuserdata(L, ((size_t)count + 1) * sizeof(*list));
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, idx, i + 1);
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "spawn: %s[%d] must be a string", what, i + 1);
		list[i] = lua_tostring(L, -1);
		if (strlen(list[i]) != lua_objlen(L, -1))
			luaL_error(L, "spawn: %s[%d] has a NUL byte", what, i + 1);
		lua_pop(L, 1);
	}
	list[count] = NULL;
	return list;
}

/* Leaves the list and the array on the stack, so that neither is collected. */
static const char **field_list(lua_State *L, const char *name)
{
	lua_getfield(L, 2, name);
	luaL_checktype(L, -1, LUA_TTABLE);
	return string_list(L, lua_gettop(L), name);
}

static int64_t field_ms(lua_State *L, const char *name)
{
	lua_getfield(L, 2, name);
	int64_t value = lua_isnil(L, -1) ? 0 : kon_lua_check_ms(L, -1);
	lua_pop(L, 1);
	return value;
}

static bool field_bool(lua_State *L, const char *name)
{
	lua_getfield(L, 2, name);
	bool value = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return value;
}

static void read_keep(lua_State *L, struct spawn *spawn)
{
	lua_getfield(L, 2, "keep");
	if (lua_istable(L, -1)) {
		int count = (int)lua_objlen(L, -1);
		if (count > MAX_KEEP)
			luaL_error(L, "spawn: at most %d descriptors can be kept", MAX_KEEP);
		for (int i = 0; i < count; i++) {
			lua_rawgeti(L, -1, i + 1);
			spawn->keep[spawn->spec.keep_count++] = (int)luaL_checkinteger(L, -1);
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
	spawn->spec.keep_fd = spawn->keep;
}

/* Given input is a file in memory: nobody has to feed a pipe while the command runs. */
static int input_file(const char *text, size_t size, struct kon_err *err)
{
	int fd = memfd_create("konductor-input", MFD_CLOEXEC);
	if (fd < 0)
		return kon_err_errno(err, KON_SYSTEM, errno, "cannot hold the input of the command");
	for (size_t done = 0; done < size;) {
		ssize_t put = write(fd, text + done, size - done);
		if (put < 0) {
			close(fd);
			return kon_err_errno(err, KON_SYSTEM, errno, "cannot hold the input of the command");
		}
		done += (size_t)put;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int open_streams(lua_State *L, struct spawn *spawn, struct child *child, struct kon_err *err)
{
	size_t size;
	lua_getfield(L, 2, "input");
	const char *input = lua_tolstring(L, -1, &size);
	int code = 0;
	if (input != NULL && (spawn->own_fd[0] = input_file(input, size, err)) < 0)
		return spawn->own_fd[0];
	if (field_bool(L, "capture"))
		code = kon_capture_begin(&child->output, &spawn->own_fd[1], err);
	if (code == 0 && field_bool(L, "capture_errors"))
		code = kon_capture_begin(&child->errors, &spawn->own_fd[2], err);
	memcpy(spawn->spec.fd, spawn->own_fd, sizeof(spawn->spec.fd));
	return code;
}

static void close_streams(const struct spawn *spawn)
{
	for (int i = 0; i < 3; i++)
		if (spawn->own_fd[i] >= 0)
			close(spawn->own_fd[i]);
}

static struct child *push_new_child(lua_State *L)
{
	struct child *child = lua_newuserdata(L, sizeof(*child));
	memset(child, 0, sizeof(*child));
	child->loop = kon_sched_loop(kon_sched_of(L));
	kon_capture_init(&child->output, child->loop, MAX_OUTPUT, false);
	kon_capture_init(&child->errors, child->loop, MAX_ERRORS, true);
	luaL_getmetatable(L, CHILD_TYPE);
	lua_setmetatable(L, -2);
	return child;
}

static void anchor(lua_State *L, struct child *child, int idx)
{
	lua_pushlightuserdata(L, child);
	lua_pushvalue(L, idx);
	lua_rawset(L, LUA_REGISTRYINDEX);
	lua_getfield(L, LUA_REGISTRYINDEX, CHILD_TYPE ".of");
	lua_pushlightuserdata(L, child);
	lua_pushvalue(L, idx);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static int core_spawn(lua_State *L)
{
	struct kon_err err = {0};
	struct spawn spawn = {.spec = {.fd = {-1, -1, -1}}, .own_fd = {-1, -1, -1}};
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	spawn.spec.argv = spawn.argv = field_list(L, "argv");
	spawn.spec.envp = spawn.envp = field_list(L, "env");
	if (spawn.argv[0] == NULL)
		return luaL_error(L, "spawn: argv is empty");
	lua_getfield(L, 2, "cwd");
	spawn.spec.cwd = lua_tostring(L, -1);
	spawn.spec.term_at_ms = field_ms(L, "term_at");
	spawn.spec.kill_at_ms = field_ms(L, "kill_at");
	spawn.spec.foreground = field_bool(L, "foreground");
	read_keep(L, &spawn);

	struct child *child = push_new_child(L);
	int child_idx = lua_gettop(L);
	child->L = kon_sched_lua(kon_sched_of(L));
	child->inbox = kon_inbox_acquire(L, 1);
	int code = open_streams(L, &spawn, child, &err);
	if (code == 0)
		code = kon_proc_start(child->loop, &spawn.spec, &proc_events, child, &child->proc, &err);
	close_streams(&spawn);
	if (code != 0) {
		kon_capture_end(&child->output);
		kon_capture_end(&child->errors);
		return kon_lua_fail(L, &err);
	}
	anchor(L, child, child_idx);
	lua_pushvalue(L, child_idx);
	return 1;
}

/* ---- methods ---- */

static struct child *check_child(lua_State *L)
{
	return luaL_checkudata(L, 1, CHILD_TYPE);
}

static int child_arm(lua_State *L)
{
	struct child *child = check_child(L);
	int64_t term_at_ms = lua_isnoneornil(L, 2) ? 0 : kon_lua_check_ms(L, 2);
	int64_t kill_at_ms = lua_isnoneornil(L, 3) ? 0 : kon_lua_check_ms(L, 3);
	if (child->proc != NULL)
		kon_proc_arm(child->proc, term_at_ms, kill_at_ms);
	return 0;
}

static int child_signal(lua_State *L)
{
	struct child *child = check_child(L);
	int number = (int)luaL_checkinteger(L, 2);
	if (child->proc != NULL)
		kon_proc_signal(child->proc, number);
	return 0;
}

static int child_stop(lua_State *L)
{
	struct child *child = check_child(L);
	int64_t grace_ms = kon_lua_check_ms(L, 2);
	if (child->proc != NULL)
		kon_proc_stop(child->proc, grace_ms > 0 ? grace_ms : 0);
	return 0;
}

static int child_pid(lua_State *L)
{
	struct child *child = check_child(L);
	lua_pushinteger(L, child->proc != NULL ? kon_proc_pid(child->proc) : 0);
	return 1;
}

/* Runs before gone only when the Lua state closes: the guard then sees our end and kills the tree. */
static int child_gc(lua_State *L)
{
	struct child *child = check_child(L);
	kon_capture_done(&child->output);
	kon_capture_done(&child->errors);
	kon_proc_free(child->proc);
	child->proc = NULL;
	kon_inbox_release(child->inbox);
	child->inbox = NULL;
	return 0;
}

void kon_lua_add_proc(lua_State *L)
{
	static const luaL_Reg methods[] = {{"arm", child_arm}, {"signal", child_signal}, {"stop", child_stop},
	                                   {"pid", child_pid}, {"__gc", child_gc},       {NULL, NULL}};
	luaL_newmetatable(L, CHILD_TYPE);
	luaL_register(L, NULL, methods);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_newtable(L);
	lua_newtable(L);
	lua_pushliteral(L, "v");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_setfield(L, LUA_REGISTRYINDEX, CHILD_TYPE ".of");
	lua_pushcfunction(L, core_spawn);
	lua_setfield(L, -2, "spawn");
}
