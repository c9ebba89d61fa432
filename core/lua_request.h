/*
 * One request of Lua to a store, answered within the call or later.
 *
 * A method pushes a request, starts the call with it as data, and returns kon_lua_request_end():
 * the answer (value, or nil, word, detail), or core.pending and an inbox that will get it as one
 * event {type="answer", value=, code=, detail=}.  Closing the inbox cancels the request.
 */
#ifndef KON_LUA_REQUEST_H
#define KON_LUA_REQUEST_H

#include <lua.h>
#include <stdbool.h>

#include "store.h"

struct kon_lua_request;

/* A table that a request sent, and its JSON. */
struct kon_lua_sent {
	int idx; /* on the stack of the method */
	const char *text;
	size_t size;
};

/* What a request was answered with, until Lua takes it. */
struct kon_lua_value {
	/* Pushes one value, or nothing and returns a code.  Where the answer has the JSON that was sent, the table that was
	 * sent stands for it; sent may be NULL.  Never raises but for want of memory. */
	int (*push)(lua_State *L, const struct kon_lua_value *value, const struct kon_lua_sent *sent,
	            struct kon_err *err);
	void (*free)(struct kon_lua_value *value);
};

/* The metatable of requests, and core.pending in the table on top of the stack. */
void kon_lua_add_request(lua_State *L);

struct kon_lua_request *kon_lua_request_push(lua_State *L);

/* Ends the request, now or from the loop.  Takes value, which is NULL unless code is 0. */
void kon_lua_request_answer(struct kon_lua_request *request, int code, const struct kon_err *err,
                            struct kon_lua_value *value);

/* What is being filled while the request is under way: freed if it is cancelled. */
void kon_lua_request_expect(struct kon_lua_request *request, struct kon_lua_value *value);

/* With the request on top of the stack.  call is NULL when it was answered within the call; sent may be NULL. */
int kon_lua_request_end(lua_State *L, struct kon_lua_request *request, struct kon_store_call *call,
                        const struct kon_lua_sent *sent);

/* A reply that answers the request with what: a record, a list of records, or true. */
enum kon_lua_what { KON_LUA_RECORD, KON_LUA_LIST, KON_LUA_TRUE };
struct kon_reply kon_lua_request_reply(struct kon_lua_request *request, enum kon_lua_what what);

/* The table of a record, or nothing and KON_CORRUPT.  sent may be NULL. */
int kon_lua_push_record(lua_State *L, const struct kon_record *record, const struct kon_lua_sent *sent,
                        struct kon_err *err);

#endif
