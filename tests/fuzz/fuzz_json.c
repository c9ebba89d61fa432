/* Any bytes: decoded, or refused with words; what was decoded can be encoded, and that is a fixed point. */
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lua_json.h"
#include "vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lua_State *L;

/* [-0, +1]: what text decodes to; the text that it encodes to goes into out. */
static int round_trip(const char *text, size_t size, struct kon_buf *out)
{
	struct kon_err err = {0};
	int code = kon_json_push(L, text, size, &err);
	if (code != 0) {
		if (err.detail[0] == '\0')
			abort();
		return code;
	}
	return kon_json_encode(L, -1, out, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kon_buf first, second;
	if (L == NULL) {
		if (kon_vm_new(&L, NULL) != 0)
			abort();
		kon_lua_open_json(L);
	}
	int top = lua_gettop(L);
	kon_buf_init(&first, (size_t)1 << 24);
	kon_buf_init(&second, (size_t)1 << 24);
	if (round_trip((const char *)data, size, &first) == 0) {
		if (round_trip(first.data, first.size, &second) != 0 || first.size != second.size ||
		    memcmp(first.data, second.data, first.size) != 0)
			abort();
	}
	kon_buf_done(&first);
	kon_buf_done(&second);
	lua_settop(L, top);
	return 0;
}
