#include "lua_type.h"

void kon_lua_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction index)
{
	luaL_newmetatable(L, name);
	luaL_register(L, NULL, methods);
	if (index != NULL)
		lua_pushcfunction(L, index);
	else
		lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

void kon_lua_make_weak(lua_State *L, const char *name)
{
	lua_newtable(L);
	lua_newtable(L);
	lua_pushliteral(L, "v");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_setfield(L, LUA_REGISTRYINDEX, name);
}

void kon_lua_set_text(lua_State *L, const char *key, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, key);
}

void kon_lua_set_number(lua_State *L, const char *key, lua_Number value)
{
	lua_pushnumber(L, value);
	lua_setfield(L, -2, key);
}

void kon_lua_set_flag(lua_State *L, const char *key, int value)
{
	lua_pushboolean(L, value);
	lua_setfield(L, -2, key);
}
