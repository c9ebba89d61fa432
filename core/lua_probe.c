/* The probe endpoint, its client, and copies of files for Lua. */
#include <lauxlib.h>
#include <string.h>

#include "copy.h"
#include "install.h"
#include "lua_core.h"
#include "lua_type.h"
#include "probe.h"
#include "probe_client.h"
#include "task.h"

#define PROBE_TYPE "konductor.probe"
#define MAX_NAMES 8

static const struct {
	const char *name;
	enum kon_probe_flag flag;
} flags[] = {
	{"init_done", KON_PROBE_INIT_DONE},         {"standby", KON_PROBE_STANDBY},
	{"standby_ready", KON_PROBE_STANDBY_READY}, {"leader", KON_PROBE_LEADER},
	{"stopping", KON_PROBE_STOPPING},
};

static int64_t busy_ms(void *data)
{
	return kon_watchdog_busy_ms(data);
}

/* core.probe_start(listen, explicit) -> probe | nil, code, detail.
 * nil, "busy", detail: the default address is taken, and that is no error. */
static int core_probe_start(lua_State *L)
{
	struct kon_err err = {0};
	struct kon_probe *probe = NULL;
	struct kon_probe_options options = {
		.listen = luaL_checkstring(L, 1),
		.explicit_listen = lua_toboolean(L, 2),
		.busy_ms = busy_ms,
		.busy_data = kon_sched_watchdog(kon_sched_of(L)),
	};
	if (kon_probe_start(&probe, &options, &err) != 0)
		return kon_lua_fail(L, &err);
	if (probe == NULL) {
		err.code = KON_BUSY;
		return kon_lua_fail(L, &err);
	}
	struct kon_probe **slot = lua_newuserdata(L, sizeof(*slot));
	*slot = probe;
	luaL_getmetatable(L, PROBE_TYPE);
	lua_setmetatable(L, -2);
	return 1;
}

static struct kon_probe *check_probe(lua_State *L)
{
	return *(struct kon_probe **)luaL_checkudata(L, 1, PROBE_TYPE);
}

/* probe:set{leader=true, ...}; unknown names raise */
static int probe_set(lua_State *L)
{
	struct kon_probe *probe = check_probe(L);
	luaL_checktype(L, 2, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		size_t i = 0;
		while (i < sizeof(flags) / sizeof(flags[0]) && strcmp(flags[i].name, name) != 0)
			i++;
		if (i == sizeof(flags) / sizeof(flags[0]))
			return luaL_error(L, "unknown probe state '%s'", name);
		kon_probe_set(probe, flags[i].flag, lua_toboolean(L, -1));
	}
	return 0;
}

static int probe_metrics(lua_State *L)
{
	kon_probe_metrics(check_probe(L), luaL_checkstring(L, 2));
	return 0;
}

static int probe_port(lua_State *L)
{
	lua_pushinteger(L, kon_probe_port(check_probe(L)));
	return 1;
}

static int probe_close(lua_State *L)
{
	struct kon_probe **slot = luaL_checkudata(L, 1, PROBE_TYPE);
	if (*slot != NULL)
		kon_probe_free(*slot);
	*slot = NULL;
	return 0;
}

/* core.probe_get(url, timeout_ms) -> HTTP status | nil, code, detail.  Blocks: for `konductor probe` only. */
static int core_probe_get(lua_State *L)
{
	struct kon_err err = {0};
	int status = 0;
	const char *url = luaL_checkstring(L, 1);
	int64_t timeout_ms = kon_lua_check_ms(L, 2);
	/* It lasts as long as its user wants: that is no policy that hangs. */
	struct kon_watchdog *dog = kon_sched_watchdog(kon_sched_of(L));
	kon_watchdog_leave(dog);
	int code = kon_probe_get(url, timeout_ms > 1 ? (long)timeout_ms : 1, &status, &err);
	kon_watchdog_enter(dog);
	if (code != 0)
		return kon_lua_fail(L, &err);
	lua_pushinteger(L, status);
	return 1;
}

/* core.install(dir, names) -> path | nil, code, detail */
static int core_install(lua_State *L)
{
	struct kon_err err = {0};
	const char *names[MAX_NAMES];
	char path[4096];
	const char *dir = luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	int count = (int)lua_objlen(L, 2);
	luaL_argcheck(L, count <= MAX_NAMES, 2, "too many names");
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, 2, i + 1);
		names[i] = luaL_checkstring(L, -1); /* stays on the stack */
	}
	if (kon_install(dir, names, count, path, sizeof(path), &err) != 0)
		return kon_lua_fail(L, &err);
	lua_pushstring(L, path);
	return 1;
}

/* core.copy_file(from, to) -> path | nil, code, detail */
static int core_copy_file(lua_State *L)
{
	struct kon_err err = {0};
	char path[4096];
	if (kon_copy_file(luaL_checkstring(L, 1), luaL_checkstring(L, 2), path, sizeof(path), &err) != 0)
		return kon_lua_fail(L, &err);
	lua_pushstring(L, path);
	return 1;
}

void kon_lua_add_probe(lua_State *L)
{
	static const luaL_Reg functions[] = {{"probe_start", core_probe_start},
	                                     {"probe_get", core_probe_get},
	                                     {"install", core_install},
	                                     {"copy_file", core_copy_file},
	                                     {NULL, NULL}};
	static const luaL_Reg methods[] = {{"set", probe_set},     {"metrics", probe_metrics}, {"port", probe_port},
	                                   {"close", probe_close}, {"__gc", probe_close},      {NULL, NULL}};
	kon_lua_make_type(L, PROBE_TYPE, methods, NULL);
	luaL_register(L, NULL, functions);
}
