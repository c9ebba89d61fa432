#include "lua_request.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "lua_core.h"
#include "lua_type.h"
#include "task.h"

#define REQUEST_TYPE "konductor.request"

/* core.pending: the address of this. */
static const char pending;

struct answer {
	int code;
	struct kon_err err;
	struct kon_lua_value *value; /* owned; NULL unless code is 0 */
};

struct kon_lua_request {
	struct kon_store_call *call;    /* NULL before it started and after its end */
	struct kon_inbox *inbox;        /* counted; NULL within the call */
	struct kon_lua_value *expected; /* owned: being filled by whoever answers */
	bool answered;                  /* within the call */
	struct answer answer;
};

struct answer_event {
	struct kon_event base;
	struct answer answer;
};

static void free_value(struct kon_lua_value *value)
{
	if (value != NULL)
		value->free(value);
}

/* The value, or nothing and the code. */
static int push_value(lua_State *L, struct answer *answer, const struct kon_lua_sent *sent)
{
	int code = answer->code;
	if (code == 0)
		code = answer->value->push(L, answer->value, sent, &answer->err);
	return code;
}

static void push_event(lua_State *L, struct kon_event *base)
{
	struct answer_event *event = (struct answer_event *)base;
	lua_createtable(L, 0, 3);
	kon_lua_set_text(L, "type", "answer");
	int code = push_value(L, &event->answer, NULL);
	if (code == 0) {
		lua_setfield(L, -2, "value");
		return;
	}
	kon_lua_set_text(L, "code", kon_err_word(code));
	kon_lua_set_text(L, "detail", event->answer.err.detail);
}

static void free_event(struct kon_event *base)
{
	struct answer_event *event = (struct answer_event *)base;
	free_value(event->answer.value);
	free(event);
}

static void post(struct kon_lua_request *request)
{
	struct answer_event *event = calloc(1, sizeof(*event));
	if (event == NULL)
		abort(); /* the guards kill what runs when we are gone */
	event->base.push = push_event;
	event->base.free = free_event;
	event->answer = request->answer;
	request->answer.value = NULL;
	kon_inbox_post(request->inbox, &event->base);
	kon_inbox_release(request->inbox);
	request->inbox = NULL;
}

void kon_lua_request_expect(struct kon_lua_request *request, struct kon_lua_value *value)
{
	request->expected = value;
}

void kon_lua_request_answer(struct kon_lua_request *request, int code, const struct kon_err *err,
                            struct kon_lua_value *value)
{
	request->call = NULL;
	request->expected = NULL;
	request->answer.code = code;
	request->answer.value = value;
	if (code != 0)
		request->answer.err = *err;
	if (request->inbox != NULL)
		post(request);
	else
		request->answered = true;
}

/* close and __gc: an answer that has been posted is the inbox's. */
static int end_request(lua_State *L)
{
	struct kon_lua_request *request = luaL_checkudata(L, 1, REQUEST_TYPE);
	if (request->call != NULL)
		request->call->cancel(request->call);
	request->call = NULL;
	free_value(request->expected);
	request->expected = NULL;
	free_value(request->answer.value);
	request->answer.value = NULL;
	kon_inbox_release(request->inbox);
	request->inbox = NULL;
	return 0;
}

struct kon_lua_request *kon_lua_request_push(lua_State *L)
{
	struct kon_lua_request *request = lua_newuserdata(L, sizeof(*request));
	*request = (struct kon_lua_request){0};
	luaL_getmetatable(L, REQUEST_TYPE);
	lua_setmetatable(L, -2);
	return request;
}

/* -> core.pending, inbox.  The store, at index 1, stays while the request does. */
static int push_pending(lua_State *L, struct kon_lua_request *request)
{
	int idx = lua_gettop(L);
	lua_createtable(L, 1, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	lua_setfenv(L, idx);
	lua_pushlightuserdata(L, (void *)&pending);
	kon_lua_inbox(L);
	request->inbox = kon_inbox_acquire(L, -1);
	kon_inbox_anchor(L, -1, idx);
	return 2;
}

int kon_lua_request_end(lua_State *L, struct kon_lua_request *request, struct kon_store_call *call,
                        const struct kon_lua_sent *sent)
{
	if (!request->answered) {
		request->call = call;
		return push_pending(L, request);
	}
	int code = push_value(L, &request->answer, sent);
	free_value(request->answer.value); /* at once: the collector knows nothing of its size */
	request->answer.value = NULL;
	return code == 0 ? 1 : kon_lua_fail(L, &request->answer.err);
}

void kon_lua_add_request(lua_State *L)
{
	static const luaL_Reg methods[] = {{"close", end_request}, {"__gc", end_request}, {NULL, NULL}};
	kon_lua_make_type(L, REQUEST_TYPE, methods, NULL);
	lua_pushlightuserdata(L, (void *)&pending);
	lua_setfield(L, -2, "pending");
}
