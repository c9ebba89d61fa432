/*
 * The userdata of a store, for those who open one.
 */
#ifndef KON_LUA_STORE_H
#define KON_LUA_STORE_H

#include <lua.h>

#include "store.h"

/* Pushes a store; what is written to the result is closed with it. */
struct kon_store **kon_lua_push_store(lua_State *L);

/* The open store at index 1, or raises. */
struct kon_store *kon_lua_check_store(lua_State *L);

/* A method for all stores; those that do not have it raise. */
void kon_lua_store_method(lua_State *L, const char *name, lua_CFunction method);

#endif
