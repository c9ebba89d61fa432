/* A Lua value grown from the bytes: encoded, or refused with words; never a crash, and what is written can be read. */
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lua_json.h"
#include "vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
	const uint8_t *data;
	size_t size;
};

static lua_State *L;

static unsigned take(struct source *source)
{
	if (source->size == 0)
		return 0;
	source->size--;
	return *source->data++;
}

static void grow_string(struct source *source)
{
	size_t len = take(source) % 16;
	if (len > source->size)
		len = source->size;
	lua_pushlstring(L, (const char *)source->data, len);
	source->data += len;
	source->size -= len;
}

static void grow_number(struct source *source)
{
	double value = 0;
	uint8_t raw[sizeof(value)];
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)take(source);
	memcpy(&value, raw, sizeof(value));
	/* A NaN with a payload is no Lua number but a pointer in disguise. */
	lua_pushnumber(L, value == value ? value : 0.0 / 1.0);
}

static void grow(struct source *source, int depth)
{
	switch (depth > 120 ? 0 : take(source) % 8) {
	case 0:
		lua_pushboolean(L, take(source) & 1);
		return;
	case 1:
		grow_number(source);
		return;
	case 2:
		grow_string(source);
		return;
	case 3:
		lua_pushcfunction(L, kon_lua_open_json);
		return;
	default:
		break;
	}
	luaL_checkstack(L, 8, "fuzz");
	lua_newtable(L);
	for (unsigned count = take(source) % 5, i = 1; i <= count; i++) {
		if (take(source) & 1)
			lua_pushinteger(L, (lua_Integer)i);
		else
			grow_string(source);
		grow(source, depth + 1);
		lua_rawset(L, -3);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source source = {data, size};
	struct kon_err err = {0};
	struct kon_buf text;
	if (L == NULL) {
		if (kon_vm_new(&L, NULL) != 0)
			abort();
		kon_lua_open_json(L);
	}
	int top = lua_gettop(L);
	grow(&source, 0);
	kon_buf_init(&text, (size_t)1 << 24);
	if (kon_json_encode(L, -1, &text, &err) != 0) {
		if (err.detail[0] == '\0')
			abort();
	} else if (kon_json_push(L, text.data, text.size, &err) != 0) {
		abort();
	}
	kon_buf_done(&text);
	lua_settop(L, top);
	return 0;
}
