#include "vm.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lua_core.h"

/* Out of memory or an error outside any protected call: nothing in Lua can be trusted any more. */
static int on_panic(lua_State *L)
{
	const char *text = lua_tostring(L, -1);
	fprintf(stderr, "konductor: %s\n", text != NULL ? text : "unprotected error in Lua");
	_exit(kon_err_exit(KON_STUCK));
}

static int by_name(const void *name, const void *blob)
{
	return strcmp(name, ((const struct kon_blob *)blob)->name);
}

/* [-0, +1]: for package.loaders: the chunk of an embedded module, nil when there is none of that name */
static int find_module(lua_State *L)
{
	const struct kon_blob *blob = bsearch(luaL_checkstring(L, 1), kon_embedded_modules, kon_embedded_modules_count,
	                                      sizeof(*blob), by_name);
	if (blob == NULL)
		lua_pushnil(L);
	else if (luaL_loadbuffer(L, blob->data, blob->size, blob->name) != 0)
		return lua_error(L);
	return 1;
}

/* The embedded modules come before all others.  A search and not a closure in package.preload for each of a hundred:
 * a start loads a third of them. */
static void add_modules(lua_State *L)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, kon_lua_open_core);
	lua_setfield(L, -2, "konductor.core");
	lua_getfield(L, -2, "loaders");
	for (int i = (int)lua_objlen(L, -1); i > 0; i--) {
		lua_rawgeti(L, -1, i);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushcfunction(L, find_module);
	lua_rawseti(L, -2, 1);
	lua_pop(L, 3);
}

/* The compiler writes a page and then makes it executable, which some kernels and sandboxes forbid. */
static bool may_compile(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return false;
	bool allowed = mprotect(page, size, PROT_READ | PROT_EXEC) == 0;
	munmap(page, size);
	return allowed;
}

/* Where compiling is forbidden, or KONDUCTOR_JIT=off asks for it, the interpreter does the work. */
static void choose_jit(lua_State *L)
{
	const char *wish = getenv("KONDUCTOR_JIT");
	if ((wish != NULL && strcmp(wish, "off") == 0) || !may_compile())
		luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	/* A process that starts a command or wakes for one decision never gets the time of a compilation back;
	 * a simulation does.  The default is 56 rounds. */
	if (luaL_dostring(L, "jit.opt.start('hotloop=2000')") != 0)
		lua_pop(L, 1);
}

int kon_vm_new(lua_State **out, struct kon_err *err)
{
	lua_State *L = luaL_newstate();
	if (L == NULL)
		return kon_err_set(err, KON_SYSTEM, "cannot make a Lua state: out of memory");
	lua_atpanic(L, on_panic);
	luaL_openlibs(L);
	choose_jit(L);
	add_modules(L);
	*out = L;
	return 0;
}

void kon_vm_free(lua_State *L)
{
	if (L != NULL)
		lua_close(L);
}
