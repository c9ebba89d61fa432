/* Option tables of Lua: closed, so that a slip of the pen is found. */
#ifndef KON_LUA_OPTIONS_H
#define KON_LUA_OPTIONS_H

#include <lua.h>
#include <stdbool.h>

/* A list of these ends with a NULL name. */
struct kon_lua_option {
	const char *name;
	int type; /* LUA_TSTRING, ... */
	bool required;
};

/* Raises, in the name of what, unless the table at idx has what is required, nothing unknown, and each of its type. */
void kon_lua_check_options(lua_State *L, int idx, const char *what, const struct kon_lua_option *options);

/* The string of the table at idx, which keeps it; NULL when there is none. */
const char *kon_lua_option_text(lua_State *L, int idx, const char *name);
bool kon_lua_option_flag(lua_State *L, int idx, const char *name);

#endif
