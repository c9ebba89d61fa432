/*
 * Subscriptions of a store, as Lua sees them: what the store tells becomes events of an inbox.
 */
#ifndef KON_LUA_SUB_H
#define KON_LUA_SUB_H

#include <lua.h>

#include "store.h"

/* Make the metatable of subscriptions. */
void kon_lua_add_sub(lua_State *L);

/* Push a subscription, or nil, word, detail; return how many.  The stack has the store at 1, which the subscription
 * keeps alive, and the inbox at 2, which keeps the subscription alive and closes it.  name NULL: the whole kind.
 * first: as of kon_store_watch; NULL: everything at once. */
int kon_lua_watch(lua_State *L, struct kon_store *store, const char *kind, const char *name, const char *first);
int kon_lua_peer(lua_State *L, struct kon_store *store, const char *session);

#endif
