/*
 * A supervised command as Lua sees it: what proc.h tells becomes events of an inbox.  How one is started and what it
 * can be told is in lua_proc.c.
 *
 * The child's userdata is anchored in the registry until its last descendant is gone, so that collecting it can never
 * take a running command out of sight.
 */
#ifndef KON_LUA_CHILD_H
#define KON_LUA_CHILD_H

#include <lua.h>

#include "lua_capture.h"
#include "proc.h"
#include "task.h"

#define KON_LUA_CHILD "konductor.child"

struct kon_lua_child {
	struct kon_proc *proc;   /* NULL once gone */
	struct kon_inbox *inbox; /* counted; NULL once gone */
	struct kon_loop *loop;
	lua_State *L; /* main state */
	struct kon_capture output;
	struct kon_capture errors;
};

/* Pushes one that has not been started. */
struct kon_lua_child *kon_lua_child_push(lua_State *L);

/* Keeps the child at idx, which has just been started, until it is gone. */
void kon_lua_child_anchor(lua_State *L, struct kon_lua_child *child, int idx);

/* For kon_proc_start(), whose data is the child. */
extern const struct kon_proc_events kon_lua_child_events;

/* The table by which events find their child. */
void kon_lua_add_child(lua_State *L);

#endif
