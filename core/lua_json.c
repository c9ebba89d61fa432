#include "lua_json.h"

#include <cjson/cJSON.h>
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "lua_core.h"

#define ARRAY_TYPE KON_JSON_ARRAY
#define MAX_DEPTH 100
#define MAX_TEXT ((size_t)16 << 20)

/* ---- text to Lua ---- */

static int push_item(lua_State *L, const cJSON *item, int depth);

static int push_list(lua_State *L, const cJSON *list, int depth)
{
	int index = 0;
	lua_createtable(L, cJSON_GetArraySize(list), 0);
	luaL_getmetatable(L, ARRAY_TYPE);
	lua_setmetatable(L, -2);
	for (const cJSON *item = list->child; item != NULL; item = item->next) {
		if (push_item(L, item, depth) != 0)
			return -1;
		lua_rawseti(L, -2, ++index);
	}
	return 0;
}

static int push_object(lua_State *L, const cJSON *object, int depth)
{
	lua_createtable(L, 0, cJSON_GetArraySize(object)); /* counts what is below, of objects too */
	for (const cJSON *item = object->child; item != NULL; item = item->next) {
		lua_pushstring(L, item->string);
		if (push_item(L, item, depth) != 0)
			return -1;
		lua_rawset(L, -3);
	}
	return 0;
}

static int push_item(lua_State *L, const cJSON *item, int depth)
{
	if (depth > MAX_DEPTH || !lua_checkstack(L, 4))
		return -1;
	if (cJSON_IsArray(item))
		return push_list(L, item, depth + 1);
	if (cJSON_IsObject(item))
		return push_object(L, item, depth + 1);
	if (cJSON_IsString(item))
		lua_pushstring(L, item->valuestring);
	else if (cJSON_IsNumber(item))
		lua_pushnumber(L, item->valuedouble);
	else if (cJSON_IsBool(item))
		lua_pushboolean(L, cJSON_IsTrue(item));
	else
		lua_pushnil(L);
	return 0;
}

int kon_json_push(lua_State *L, const char *text, size_t len, struct kon_err *err)
{
	const char *end = text;
	if (kon_json_find_nul(text, len) != NULL)
		return kon_err_set(err, KON_USAGE, "JSON with a NUL character is not supported");
	cJSON *root = cJSON_ParseWithLengthOpts(text, len, &end, 0);
	if (root == NULL)
		return kon_err_set(err, KON_USAGE, "not JSON: wrong or incomplete at byte %td of %zu", end - text, len);
	for (; end < text + len; end++) {
		if (strchr(" \t\r\n", *end) == NULL) {
			cJSON_Delete(root);
			return kon_err_set(err, KON_USAGE, "not JSON: something follows the value at byte %td",
			                   end - text);
		}
	}
	int top = lua_gettop(L);
	int result = push_item(L, root, 0);
	cJSON_Delete(root);
	if (result == 0)
		return 0;
	lua_settop(L, top);
	return kon_err_set(err, KON_USAGE, "JSON is nested deeper than %d", MAX_DEPTH);
}

/* ---- Lua to text ---- */

static cJSON *build(lua_State *L, int idx, int depth, struct kon_err *err);

static bool is_utf8(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		size_t more = c < 0x80                ? 0
		              : c >= 0xc2 && c < 0xe0 ? 1
		              : c >= 0xe0 && c < 0xf0 ? 2
		              : c >= 0xf0 && c < 0xf5 ? 3
		                                      : 4;
		if (more == 4 || more >= len - i || c == 0)
			return false;
		unsigned char first = more > 0 ? (unsigned char)text[i + 1] : 0x80;
		/* overlong forms, surrogates, and beyond U+10FFFF */
		if ((c == 0xe0 && first < 0xa0) || (c == 0xed && first > 0x9f) || (c == 0xf0 && first < 0x90) ||
		    (c == 0xf4 && first > 0x8f))
			return false;
		for (; more > 0; more--)
			if (((unsigned char)text[++i] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static cJSON *refuse(struct kon_err *err, cJSON *half, const char *what)
{
	cJSON_Delete(half);
	kon_err_set(err, KON_USAGE, "cannot be written as JSON: %s", what);
	return NULL;
}

static cJSON *build_number(lua_Number value, struct kon_err *err)
{
	char digits[32];
	if (!isfinite(value))
		return refuse(err, NULL, "a number that is not finite");
	/* Whole numbers without exponent: readers in other languages parse them as integers. */
	if (value == floor(value) && fabs(value) <= 9007199254740992.0) {
		snprintf(digits, sizeof(digits), "%lld", (long long)value);
		return cJSON_CreateRaw(digits);
	}
	return cJSON_CreateNumber(value);
}

static cJSON *build_string(lua_State *L, int idx, struct kon_err *err)
{
	size_t len;
	const char *text = lua_tolstring(L, idx, &len);
	if (!is_utf8(text, len))
		return refuse(err, NULL, "text that is not UTF-8, or has a NUL byte");
	return cJSON_CreateString(text);
}

static cJSON *build_list(lua_State *L, int idx, int depth, struct kon_err *err)
{
	int count = (int)lua_objlen(L, idx);
	int pairs = 0;
	for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1))
		pairs++;
	if (pairs != count)
		return refuse(err, NULL, "a list with holes, or with names beside its elements");
	cJSON *list = cJSON_CreateArray();
	for (int i = 1; i <= count; i++) {
		lua_rawgeti(L, idx, i);
		cJSON *item = build(L, lua_gettop(L), depth, err);
		lua_pop(L, 1);
		if (item == NULL) {
			cJSON_Delete(list);
			return NULL;
		}
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of the table at idx, sorted; NULL with err set when one is no string.  The strings belong to Lua. */
static const char **sorted_keys(lua_State *L, int idx, size_t *count, struct kon_err *err)
{
	size_t room = 0;
	for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1))
		room++;
	const char **keys = malloc((room + 1) * sizeof(*keys));
	*count = 0;
	for (lua_pushnil(L); keys != NULL && lua_next(L, idx) != 0; lua_pop(L, 1)) {
		size_t len;
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
		if (key == NULL || !is_utf8(key, len)) {
			lua_pop(L, 2);
			free(keys);
			refuse(err, NULL, "a table whose keys are not all text (or a list that does not start at 1)");
			return NULL;
		}
		keys[(*count)++] = key;
	}
	if (keys != NULL)
		qsort(keys, *count, sizeof(*keys), compare_keys);
	return keys;
}

static cJSON *build_object(lua_State *L, int idx, int depth, struct kon_err *err)
{
	size_t count;
	const char **keys = sorted_keys(L, idx, &count, err);
	if (keys == NULL)
		return NULL;
	cJSON *object = cJSON_CreateObject();
	for (size_t i = 0; i < count; i++) {
		lua_pushstring(L, keys[i]);
		lua_rawget(L, idx);
		cJSON *item = build(L, lua_gettop(L), depth, err);
		lua_pop(L, 1);
		if (item == NULL) {
			cJSON_Delete(object);
			object = NULL;
			break;
		}
		cJSON_AddItemToObjectCS(object, keys[i], item); /* the key lives as long as the table */
	}
	free(keys);
	return object;
}

static bool is_list(lua_State *L, int idx)
{
	if (luaL_getmetafield(L, idx, "__jsontype")) {
		bool marked = lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "array") == 0;
		lua_pop(L, 1);
		if (marked)
			return true;
	}
	lua_rawgeti(L, idx, 1);
	bool list = !lua_isnil(L, -1);
	lua_pop(L, 1);
	return list;
}

static cJSON *build(lua_State *L, int idx, int depth, struct kon_err *err)
{
	if (depth > MAX_DEPTH || !lua_checkstack(L, 6))
		return refuse(err, NULL, "tables nested deeper than 100, or a table inside itself");
	switch (lua_type(L, idx)) {
	case LUA_TNIL:
		return cJSON_CreateNull();
	case LUA_TBOOLEAN:
		return cJSON_CreateBool(lua_toboolean(L, idx));
	case LUA_TNUMBER:
		return build_number(lua_tonumber(L, idx), err);
	case LUA_TSTRING:
		return build_string(L, idx, err);
	case LUA_TTABLE:
		return is_list(L, idx) ? build_list(L, idx, depth + 1, err) : build_object(L, idx, depth + 1, err);
	default:
		return refuse(err, NULL, luaL_typename(L, idx));
	}
}

int kon_json_encode(lua_State *L, int idx, struct kon_buf *out, struct kon_err *err)
{
	kon_err_set(err, KON_SYSTEM, "out of memory"); /* unless build finds another reason */
	cJSON *root = build(L, idx < 0 ? lua_gettop(L) + idx + 1 : idx, 0, err);
	if (root == NULL)
		return err->code;
	char *text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	if (text == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	bool added = kon_buf_add(out, text, strlen(text));
	cJSON_free(text);
	return added ? 0 : kon_err_set(err, KON_TOO_BIG, "JSON larger than %zu bytes", out->cap);
}

/* ---- konductor.core.json ---- */

static int lua_encode(lua_State *L)
{
	struct kon_err err = {0};
	struct kon_buf text;
	luaL_checkany(L, 1);
	kon_buf_init(&text, MAX_TEXT);
	int code = kon_json_encode(L, 1, &text, &err);
	if (code == 0)
		lua_pushlstring(L, text.data, text.size);
	kon_buf_done(&text);
	return code == 0 ? 1 : kon_lua_fail(L, &err);
}

static int lua_decode(lua_State *L)
{
	struct kon_err err = {0};
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	int code = kon_json_push(L, text, len, &err);
	return code == 0 ? 1 : kon_lua_fail(L, &err);
}

static int lua_array(lua_State *L)
{
	lua_settop(L, 1);
	if (lua_isnil(L, 1)) {
		lua_newtable(L);
		lua_replace(L, 1);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_getmetatable(L, ARRAY_TYPE);
	lua_setmetatable(L, 1);
	return 1;
}

int kon_lua_open_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"encode", lua_encode}, {"decode", lua_decode}, {"array", lua_array}, {NULL, NULL}};
	luaL_newmetatable(L, ARRAY_TYPE);
	lua_pushliteral(L, "array");
	lua_setfield(L, -2, "__jsontype");
	lua_newtable(L);
	luaL_register(L, NULL, functions);
	lua_insert(L, -2);
	lua_setfield(L, -2, "array_mt");
	return 1;
}
