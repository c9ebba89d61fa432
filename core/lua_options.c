#include "lua_options.h"

#include <lauxlib.h>
#include <string.h>

static const struct kon_lua_option *find(const struct kon_lua_option *options, const char *name)
{
	for (; options->name != NULL; options++)
		if (strcmp(options->name, name) == 0)
			return options;
	return NULL;
}

void kon_lua_check_options(lua_State *L, int idx, const char *what, const struct kon_lua_option *options)
{
	luaL_checktype(L, idx, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		const struct kon_lua_option *option = find(options, name);
		if (option == NULL)
			luaL_error(L, "%s: unknown option '%s'", what, name);
		else if (lua_type(L, -1) != option->type)
			luaL_error(L, "%s: option '%s' must be a %s", what, name, lua_typename(L, option->type));
		if (option->type == LUA_TSTRING && strlen(lua_tostring(L, -1)) != lua_objlen(L, -1))
			luaL_error(L, "%s: option '%s' has a NUL byte in it", what, name);
	}
	for (; options->name != NULL; options++) {
		lua_getfield(L, idx, options->name);
		if (options->required && lua_isnil(L, -1))
			luaL_error(L, "%s: option '%s' is missing", what, options->name);
		lua_pop(L, 1);
	}
}

const char *kon_lua_option_text(lua_State *L, int idx, const char *name)
{
	lua_getfield(L, idx, name);
	const char *value = lua_tostring(L, -1);
	lua_pop(L, 1);
	return value;
}

bool kon_lua_option_flag(lua_State *L, int idx, const char *name)
{
	lua_getfield(L, idx, name);
	bool value = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return value;
}
