/*
 * The Lua state: libraries, the modules compiled into the binary, and konductor.core.
 *
 * Modules come in as bytecode with their line numbers, named "@konductor/once.lua", so
 * that tracebacks show files.  The ready-made scripts of scripts/ come in as text.
 */
#ifndef KON_VM_H
#define KON_VM_H

#include <lua.h>
#include <stddef.h>

#include "err.h"

struct kon_blob {
	const char *name; /* module name, or script name without .lua */
	const char *data;
	size_t size;
};

/* Generated from lua/ and scripts/ (tools/embed.lua), sorted by name; each ends with a NULL name, which does not count. */
extern const struct kon_blob kon_embedded_modules[];
extern const size_t kon_embedded_modules_count;
extern const struct kon_blob kon_embedded_scripts[];

int kon_vm_new(lua_State **out, struct kon_err *err);
void kon_vm_free(lua_State *L); /* NULL is fine */

#endif
