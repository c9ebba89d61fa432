/* Stores for Lua.  Their methods are the verbs of world.lua; how they are answered is in lua_request.c. */
#include "lua_store.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "lua_core.h"
#include "lua_json.h"
#include "lua_options.h"
#include "lua_request.h"
#include "lua_sub.h"
#include "lua_type.h"
#include "store_sqlite.h"
#include "task.h"

#define STORE_TYPE "konductor.store"
#define MAX_REV 9007199254740992.0 /* 2^53: beyond it, doubles skip whole numbers */

struct handle {
	struct kon_store *store; /* NULL after close */
	struct kon_buf text;     /* the value being written */
};

/* ---- arguments ---- */

struct kon_store *kon_lua_check_store(lua_State *L)
{
	struct handle *handle = luaL_checkudata(L, 1, STORE_TYPE);
	if (handle->store == NULL)
		luaL_error(L, "the store is closed");
	return handle->store;
}

static const char *check_text(lua_State *L, int idx)
{
	size_t size;
	const char *text = luaL_checklstring(L, idx, &size);
	luaL_argcheck(L, strlen(text) == size, idx, "text without NUL bytes expected");
	return text;
}

/* The string in a field of the table at idx; Lua keeps it as long as the table does. */
static const char *check_field(lua_State *L, int idx, const char *field)
{
	lua_getfield(L, idx, field);
	const char *text = lua_tostring(L, -1);
	if (text == NULL)
		luaL_error(L, "a record without %s", field);
	lua_pop(L, 1);
	return text;
}

static struct kon_record check_record(lua_State *L, int idx)
{
	luaL_checktype(L, idx, LUA_TTABLE);
	struct kon_record record = {
		.kind = check_field(L, idx, "kind"),
		.name = check_field(L, idx, "name"),
		.uid = check_field(L, idx, "uid"),
	};
	lua_getfield(L, idx, "rev");
	double rev = luaL_checknumber(L, -1);
	if (!(rev >= 0 && rev <= MAX_REV)) /* not NaN either */
		luaL_error(L, "a record whose rev is no number from 0 to 2^53");
	record.rev = (int64_t)rev;
	lua_pop(L, 1);
	return record;
}

/* The JSON of the table at idx, in the handle's buffer until the next write. */
static int encode(lua_State *L, int idx, struct kon_buf **out, struct kon_err *err)
{
	struct handle *handle = luaL_checkudata(L, 1, STORE_TYPE);
	luaL_checktype(L, idx, LUA_TTABLE);
	kon_buf_done(&handle->text);
	kon_buf_init(&handle->text, KON_STORE_MAX_BYTES);
	*out = &handle->text;
	int code = kon_json_encode(L, idx, &handle->text, err);
	if (code == 0 && handle->text.data[0] != '{')
		code = kon_err_set(err, KON_USAGE, "a spec or a status has names, it is no list");
	return code;
}

/* ---- requests ---- */

static int64_t check_limit(lua_State *L, int idx)
{
	lua_getfield(L, idx, "limit_ms");
	int64_t limit_ms = lua_isnil(L, -1) ? 0 : kon_lua_check_ms(L, -1);
	lua_pop(L, 1);
	return limit_ms > 0 ? limit_ms : 0;
}

/* store:get(kind, name, {limit_ms?}) */
static int store_get(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	const char *kind = check_text(L, 2);
	const char *name = check_text(L, 3);
	int64_t limit_ms = lua_isnoneornil(L, 4) ? 0 : check_limit(L, 4);
	struct kon_lua_request *request = kon_lua_request_push(L);
	struct kon_reply reply = kon_lua_request_reply(request, KON_LUA_RECORD);
	return kon_lua_request_end(L, request, store->ops->get(store, kind, name, limit_ms, reply), NULL);
}

static int store_list(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	const char *kind = check_text(L, 2);
	struct kon_lua_request *request = kon_lua_request_push(L);
	struct kon_reply reply = kon_lua_request_reply(request, KON_LUA_LIST);
	return kon_lua_request_end(L, request, store->ops->list(store, kind, reply), NULL);
}

static int store_create(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	const char *kind = check_text(L, 2);
	const char *name = check_text(L, 3);
	struct kon_err err = {0};
	struct kon_buf *spec;
	if (encode(L, 4, &spec, &err) != 0)
		return kon_lua_fail(L, &err);
	struct kon_lua_request *request = kon_lua_request_push(L);
	struct kon_reply reply = kon_lua_request_reply(request, KON_LUA_RECORD);
	return kon_lua_request_end(L, request, store->ops->create(store, kind, name, spec->data, spec->size, reply),
	                           NULL);
}

static enum kon_store_by check_by(lua_State *L, int idx)
{
	static const char *const words[] = {"holder", "queue", "gc", NULL};
	lua_getfield(L, idx, "by");
	const char *word = luaL_optstring(L, -1, "holder");
	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], word) == 0) {
			lua_pop(L, 1);
			return (enum kon_store_by)i;
		}
	}
	return luaL_error(L, "replace: by must be holder, queue or gc, not '%s'", word);
}

/* store:replace(record, status, {by?, first?, limit_ms?}) */
static int store_replace(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	struct kon_record record = check_record(L, 2);
	struct kon_store_how how = {.by = KON_BY_HOLDER};
	if (!lua_isnoneornil(L, 4)) {
		luaL_checktype(L, 4, LUA_TTABLE);
		how.by = check_by(L, 4);
		how.limit_ms = check_limit(L, 4);
		lua_getfield(L, 4, "first");
		how.first = luaL_optstring(L, -1, NULL);
	}
	struct kon_err err = {0};
	struct kon_buf *status;
	if (encode(L, 3, &status, &err) != 0)
		return kon_lua_fail(L, &err);
	struct kon_lua_request *request = kon_lua_request_push(L);
	struct kon_reply reply = kon_lua_request_reply(request, KON_LUA_RECORD);
	struct kon_store_call *call = store->ops->replace(store, &record, status->data, status->size, &how, reply);
	struct kon_lua_sent sent = {.idx = 3, .text = status->data, .size = status->size};
	return kon_lua_request_end(L, request, call, &sent);
}

static int store_delete(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	struct kon_record record = check_record(L, 2);
	struct kon_lua_request *request = kon_lua_request_push(L);
	struct kon_reply reply = kon_lua_request_reply(request, KON_LUA_TRUE);
	return kon_lua_request_end(L, request, store->ops->delete (store, &record, reply), NULL);
}

/* ---- the rest ---- */

/* store:watch(inbox, kind, name|nil, {first?}) */
static int store_watch(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	const char *kind = check_text(L, 3);
	const char *name = lua_isnoneornil(L, 4) ? NULL : check_text(L, 4);
	const char *first = NULL;
	if (!lua_isnoneornil(L, 5)) {
		luaL_checktype(L, 5, LUA_TTABLE);
		lua_getfield(L, 5, "first");
		first = luaL_optstring(L, -1, NULL); /* the table keeps it */
		lua_pop(L, 1);
	}
	return kon_lua_watch(L, store, kind, name, first);
}

/* store:peer(inbox, session) */
static int store_peer(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	return kon_lua_peer(L, store, check_text(L, 3));
}

/* store:fd() -> the descriptor that everything acting under this session must keep open */
static int store_fd(lua_State *L)
{
	struct kon_store *store = kon_lua_check_store(L);
	lua_pushinteger(L, store->ops->keep_fd(store));
	return 1;
}

/* store:describe() -> "sqlite:/path" */
static int store_describe(lua_State *L)
{
	lua_pushstring(L, kon_lua_check_store(L)->place);
	return 1;
}

struct kon_store **kon_lua_push_store(lua_State *L)
{
	struct handle *handle = lua_newuserdata(L, sizeof(*handle));
	handle->store = NULL;
	kon_buf_init(&handle->text, KON_STORE_MAX_BYTES);
	luaL_getmetatable(L, STORE_TYPE);
	lua_setmetatable(L, -2);
	return &handle->store;
}

static int end_store(lua_State *L, bool orderly)
{
	struct handle *handle = luaL_checkudata(L, 1, STORE_TYPE);
	kon_buf_done(&handle->text);
	if (handle->store != NULL)
		handle->store->ops->close(handle->store, orderly);
	handle->store = NULL;
	return 0;
}

/* store:close(): everything that this session held has been released */
static int store_close(lua_State *L)
{
	return end_store(L, true);
}

/* Collected without having been closed: as after a crash, others must be able to learn that this session is dead. */
static int store_gc(lua_State *L)
{
	return end_store(L, false);
}

static const struct kon_lua_option options_of_sqlite[] = {
	{"path", LUA_TSTRING, true},
	{"namespace", LUA_TSTRING, true},
	{"session", LUA_TSTRING, true},
	{NULL, 0, false},
};

/* core.sqlite{path, namespace, session} */
static int core_sqlite(lua_State *L)
{
	struct kon_err err = {0};
	kon_lua_check_options(L, 1, "sqlite", options_of_sqlite);
	struct kon_sqlite_options options = {
		.path = kon_lua_option_text(L, 1, "path"),
		.name_space = kon_lua_option_text(L, 1, "namespace"),
		.session = kon_lua_option_text(L, 1, "session"),
	};
	struct kon_store **slot = kon_lua_push_store(L);
	if (kon_sqlite_open(slot, kon_sched_loop(kon_sched_of(L)), &options, &err) != 0)
		return kon_lua_fail(L, &err);
	return 1;
}

void kon_lua_store_method(lua_State *L, const char *name, lua_CFunction method)
{
	luaL_getmetatable(L, STORE_TYPE);
	lua_pushcfunction(L, method);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
}

void kon_lua_add_store(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"get", store_get},         {"list", store_list},     {"create", store_create},
		{"replace", store_replace}, {"delete", store_delete}, {"watch", store_watch},
		{"peer", store_peer},       {"fd", store_fd},         {"describe", store_describe},
		{"close", store_close},     {"__gc", store_gc},       {NULL, NULL},
	};
	kon_lua_make_type(L, STORE_TYPE, methods, NULL);
	kon_lua_add_sub(L);
	kon_lua_add_request(L);
	lua_pushcfunction(L, core_sqlite);
	lua_setfield(L, -2, "sqlite");
}
