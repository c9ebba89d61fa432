/*
 * core.kube{...}: a store on a Kubernetes API server, and what only such a store can do:
 * store:request{} for the rest of the API, store:credentials{} for a user that was refused.
 *
 * Its inbox gets {type="credentials"} when the server refuses who we are and there is no file to read
 * again: answer with store:credentials{token=|cert=, key=} or {failed="why"}.  And {type="warning",
 * detail=} for what a person should know.
 */
#include "lua_kube.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "lua_core.h"
#include "lua_options.h"
#include "lua_store.h"
#include "store_kube.h"
#include "task.h"

#define LINK_TYPE "konductor.kube.link"

/* Where a store posts to; kept by the store's environment. */
struct link {
	struct kon_inbox *inbox; /* counted; NULL: nobody asked */
};

/* ---- what the store tells ---- */

struct news {
	struct kon_event base;
	const char *type;
	char *detail; /* NULL: none */
};

static void push_news(lua_State *L, struct kon_event *base)
{
	const struct news *news = (const struct news *)base;
	lua_createtable(L, 0, 2);
	lua_pushstring(L, news->type);
	lua_setfield(L, -2, "type");
	if (news->detail != NULL) {
		lua_pushstring(L, news->detail);
		lua_setfield(L, -2, "detail");
	}
}

static void free_news(struct kon_event *base)
{
	struct news *news = (struct news *)base;
	free(news->detail);
	free(news);
}

static void post(struct link *link, const char *type, const char *detail)
{
	if (link->inbox == NULL)
		return; /* collected together with the store, whose turn comes after it */
	struct news *news = calloc(1, sizeof(*news));
	if (news == NULL)
		abort(); /* the guards kill what runs when we are gone */
	*news = (struct news){{.push = push_news, .free = free_news}, type, detail != NULL ? strdup(detail) : NULL};
	kon_inbox_post(link->inbox, &news->base);
}

static void on_refused(void *data)
{
	post(data, "credentials", NULL);
}

static void on_warn(void *data, const char *sentence)
{
	post(data, "warning", sentence);
}

static int link_gc(lua_State *L)
{
	struct link *link = luaL_checkudata(L, 1, LINK_TYPE);
	kon_inbox_release(link->inbox);
	link->inbox = NULL;
	return 0;
}

/* Beside the store on top of the stack, as long as that lives. */
static struct link *attach_link(lua_State *L)
{
	lua_createtable(L, 1, 0);
	struct link *link = lua_newuserdata(L, sizeof(*link));
	link->inbox = NULL;
	luaL_getmetatable(L, LINK_TYPE);
	lua_setmetatable(L, -2);
	lua_rawseti(L, -2, 1);
	lua_setfenv(L, -2);
	lua_getfield(L, 1, "inbox");
	if (!lua_isnil(L, -1))
		link->inbox = kon_inbox_acquire(L, lua_gettop(L));
	lua_pop(L, 1);
	return link;
}

/* ---- core.kube ---- */

static const struct kon_lua_option options_of_kube[] = {
	{"server", LUA_TSTRING, true},
	{"namespace", LUA_TSTRING, true},
	{"dialect", LUA_TSTRING, true},
	{"session", LUA_TSTRING, false},
	{"ca", LUA_TSTRING, false},
	{"insecure", LUA_TBOOLEAN, false},
	{"proxy", LUA_TSTRING, false},
	{"tls_server_name", LUA_TSTRING, false},
	{"cert", LUA_TSTRING, false},
	{"key", LUA_TSTRING, false},
	{"token", LUA_TSTRING, false},
	{"token_file", LUA_TSTRING, false},
	{"username", LUA_TSTRING, false},
	{"password", LUA_TSTRING, false},
	{"inbox", LUA_TUSERDATA, false},
	{"http1_only", LUA_TBOOLEAN, false},
	{"later_ms", LUA_TNUMBER, false},
	{"origin", LUA_TSTRING, false},
	{NULL, 0, false},
};

static const struct kon_kube_dialect *check_dialect(lua_State *L)
{
	const char *word = kon_lua_option_text(L, 1, "dialect");
	if (strcmp(word, kon_kube_crd.word) == 0)
		return &kon_kube_crd;
	if (strcmp(word, kon_kube_lease.word) == 0)
		return &kon_kube_lease;
	luaL_error(L, "kube: dialect must be 'kube' or 'kube-lease', not '%s'", word);
	return NULL;
}

static int core_kube(lua_State *L)
{
	struct kon_err err = {0};
	kon_lua_check_options(L, 1, "kube", options_of_kube);
	struct kon_kube_store_options options = {
		.dialect = check_dialect(L),
		.name_space = kon_lua_option_text(L, 1, "namespace"),
		.kube =
			{
				.server = kon_lua_option_text(L, 1, "server"),
				.token = kon_lua_option_text(L, 1, "token"),
				.token_file = kon_lua_option_text(L, 1, "token_file"),
				.username = kon_lua_option_text(L, 1, "username"),
				.password = kon_lua_option_text(L, 1, "password"),
				.http =
					{
						.origin = kon_lua_option_text(L, 1, "origin"),
						.ca_pem = kon_lua_option_text(L, 1, "ca"),
						.cert_pem = kon_lua_option_text(L, 1, "cert"),
						.key_pem = kon_lua_option_text(L, 1, "key"),
						.tls_server_name = kon_lua_option_text(L, 1, "tls_server_name"),
						.proxy = kon_lua_option_text(L, 1, "proxy"),
						.insecure = kon_lua_option_flag(L, 1, "insecure"),
						.http1_only = kon_lua_option_flag(L, 1, "http1_only"),
					},
			},
	};
	lua_getfield(L, 1, "later_ms");
	options.later_ms = lua_isnil(L, -1) ? 0 : kon_lua_check_ms(L, -1);
	lua_pop(L, 1);
	struct kon_store **slot = kon_lua_push_store(L);
	struct link *link = attach_link(L);
	options.kube.data = link;
	if (link->inbox != NULL) {
		options.kube.refused = on_refused;
		options.warn = on_warn;
	}
	if (kon_kube_store_open(slot, kon_sched_loop(kon_sched_of(L)), &options, &err) != 0)
		return kon_lua_fail(L, &err);
	return 1;
}

/* ---- methods ---- */

struct kon_store *kon_lua_check_kube(lua_State *L, const char *method)
{
	struct kon_store *store = kon_lua_check_store(L);
	if (!kon_kube_store_is(store))
		luaL_error(L, "%s: only stores of Kubernetes have it", method);
	return store;
}

static const struct kon_lua_option options_of_credentials[] = {
	{"token", LUA_TSTRING, false},
	{"cert", LUA_TSTRING, false},
	{"key", LUA_TSTRING, false},
	{"failed", LUA_TSTRING, false},
	{NULL, 0, false},
};

/* store:credentials{token=, cert=, key=} or {failed=} -> true */
static int store_credentials(lua_State *L)
{
	struct kon_err err = {0};
	struct kon_kube *kube = kon_kube_store_server(kon_lua_check_kube(L, "credentials"));
	kon_lua_check_options(L, 2, "credentials", options_of_credentials);
	const char *failed = kon_lua_option_text(L, 2, "failed");
	if (failed != NULL) {
		kon_kube_credentials_failed(kube, failed);
	} else if (kon_kube_credentials(kube, kon_lua_option_text(L, 2, "token"), kon_lua_option_text(L, 2, "cert"),
	                                kon_lua_option_text(L, 2, "key"), &err) != 0) {
		kon_kube_credentials_failed(kube, err.detail);
		return kon_lua_fail(L, &err);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* store:counts() -> what its watches did so far */
static int store_counts(lua_State *L)
{
	struct kon_kube_watch_counts counts = kon_kube_store_counts(kon_lua_check_kube(L, "counts"));
	const struct {
		const char *name;
		int value;
	} fields[] = {{"lists", counts.lists},
	              {"watches", counts.watches},
	              {"events", counts.events},
	              {"put_off", counts.put_off},
	              {"unknown_events", counts.unknown_events},
	              {"too_big", counts.too_big}};
	lua_createtable(L, 0, 6);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		lua_pushinteger(L, fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
	return 1;
}

void kon_lua_add_kube(lua_State *L)
{
	luaL_newmetatable(L, LINK_TYPE);
	lua_pushcfunction(L, link_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	kon_lua_store_method(L, "request", kon_lua_kube_request);
	kon_lua_store_method(L, "credentials", store_credentials);
	kon_lua_store_method(L, "counts", store_counts);
	lua_pushcfunction(L, core_kube);
	lua_setfield(L, -2, "kube");
}
