/*
 * core.spawn(inbox, spec) and what a child can be told.  Its events, in an inbox: started, stopped, exit, empty; or
 * failed, empty (lua_child.c).
 */
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lua_child.h"
#include "lua_core.h"
#include "lua_type.h"
#include "proc.h"
#include "task.h"

/* ---- the specification ---- */

struct spawn {
	struct kon_proc_spec spec;
	const char **argv;
	const char **envp;
	int keep[KON_PROC_KEEP];
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
		if (count > KON_PROC_KEEP)
			luaL_error(L, "spawn: at most %d descriptors can be kept", KON_PROC_KEEP);
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

static int open_streams(lua_State *L, struct spawn *spawn, struct kon_lua_child *child, struct kon_err *err)
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

	struct kon_lua_child *child = kon_lua_child_push(L);
	int child_idx = lua_gettop(L);
	child->inbox = kon_inbox_acquire(L, 1);
	int code = open_streams(L, &spawn, child, &err);
	if (code == 0)
		code = kon_proc_start(child->loop, &spawn.spec, &kon_lua_child_events, child, &child->proc, &err);
	close_streams(&spawn);
	if (code != 0) {
		kon_capture_end(&child->output);
		kon_capture_end(&child->errors);
		return kon_lua_fail(L, &err);
	}
	kon_lua_child_anchor(L, child, child_idx);
	lua_pushvalue(L, child_idx);
	return 1;
}

/* ---- methods ---- */

static struct kon_lua_child *check_child(lua_State *L)
{
	return luaL_checkudata(L, 1, KON_LUA_CHILD);
}

static int child_arm(lua_State *L)
{
	struct kon_lua_child *child = check_child(L);
	int64_t term_at_ms = lua_isnoneornil(L, 2) ? 0 : kon_lua_check_ms(L, 2);
	int64_t kill_at_ms = lua_isnoneornil(L, 3) ? 0 : kon_lua_check_ms(L, 3);
	if (child->proc != NULL)
		kon_proc_arm(child->proc, term_at_ms, kill_at_ms);
	return 0;
}

static int child_signal(lua_State *L)
{
	struct kon_lua_child *child = check_child(L);
	int number = (int)luaL_checkinteger(L, 2);
	if (child->proc != NULL)
		kon_proc_signal(child->proc, number);
	return 0;
}

static int child_stop(lua_State *L)
{
	struct kon_lua_child *child = check_child(L);
	int64_t grace_ms = kon_lua_check_ms(L, 2);
	if (child->proc != NULL)
		kon_proc_stop(child->proc, grace_ms > 0 ? grace_ms : 0);
	return 0;
}

static int child_pid(lua_State *L)
{
	struct kon_lua_child *child = check_child(L);
	lua_pushinteger(L, child->proc != NULL ? kon_proc_pid(child->proc) : 0);
	return 1;
}

/* Runs before gone only when the Lua state closes: the guard then sees our end and kills the tree. */
static int child_gc(lua_State *L)
{
	struct kon_lua_child *child = check_child(L);
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
	kon_lua_make_type(L, KON_LUA_CHILD, methods, NULL);
	kon_lua_add_child(L);
	lua_pushcfunction(L, core_spawn);
	lua_setfield(L, -2, "spawn");
}
