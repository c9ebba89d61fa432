/*
 * The status of a record as a table of Lua.
 *
 * Whoever waits reads a record at each change of it, and most of a long one is a list that has not changed: the versions done
 * of a Once, the candidates of a Lease.  A list whose text is the one that was read last is not read again; the table that
 * was made then stands for it.  So only for our own kinds, whose policies change no table in place (record.lua).
 */
#ifndef KON_LUA_STATUS_H
#define KON_LUA_STATUS_H

#include <lua.h>
#include <stdbool.h>

#include "store.h"

/* Whether tables of a record of that kind may stand for others of the same text. */
bool kon_lua_shares_tables(const char *kind);

/* Pushes it; or pushes nothing and returns a code, as kon_json_push does. */
int kon_lua_push_status(lua_State *L, const struct kon_record *record, struct kon_err *err);

#endif
