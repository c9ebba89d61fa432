/* What lua_kube.c and lua_kube_request.c know of each other. */
#ifndef KON_LUA_KUBE_H
#define KON_LUA_KUBE_H

#include <lua.h>

#include "store.h"

/* The open store of Kubernetes at index 1, or raises in the name of the method. */
struct kon_store *kon_lua_check_kube(lua_State *L, const char *method);

/* The method request. */
int kon_lua_kube_request(lua_State *L);

#endif
