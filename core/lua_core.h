/*
 * konductor.core: everything of the machine that Lua can reach, one C file a subject.
 * Only real.lua, store.lua, log.lua and cli/ load it; policies get a world instead.
 */
#ifndef KON_LUA_CORE_H
#define KON_LUA_CORE_H

#include <lua.h>
#include <stdint.h>

#include "err.h"

/* luaopen of "konductor.core". */
int kon_lua_open_core(lua_State *L);

/* Pushes nil, word, detail for err; 3. */
int kon_lua_fail(lua_State *L, const struct kon_err *err);

/* The milliseconds at idx, or raises.  What is beyond any clock, such as math.huge, becomes the end of time; no number
 * at all (NaN) raises. */
int64_t kon_lua_check_ms(lua_State *L, int idx);

/* Subjects: each adds its functions to the table on top of the stack. */
void kon_lua_add_file(lua_State *L);   /* lua_file.c: read_file, open_append, write, isatty, winsize */
void kon_lua_add_proc(lua_State *L);   /* lua_proc.c: spawn */
void kon_lua_add_signal(lua_State *L); /* lua_signal.c: signals */
void kon_lua_add_probe(lua_State *L);  /* lua_probe.c: probe_start, probe_set, probe_metrics, probe_get, install */
void kon_lua_add_store(lua_State *L);  /* lua_store.c: sqlite, pending */
void kon_lua_add_tls(lua_State *L);    /* lua_tls.c: tls_check */
void kon_lua_add_kube(lua_State *L);   /* lua_kube.c: kube; after the stores */

#endif
