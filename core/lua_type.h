/* What the bindings share: metatables, tables of objects by address, fields of the table on top of the stack. */
#ifndef KON_LUA_TYPE_H
#define KON_LUA_TYPE_H

#include <lauxlib.h>

/* A metatable with methods and __index: index, or the metatable itself when NULL. */
void kon_lua_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction index);

/* An empty table in the registry under name whose values are weak: objects that events carry, by their address. */
void kon_lua_make_weak(lua_State *L, const char *name);

/* table[key] = value */
void kon_lua_set_text(lua_State *L, const char *key, const char *value);
void kon_lua_set_number(lua_State *L, const char *key, lua_Number value);
void kon_lua_set_flag(lua_State *L, const char *key, int value);

#endif
