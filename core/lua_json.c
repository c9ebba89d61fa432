#include "lua_json.h"

#include <cjson/cJSON.h>
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "json_tree.h"
#include "lua_core.h"

#define ARRAY_TYPE KON_JSON_ARRAY
#define MAX_DEPTH 100
/* Both of a record, the first with its text. */
#define BUILD_ROOM ((size_t)12 << 10)
#define PRINT_ROOM 2048
#define MAX_TEXT ((size_t)16 << 20)

/* ---- text to Lua ---- */

static int push_item(lua_State *L, const cJSON *item, bool is_element, int depth);

static int push_list(lua_State *L, const cJSON *list, int depth)
{
	int index = 0;
	lua_createtable(L, cJSON_GetArraySize(list), 0);
	luaL_getmetatable(L, ARRAY_TYPE);
	lua_setmetatable(L, -2);
	for (const cJSON *item = list->child; item != NULL; item = item->next) {
		if (push_item(L, item, true, depth) != 0)
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
		if (push_item(L, item, false, depth) != 0)
			return -1;
		lua_rawset(L, -3);
	}
	return 0;
}

/* A null is no member at all; among elements it is a null pointer, so that those behind it keep their places. */
static int push_item(lua_State *L, const cJSON *item, bool is_element, int depth)
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
	else if (is_element)
		lua_pushlightuserdata(L, NULL);
	else
		lua_pushnil(L);
	return 0;
}

static int push_tree(lua_State *L, const struct kon_json_tree *tree, const char *text, size_t len, const char *end,
                     struct kon_err *err)
{
	if (tree->root == NULL)
		return kon_err_set(err, KON_USAGE, "not JSON: wrong or incomplete at byte %td of %zu", end - text, len);
	for (; end < text + len; end++)
		if (strchr(" \t\r\n", *end) == NULL)
			return kon_err_set(err, KON_USAGE, "not JSON: something follows the value at byte %td",
			                   end - text);
	int top = lua_gettop(L);
	if (push_item(L, tree->root, false, 0) == 0)
		return 0;
	lua_settop(L, top);
	return kon_err_set(err, KON_USAGE, "JSON is nested deeper than %d", MAX_DEPTH);
}

int kon_json_push(lua_State *L, const char *text, size_t len, struct kon_err *err)
{
	const char *end = text;
	if (kon_json_find_nul(text, len) != NULL)
		return kon_err_set(err, KON_USAGE, "JSON with a NUL character is not supported");
	struct kon_json_tree tree = kon_json_tree_read(text, len, &end);
	int code = push_tree(L, &tree, text, len, end, err);
	kon_json_tree_free(&tree);
	return code;
}

/* ---- Lua to text ---- */

/*
 * All of it is built within one open tree, so half of an object needs no tidying.  Nothing here may make a value in Lua:
 * that might run the collector, and what it finalizes may use cJSON.  Values that are there are pushed instead.
 */

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

static cJSON *refuse(struct kon_err *err, const char *what)
{
	kon_err_set(err, KON_USAGE, "cannot be written as JSON: %s", what);
	return NULL;
}

static cJSON *build_number(lua_Number value, struct kon_err *err)
{
	char digits[32];
	if (!isfinite(value))
		return refuse(err, "a number that is not finite");
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
		return refuse(err, "text that is not UTF-8, or has a NUL byte");
	return cJSON_CreateStringReference(text); /* it lives as long as the table */
}

static size_t count_pairs(lua_State *L, int idx)
{
	size_t count = 0;
	for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1))
		count++;
	return count;
}

static cJSON *build_list(lua_State *L, int idx, int depth, struct kon_err *err)
{
	int count = (int)lua_objlen(L, idx);
	if (count_pairs(L, idx) != (size_t)count)
		return refuse(err, "a list with holes, or with names beside its elements");
	cJSON *list = cJSON_CreateArray();
	for (int i = 1; i <= count; i++) {
		lua_rawgeti(L, idx, i);
		cJSON *item = build(L, lua_gettop(L), depth, err);
		lua_pop(L, 1);
		if (item == NULL)
			return NULL;
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(cJSON *const *)a)->string, (*(cJSON *const *)b)->string);
}

/* The member whose name and value are on top of the stack.  Its name lives as long as the table. */
static cJSON *build_member(lua_State *L, int depth, struct kon_err *err)
{
	size_t len;
	const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
	if (name == NULL || !is_utf8(name, len))
		return refuse(err, "a table whose keys are not all text (or a list that does not start at 1)");
	cJSON *item = build(L, lua_gettop(L), depth, err);
	if (item != NULL)
		item->string = (char *)name;
	return item;
}

/* Members stand in the order of their names, so that equal tables are equal texts. */
static cJSON *build_object(lua_State *L, int idx, int depth, struct kon_err *err)
{
	size_t count = 0;
	cJSON *object = cJSON_CreateObject();
	cJSON **members = cJSON_malloc((count_pairs(L, idx) + 1) * sizeof(cJSON *));
	if (object == NULL || members == NULL)
		return NULL;
	for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
		members[count] = build_member(L, depth, err);
		if (members[count++] == NULL) {
			lua_pop(L, 2);
			return NULL;
		}
	}
	qsort(members, count, sizeof(cJSON *), compare_names);
	for (size_t i = 0; i < count; i++)
		cJSON_AddItemToObjectCS(object, members[i]->string, members[i]);
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
		return refuse(err, "tables nested deeper than 100, or a table inside itself");
	switch (lua_type(L, idx)) {
	case LUA_TNIL:
		return cJSON_CreateNull();
	case LUA_TLIGHTUSERDATA:
		return lua_touserdata(L, idx) == NULL ? cJSON_CreateNull() : refuse(err, luaL_typename(L, idx));
	case LUA_TBOOLEAN:
		return cJSON_CreateBool(lua_toboolean(L, idx));
	case LUA_TNUMBER:
		return build_number(lua_tonumber(L, idx), err);
	case LUA_TSTRING:
		return build_string(L, idx, err);
	case LUA_TTABLE:
		return is_list(L, idx) ? build_list(L, idx, depth + 1, err) : build_object(L, idx, depth + 1, err);
	default:
		return refuse(err, luaL_typename(L, idx));
	}
}

int kon_json_encode(lua_State *L, int idx, struct kon_buf *out, struct kon_err *err)
{
	kon_err_set(err, KON_SYSTEM, "out of memory"); /* unless build finds another reason */
	kon_json_tree_open(BUILD_ROOM);
	cJSON *root = build(L, idx < 0 ? lua_gettop(L) + idx + 1 : idx, 0, err);
	char *text = root != NULL ? cJSON_PrintBuffered(root, PRINT_ROOM, false) : NULL;
	struct kon_json_tree tree = kon_json_tree_close(root);
	int code = 0;
	if (root == NULL)
		code = err->code;
	else if (text == NULL)
		code = kon_err_set(err, KON_SYSTEM, "out of memory");
	else if (!kon_buf_add(out, text, strlen(text)))
		code = kon_err_set(err, KON_TOO_BIG, "JSON larger than %zu bytes", out->cap);
	kon_json_tree_free(&tree);
	return code;
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
