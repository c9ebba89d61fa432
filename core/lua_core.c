#include "lua_core.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <lauxlib.h>
#include <luajit.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "clock.h"
#include "lua_json.h"
#include "lua_yaml.h"
#include "task.h"
#include "trim.h"
#include "vm.h"

extern char **environ;

int kon_lua_fail(lua_State *L, const struct kon_err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, kon_err_word(err->code));
	lua_pushstring(L, err->detail);
	return 3;
}

int64_t kon_lua_check_ms(lua_State *L, int idx)
{
	const double limit = 9e15; /* beyond it, doubles skip whole numbers */
	double value = luaL_checknumber(L, idx);
	if (value != value)
		luaL_error(L, "a time must be a number, not NaN");
	return value >= limit ? INT64_MAX : value <= -limit ? INT64_MIN : (int64_t)value;
}

static int core_now(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)kon_clock_boot_ms());
	return 1;
}

static int core_now_us(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)kon_clock_boot_us());
	return 1;
}

static int core_wall(lua_State *L)
{
	char text[32];
	kon_clock_wall(text, sizeof(text));
	lua_pushstring(L, text);
	return 1;
}

/* core.random_hex(nbytes) -> 2*nbytes hex digits from the kernel; nbytes 1..32 */
static int core_random_hex(lua_State *L)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[32];
	char text[64];
	size_t count = (size_t)luaL_checkinteger(L, 1);
	if (count < 1 || count > sizeof(bytes))
		return luaL_argerror(L, 1, "1 to 32 bytes");
	if (getrandom(bytes, count, 0) != (ssize_t)count)
		return luaL_error(L, "the kernel gave no random bytes");
	for (size_t i = 0; i < count; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	lua_pushlstring(L, text, count * 2);
	return 1;
}

/* core.environ() -> table name -> value */
static int core_environ(lua_State *L)
{
	lua_newtable(L);
	for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
		const char *equals = strchr(*entry, '=');
		if (equals == NULL)
			continue;
		lua_pushlstring(L, *entry, (size_t)(equals - *entry));
		lua_pushstring(L, equals + 1);
		lua_rawset(L, -3);
	}
	return 1;
}

static int core_hostname(lua_State *L)
{
	char name[256] = "";
	if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
		lua_pushliteral(L, "localhost");
	else
		lua_pushstring(L, name);
	return 1;
}

static int core_pid(lua_State *L)
{
	lua_pushinteger(L, getpid());
	return 1;
}

static const struct kon_blob *find_script(const char *name)
{
	for (const struct kon_blob *blob = kon_embedded_scripts; blob->name != NULL; blob++)
		if (strcmp(blob->name, name) == 0)
			return blob;
	return NULL;
}

/* core.embedded(name) -> the text of a ready-made script, or nil */
static int core_embedded(lua_State *L)
{
	const struct kon_blob *blob = find_script(luaL_checkstring(L, 1));
	if (blob == NULL)
		lua_pushnil(L);
	else
		lua_pushlstring(L, blob->data, blob->size);
	return 1;
}

/* core.embedded_list() -> names of the ready-made scripts */
static int core_embedded_list(lua_State *L)
{
	int index = 0;
	lua_newtable(L);
	for (const struct kon_blob *blob = kon_embedded_scripts; blob->name != NULL; blob++) {
		lua_pushstring(L, blob->name);
		lua_rawseti(L, -2, ++index);
	}
	return 1;
}

/* core.version() -> names and versions of konductor and what is linked in */
static int core_version(lua_State *L)
{
	lua_newtable(L);
	lua_pushliteral(L, KONDUCTOR_VERSION);
	lua_setfield(L, -2, "konductor");
	lua_pushliteral(L, LUAJIT_VERSION);
	lua_setfield(L, -2, "luajit");
	lua_pushstring(L, sqlite3_libversion());
	lua_setfield(L, -2, "sqlite");
	lua_pushstring(L, curl_version_info(CURLVERSION_NOW)->version);
	lua_setfield(L, -2, "curl");
	lua_pushstring(L, cJSON_Version());
	lua_setfield(L, -2, "cjson");
	lua_pushstring(L, yaml_get_version_string());
	lua_setfield(L, -2, "yaml");
	return 1;
}

/* core.exit_code(word) -> what errors.def gives it, or nil */
static int core_exit_code(lua_State *L)
{
	int code = kon_err_from_word(luaL_checkstring(L, 1));
	if (code == 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, kon_err_exit(code));
	return 1;
}

/* core.turns() -> how often the loop has woken: the measure of idleness */
static int core_turns(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)kon_loop_turns(kon_sched_loop(kon_sched_of(L))));
	return 1;
}

/* core.trim(): gives back what loading needed.  Worth its millisecond in a process that now waits for long. */
static int core_trim(lua_State *L)
{
	lua_gc(L, LUA_GCCOLLECT, 0);
	kon_trim();
	return 0;
}

/* core.give_way(): whoever else is ready to run on this processor goes first */
static int core_give_way(lua_State *L)
{
	(void)L;
	sched_yield();
	return 0;
}

int kon_lua_open_core(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"now", core_now},
		{"now_us", core_now_us},
		{"wall", core_wall},
		{"random_hex", core_random_hex},
		{"environ", core_environ},
		{"hostname", core_hostname},
		{"pid", core_pid},
		{"embedded", core_embedded},
		{"embedded_list", core_embedded_list},
		{"version", core_version},
		{"exit_code", core_exit_code},
		{"turns", core_turns},
		{"trim", core_trim},
		{"give_way", core_give_way},
		{"inbox", kon_lua_inbox},
		{"task", kon_lua_task},
		{NULL, NULL},
	};
	lua_newtable(L);
	luaL_register(L, NULL, functions);
	kon_lua_open_json(L);
	lua_setfield(L, -2, "json");
	kon_lua_open_yaml(L);
	lua_setfield(L, -2, "yaml");
	kon_lua_add_file(L);
	kon_lua_add_proc(L);
	kon_lua_add_signal(L);
	kon_lua_add_probe(L);
	kon_lua_add_store(L);
	kon_lua_add_tls(L);
	kon_lua_add_kube(L);
	return 1;
}
