/*
 * YAML to Lua, over libyaml: one document, of plain values only, as configuration files are written.
 */
#ifndef KON_LUA_YAML_H
#define KON_LUA_YAML_H

#include <lua.h>
#include <stddef.h>

#include "err.h"

/* Pushes the value of the text.  name stands before line and column in sentences.  Returns 0, or pushes nothing and
 * returns KON_ABSENT when there is no document, KON_CONFIG when it is wrong or uses what is not supported. */
int kon_yaml_push(lua_State *L, const char *text, size_t size, const char *name, struct kon_err *err);

/* Pushes the table of konductor.core.yaml. */
int kon_lua_open_yaml(lua_State *L);

#endif
