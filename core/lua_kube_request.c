/* store:request{}: any request to the API server of a store, answered as {status=, body=, date=}. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "lua_core.h"
#include "lua_json.h"
#include "lua_kube.h"
#include "lua_options.h"
#include "lua_request.h"
#include "store_kube.h"

static const struct kon_lua_option options_of_request[] = {
	{"method", LUA_TSTRING, true},
	{"path", LUA_TSTRING, true},
	{"query", LUA_TSTRING, false},
	{"content_type", LUA_TSTRING, false},
	{"body", LUA_TTABLE, false},
	{"limit_ms", LUA_TNUMBER, false},
	{NULL, 0, false},
};

/* An answer on its way to Lua: {status=, body=, date=}. */
struct answer {
	struct kon_lua_value base;
	struct kon_lua_request *request;
	int status;
	int64_t date_s;
	struct kon_buf body;
};

static int push_answer(lua_State *L, const struct kon_lua_value *value, const struct kon_lua_sent *sent,
                       struct kon_err *err)
{
	(void)sent;
	const struct answer *answer = (const struct answer *)value;
	const char *body = answer->body.size > 0 ? answer->body.data : "";
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, answer->status);
	lua_setfield(L, -2, "status");
	if (answer->date_s != 0) {
		lua_pushnumber(L, (lua_Number)answer->date_s);
		lua_setfield(L, -2, "date");
	}
	if (kon_json_push(L, body, answer->body.size, err) != 0)
		lua_pushlstring(L, body, answer->body.size);
	lua_setfield(L, -2, "body");
	return 0;
}

static void free_answer(struct kon_lua_value *value)
{
	struct answer *answer = (struct answer *)value;
	kon_buf_done(&answer->body);
	free(answer);
}

static void on_answer(void *data, const struct kon_http_answer *http)
{
	struct answer *answer = data;
	struct kon_lua_request *request = answer->request;
	if (http->code != 0) {
		free_answer(&answer->base);
		kon_lua_request_answer(request, http->code, &http->err, NULL);
		return;
	}
	answer->status = http->status;
	answer->date_s = http->date_s;
	if (!kon_buf_add(&answer->body, http->body, http->size))
		abort();
	kon_lua_request_answer(request, 0, NULL, &answer->base);
}

/* The body as JSON in out; false when there is none. */
static bool encode_body(lua_State *L, struct kon_buf *out)
{
	struct kon_err err = {0};
	lua_getfield(L, 2, "body");
	bool any = !lua_isnil(L, -1);
	kon_buf_init(out, KON_KUBE_MAX_OBJECT);
	if (any && kon_json_encode(L, -1, out, &err) != 0) {
		kon_buf_done(out);
		luaL_error(L, "request: the body %s", err.detail);
	}
	lua_pop(L, 1);
	return any;
}

/* store:request{method, path, query?, body?, content_type?, limit_ms?} */
int kon_lua_kube_request(lua_State *L)
{
	struct kon_store *store = kon_lua_check_kube(L, "request");
	kon_lua_check_options(L, 2, "request", options_of_request);
	const char *query = kon_lua_option_text(L, 2, "query");
	luaL_argcheck(L, kon_lua_option_text(L, 2, "path")[0] == '/', 2, "a path that begins with '/' expected");
	lua_pushstring(L, kon_lua_option_text(L, 2, "path"));
	lua_pushstring(L, query != NULL ? "?" : "");
	lua_pushstring(L, query != NULL ? query : "");
	lua_concat(L, 3);
	const char *path = lua_tostring(L, -1);
	lua_getfield(L, 2, "limit_ms");
	int64_t limit_ms = lua_isnil(L, -1) ? 0 : kon_lua_check_ms(L, -1);
	struct kon_buf body;
	bool any = encode_body(L, &body);
	struct kon_lua_request *request = kon_lua_request_push(L);
	struct answer *answer = calloc(1, sizeof(*answer));
	if (answer == NULL)
		abort();
	*answer = (struct answer){.base = {push_answer, free_answer}, .request = request};
	kon_buf_init(&answer->body, KON_KUBE_MAX_LIST);
	kon_lua_request_expect(request, &answer->base);
	struct kon_store_call *call =
		kon_kube_store_request(store, &(struct kon_kube_request){
						      .method = kon_lua_option_text(L, 2, "method"),
						      .path = path,
						      .content_type = kon_lua_option_text(L, 2, "content_type"),
						      .body = any ? body.data : NULL,
						      .size = any ? body.size : 0,
						      .limit_ms = limit_ms,
						      .max_bytes = KON_KUBE_MAX_LIST,
						      .rank = KON_KUBE_READ,
						      .done = on_answer,
						      .data = answer,
					      });
	kon_buf_done(&body);
	return kon_lua_request_end(L, request, call, NULL);
}
