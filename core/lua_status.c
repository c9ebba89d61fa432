#include "lua_status.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_peek.h"
#include "lua_json.h"

/* A list that is shorter is read sooner than compared. */
#define LONG_LIST 256

/* The last one of a kind is kept in the registry, under the address of its entry here, as {text, table}. */
static const struct kept {
	const char *kind;
	const char *list;
} all_kept[] = {{"Once", "history"}, {"Lease", "waiters"}};

static const struct kept *find_kept(const char *kind)
{
	for (size_t i = 0; i < sizeof(all_kept) / sizeof(*all_kept); i++)
		if (strcmp(all_kept[i].kind, kind) == 0)
			return &all_kept[i];
	return NULL;
}

/* Pushes the table that was made of the same text, or nothing. */
static bool recall(lua_State *L, const struct kept *kept, const struct kon_json_span *text)
{
	lua_pushlightuserdata(L, (void *)kept);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (lua_istable(L, -1)) {
		size_t size;
		lua_rawgeti(L, -1, 1);
		const char *known = lua_tolstring(L, -1, &size);
		bool same = size == text->size && memcmp(known, text->at, size) == 0;
		lua_pop(L, 1);
		if (same) {
			lua_rawgeti(L, -1, 2);
			lua_remove(L, -2);
			return true;
		}
	}
	lua_pop(L, 1);
	return false;
}

/* Keeps the list of the status on top of the stack. */
static void keep(lua_State *L, const struct kept *kept, const struct kon_json_span *text)
{
	lua_getfield(L, -1, kept->list);
	if (!lua_istable(L, -1)) {
		lua_pop(L, 1);
		return;
	}
	lua_pushlightuserdata(L, (void *)kept);
	lua_createtable(L, 2, 0);
	lua_pushlstring(L, text->at, text->size);
	lua_rawseti(L, -2, 1);
	lua_pushvalue(L, -3);
	lua_rawseti(L, -2, 2);
	lua_rawset(L, LUA_REGISTRYINDEX);
	lua_pop(L, 1);
}

static bool has(const char *text, size_t size, const char *word)
{
	return memmem(text, size, word, strlen(word)) != NULL;
}

/* Whether the list is the only member of that name, as far as is plain to see: of two the last one counts.  Before the list
 * stands its own name. */
static bool is_only(const struct kon_record *record, const struct kept *kept, const struct kon_json_span *text)
{
	char quoted[32];
	int length = snprintf(quoted, sizeof(quoted), "\"%s\"", kept->list);
	size_t before = (size_t)(text->at - record->status);
	const char *behind = text->at + text->size;
	size_t left = record->status_size - before - text->size;
	const char *own = memmem(record->status, before, quoted, (size_t)length);
	if (own == NULL || has(own + 1, before - (size_t)(own + 1 - record->status), quoted) ||
	    has(behind, left, quoted))
		return false;
	return !has(record->status, before, "\\") && !has(behind, left, "\\");
}

bool kon_lua_shares_tables(const char *kind)
{
	return find_kept(kind) != NULL;
}

/*
 * Reads the status without the list, which is on top of the stack, and puts that in its place.  Pops the list; pushes the
 * status, or nothing where the text was not what it seemed to be at a glance: then it has to be read as it is.
 */
static bool read_around(lua_State *L, const struct kon_record *record, const struct kept *kept,
                        const struct kon_json_span *text)
{
	struct kon_err ignored;
	size_t before = (size_t)(text->at - record->status);
	size_t behind = record->status_size - before - text->size;
	size_t size = before + 1 + behind;
	char *rest = malloc(size);
	bool is_read = false;
	if (rest != NULL) {
		memcpy(rest, record->status, before);
		rest[before] = '0';
		memcpy(rest + before + 1, text->at + text->size, behind);
		is_read = kon_json_push(L, rest, size, &ignored) == 0;
		free(rest);
	}
	if (is_read) {
		lua_getfield(L, -1, kept->list);
		bool is_stand_in = lua_isnumber(L, -1) && lua_tonumber(L, -1) == 0;
		lua_pop(L, 1);
		if (is_stand_in) {
			lua_insert(L, -2);
			lua_setfield(L, -2, kept->list);
			return true;
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return false;
}

int kon_lua_push_status(lua_State *L, const struct kon_record *record, struct kon_err *err)
{
	const struct kept *kept = find_kept(record->kind);
	struct kon_json_span list = {0};
	bool is_long = kept != NULL && kon_json_peek_value(record->status, record->status_size, kept->list, &list) &&
	               list.size >= LONG_LIST && list.at[0] == '[' && is_only(record, kept, &list);
	if (is_long && recall(L, kept, &list) && read_around(L, record, kept, &list))
		return 0;
	int code = kon_json_push(L, record->status, record->status_size, err);
	if (code == 0 && is_long && lua_istable(L, -1))
		keep(L, kept, &list);
	return code;
}
