/*
 * JSON between Lua and cJSON.
 *
 * Tables with the metatable json.array_mt, and tables with a first element, become lists; every
 * other table an object, its keys sorted, so that equal values give equal text.  Whole numbers up
 * to 2^53 keep every digit.  A null member disappears; among the elements of a list, null is a null pointer.
 */
#ifndef KON_LUA_JSON_H
#define KON_LUA_JSON_H

#include <lua.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"

/* The metatable of lists, in the registry. */
#define KON_JSON_ARRAY "konductor.json.array"

/* Pushes the decoded value; or pushes nothing and returns KON_USAGE with place and reason. */
int kon_json_push(lua_State *L, const char *text, size_t len, struct kon_err *err);

/* Appends the value at idx.  KON_USAGE: a function, a NaN, a key that is no string, text that is
 * not UTF-8 or has a NUL, nesting over 100.  KON_TOO_BIG: the cap of out. */
int kon_json_encode(lua_State *L, int idx, struct kon_buf *out, struct kon_err *err);

/* Pushes the table {encode, decode, array, array_mt}. */
int kon_lua_open_json(lua_State *L);

#endif
