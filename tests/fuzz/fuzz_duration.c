/* Any bytes as a duration: milliseconds, or refused with words; what is accepted survives being written and read. */
#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char check[] = "local duration = require 'konductor.duration'\n"
			    "return function(text)\n"
			    "  local ms, code, detail = duration.parse(text)\n"
			    "  if ms == nil then assert(code == 'usage' and #detail > 0) return end\n"
			    "  assert(ms >= 0 and ms < 2 ^ 53 and ms == math.floor(ms), ms)\n"
			    "  local written = duration.format(ms)\n"
			    "  assert(duration.parse(written) == ms, written)\n"
			    "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;
	if (L == NULL && (kon_vm_new(&L, NULL) != 0 || luaL_dostring(L, check) != 0))
		abort();
	lua_pushvalue(L, -1);
	lua_pushlstring(L, (const char *)data, size);
	if (lua_pcall(L, 1, 0, 0) != 0) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		abort();
	}
	return 0;
}
