/* Records of a store as tables of Lua, and answers made of them. */
#include <stdlib.h>
#include <string.h>

#include "lua_json.h"
#include "lua_request.h"
#include "lua_status.h"
#include "lua_type.h"

/* What a store has told of so far; copies, because it is pushed when Lua takes it. */
struct records {
	struct kon_lua_value base;
	struct kon_lua_request *request;
	enum kon_lua_what what;
	struct kon_record **list;
	size_t count;
	size_t room;
};

/* Sets what was read of text, which is on top of the stack unless code says that it was not. */
static int set_read(lua_State *L, const struct kon_record *record, const char *key, const char *text, size_t size,
                    int code, const struct kon_err *why, struct kon_err *err)
{
	if (code != 0)
		return kon_err_set(err, KON_CORRUPT, "the %s of %s %s is damaged: %.300s", key, record->kind,
		                   record->name, why->detail);
	lua_setfield(L, -2, key);
	/* To Lua, a list is a table too. */
	size_t start = 0;
	while (start < size && strchr(" \t\r\n", text[start]) != NULL)
		start++;
	if (start == size || text[start] != '{')
		return kon_err_set(err, KON_CORRUPT, "the %s of %s %s is damaged: no JSON object", key, record->kind,
		                   record->name);
	return 0;
}

static int set_spec(lua_State *L, const struct kon_record *record, struct kon_err *err)
{
	struct kon_err why = {0};
	int code = kon_json_push(L, record->spec, record->spec_size, &why);
	return set_read(L, record, "spec", record->spec, record->spec_size, code, &why, err);
}

/* Often it is as it was sent: then nobody need read it. */
static int set_status(lua_State *L, const struct kon_record *record, const struct kon_lua_sent *sent,
                      struct kon_err *err)
{
	if (sent != NULL && kon_lua_shares_tables(record->kind) && sent->size == record->status_size &&
	    memcmp(sent->text, record->status, sent->size) == 0) {
		lua_pushvalue(L, sent->idx);
		lua_setfield(L, -2, "status");
		return 0;
	}
	struct kon_err why = {0};
	int code = kon_lua_push_status(L, record, &why);
	return set_read(L, record, "status", record->status, record->status_size, code, &why, err);
}

/* What every record has, whatever is in it. */
static void push_known(lua_State *L, const struct kon_record *record)
{
	lua_createtable(L, 0, 12);
	kon_lua_set_text(L, "kind", record->kind);
	kon_lua_set_text(L, "name", record->name);
	kon_lua_set_text(L, "uid", record->uid);
	kon_lua_set_text(L, "created", record->created);
	kon_lua_set_number(L, "rev", (lua_Number)record->rev);
	kon_lua_set_number(L, "age_ms", (lua_Number)record->age_ms);
}

/* One that cannot be read has neither spec nor status, so that nobody takes it for free. */
static void push_damaged(lua_State *L, const struct kon_record *record, const char *damage)
{
	push_known(L, record);
	kon_lua_set_text(L, "damage", damage);
}

int kon_lua_push_record(lua_State *L, const struct kon_record *record, const struct kon_lua_sent *sent,
                        struct kon_err *err)
{
	push_known(L, record);
	if (record->came_at_ms != 0)
		kon_lua_set_number(L, "came_at", (lua_Number)record->came_at_ms);
	if (record->generation != 0)
		kon_lua_set_number(L, "generation", (lua_Number)record->generation);
	if (record->deleting)
		kon_lua_set_flag(L, "deleting", true);
	int code = set_spec(L, record, err);
	if (code == 0)
		code = set_status(L, record, sent, err);
	if (code != 0)
		lua_pop(L, 1);
	return code;
}

static int push_records(lua_State *L, const struct kon_lua_value *value, const struct kon_lua_sent *sent,
                        struct kon_err *err)
{
	const struct records *all = (const struct records *)value;
	if (all->what == KON_LUA_TRUE) {
		lua_pushboolean(L, 1);
		return 0;
	}
	if (all->what == KON_LUA_RECORD)
		return kon_lua_push_record(L, all->list[0], sent, err);
	lua_createtable(L, (int)all->count, 0);
	for (size_t i = 0; i < all->count; i++) {
		const struct kon_record *record = all->list[i];
		struct kon_err why = {0};
		if (record->damage != NULL)
			push_damaged(L, record, record->damage);
		else if (kon_lua_push_record(L, record, NULL, &why) != 0)
			push_damaged(L, record, why.detail);
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 0;
}

static void free_records(struct kon_lua_value *value)
{
	struct records *all = (struct records *)value;
	for (size_t i = 0; i < all->count; i++)
		free(all->list[i]);
	free(all->list);
	free(all);
}

static void on_record(void *data, const struct kon_record *record)
{
	struct records *all = data;
	if (all->count == all->room) {
		all->room = all->room == 0 ? 1 : all->room * 2;
		all->list = realloc(all->list, all->room * sizeof(struct kon_record *));
		if (all->list == NULL)
			abort(); /* the guards kill what runs when we are gone */
	}
	all->list[all->count] = kon_record_copy(record);
	if (all->list[all->count++] == NULL)
		abort();
}

static void on_done(void *data, int code, const struct kon_err *err)
{
	struct records *all = data;
	struct kon_lua_request *request = all->request;
	if (code != 0) {
		free_records(&all->base);
		all = NULL;
	}
	kon_lua_request_answer(request, code, err, all != NULL ? &all->base : NULL);
}

struct kon_reply kon_lua_request_reply(struct kon_lua_request *request, enum kon_lua_what what)
{
	struct records *all = calloc(1, sizeof(*all));
	if (all == NULL)
		abort();
	*all = (struct records){.base = {push_records, free_records}, .request = request, .what = what};
	kon_lua_request_expect(request, &all->base);
	return (struct kon_reply){.record = on_record, .done = on_done, .data = all};
}
