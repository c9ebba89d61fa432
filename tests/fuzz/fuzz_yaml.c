/* Any bytes: decoded, or refused with words that name the place; what was decoded is one value, never too deep. */
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lua_json.h"
#include "lua_yaml.h"
#include "vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lua_State *L;

/* Goes through the value on top of the stack, which it leaves there. */
static void visit(int depth)
{
	if (depth > 65 || !lua_checkstack(L, 4) || lua_isnil(L, -1))
		abort();
	if (!lua_istable(L, -1))
		return;
	for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
		visit(depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kon_err err = {0};
	if (L == NULL) {
		if (kon_vm_new(&L, NULL) != 0)
			abort();
		kon_lua_open_json(L);
		lua_settop(L, 0);
	}
	int code = kon_yaml_push(L, (const char *)data, size, "FILE", &err);
	if (lua_gettop(L) != (code == 0 ? 1 : 0))
		abort();
	if (code == 0)
		visit(0);
	else if (strncmp(err.detail, "FILE", 4) != 0)
		abort();
	lua_settop(L, 0);
	return 0;
}
