/* Any bytes: decoded, or refused with words; what was decoded can be encoded, and that is a fixed point.  As the status of a
 * record they are the same, also when a list in it is known from the time before. */
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lua_json.h"
#include "lua_status.h"
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

static void check_status(const char *text, size_t size, const struct kon_buf *expected)
{
	struct kon_record record = {.kind = "Once", .name = "a", .status = text, .status_size = size};
	for (int i = 0; i < 2; i++) {
		struct kon_err err = {0};
		struct kon_buf made;
		kon_buf_init(&made, (size_t)1 << 24);
		int code = kon_lua_push_status(L, &record, &err);
		if (code == 0)
			code = kon_json_encode(L, -1, &made, &err);
		if ((code == 0) != (expected != NULL))
			abort();
		if (code == 0 && (made.size != expected->size || memcmp(made.data, expected->data, made.size) != 0))
			abort();
		kon_buf_done(&made);
	}
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
		check_status((const char *)data, size, &first);
	} else {
		check_status((const char *)data, size, NULL);
	}
	kon_buf_done(&first);
	kon_buf_done(&second);
	lua_settop(L, top);
	return 0;
}
