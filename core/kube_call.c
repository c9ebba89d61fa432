/* The verbs on one object. */
#include "kube_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kube_op.h"
#include "kube_path.h"

/* An answer that says success and cannot be read leaves a write in doubt. */
static int unreadable(const struct kon_kube_op *op, int code, struct kon_err *err)
{
	if (op->ask.verb != KON_KUBE_GET && code == KON_CORRUPT)
		return err->code = KON_UNKNOWN;
	return code;
}

static int give(struct kon_kube_op *op, const cJSON *object, int64_t date_s, struct kon_err *err)
{
	struct kon_kube_record read;
	const struct kon_kube_dialect *dialect = op->store->dialect;
	int code = kon_kube_read(dialect, object, op->kind, date_s, &read, err);
	if (code != 0)
		return code;
	if (op->ask.verb == KON_KUBE_REPLACE && !dialect->whole)
		code = kon_kube_check_kept("status", op->sent, read.status, err);
	else if (op->ask.verb == KON_KUBE_CREATE && !dialect->whole)
		code = kon_kube_check_kept("spec", op->sent, read.spec, err);
	if (code == 0) {
		if (dialect->whole)
			kon_kube_seen_put(&op->store->seen, object);
		op->reply.record(op->reply.data, &read.record);
	}
	kon_kube_record_done(&read);
	return code;
}

static void on_object(void *data, const struct kon_http_answer *answer)
{
	struct kon_kube_op *op = data;
	struct kon_err err = {0};
	int code = kon_kube_op_judge(op, answer, &err);
	if (code == 0) {
		cJSON *object = kon_kube_parse(answer->body, answer->size, &err);
		code = unreadable(op, object != NULL ? give(op, object, answer->date_s, &err) : KON_CORRUPT, &err);
		cJSON_Delete(object);
	}
	kon_kube_op_end(op, code, &err);
}

static void on_deleted(void *data, const struct kon_http_answer *answer)
{
	struct kon_kube_op *op = data;
	struct kon_err err = {0};
	int code = kon_kube_op_judge(op, answer, &err);
	kon_kube_op_end(op, code, &err);
}

/* ---- verbs on one object ---- */

struct kon_store_call *kon_kube_call_get(struct kon_store *base, const char *kind, const char *name, int64_t limit_ms,
                                         struct kon_reply reply)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	struct kon_err err = {0};
	char object[KON_KUBE_NAME];
	int code = kon_kube_object_name(store->dialect, kind, name, object, &err);
	if (code != 0)
		return kon_kube_op_refuse(reply, code, &err);
	struct kon_kube_op *op = kon_kube_op_new(store, KON_KUBE_GET, kind, limit_ms, reply);
	memcpy(op->object, object, sizeof(object));
	op->ask.object = op->object;
	struct kon_kube_request request = {.method = "GET", .rank = KON_KUBE_READ};
	kon_kube_op_start(op, &request, kon_kube_path_object(store->dialect, store->name_space, kind, object, ""),
	                  on_object);
	return &op->base;
}

static char *manager_query(const struct kon_kube_op *op, const char *before)
{
	char *tail = NULL;
	if (asprintf(&tail, "%s?fieldManager=%s", before, kon_kube_manager(op->by)) < 0)
		abort();
	return tail;
}

struct kon_store_call *kon_kube_call_create(struct kon_store *base, const char *kind, const char *name,
                                            const char *spec, size_t size, struct kon_reply reply)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	struct kon_err err = {0};
	char *body = kon_kube_make(store->dialect, store->name_space, kind, name, spec, size, &err);
	if (body == NULL)
		return kon_kube_op_refuse(reply, err.code, &err);
	struct kon_kube_op *op = kon_kube_op_new(store, KON_KUBE_CREATE, kind, 0, reply);
	kon_kube_object_name(store->dialect, kind, name, op->object, &err);
	op->ask.object = op->object;
	op->sent = kon_kube_need(strndup(spec, size));
	char *tail = manager_query(op, "");
	struct kon_kube_request request = {.method = "POST", .body = body, .size = strlen(body), .rank = KON_KUBE_LAST};
	kon_kube_op_start(op, &request, kon_kube_path_object(store->dialect, store->name_space, kind, "", tail),
	                  on_object);
	free(tail);
	cJSON_free(body);
	return &op->base;
}

static void put(struct kon_kube_op *op, const cJSON *seen)
{
	struct kon_kube_store *store = op->store;
	struct kon_err err = {0};
	struct kon_kube_change change = {
		.record = op->record,
		.name_space = store->name_space,
		.status = op->sent,
		.size = op->size,
		.by = op->by,
		.wall_us = kon_clock_wall_ms() * 1000,
	};
	char *body = kon_kube_change(store->dialect, seen, &change, &err);
	if (body == NULL)
		abort(); /* names were checked before; so it is memory */
	char *tail = manager_query(op, store->dialect->status);
	struct kon_kube_request request = {
		.method = "PUT",
		.body = body,
		.size = strlen(body),
		.rank = op->by == KON_BY_HOLDER ? KON_KUBE_FIRST : KON_KUBE_LAST,
	};
	kon_kube_op_start(op, &request,
	                  kon_kube_path_object(store->dialect, store->name_space, op->kind, op->object, tail),
	                  on_object);
	free(tail);
	cJSON_free(body);
}

/* The whole object, to be written over: if it is still the one that was meant. */
static void on_whole(void *data, const struct kon_http_answer *answer)
{
	struct kon_kube_op *op = data;
	struct kon_err err = {0};
	const char *name, *uid;
	int64_t rev;
	op->ask.verb = KON_KUBE_GET;
	int code = kon_kube_op_judge(op, answer, &err);
	cJSON *object = code == 0 ? kon_kube_parse(answer->body, answer->size, &err) : NULL;
	if (code == 0 && object == NULL)
		code = KON_CORRUPT;
	if (code == 0)
		code = kon_kube_identify(object, &name, &uid, &rev, &err);
	if (code == 0 && (strcmp(uid, op->record->uid) != 0 || rev != op->record->rev))
		code = kon_err_set(&err, KON_CONFLICT, "%s changed since it was read", op->object);
	op->ask.verb = KON_KUBE_REPLACE;
	if (code == 0)
		put(op, object);
	else
		kon_kube_op_end(op, code, &err);
	cJSON_Delete(object);
}

struct kon_store_call *kon_kube_call_replace(struct kon_store *base, const struct kon_record *record,
                                             const char *status, size_t size, const struct kon_store_how *how,
                                             struct kon_reply reply)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	struct kon_err err = {0};
	char object[KON_KUBE_NAME];
	int code = kon_kube_object_name(store->dialect, record->kind, record->name, object, &err);
	if (code != 0)
		return kon_kube_op_refuse(reply, code, &err);
	struct kon_kube_op *op = kon_kube_op_new(store, KON_KUBE_REPLACE, record->kind, how->limit_ms, reply);
	memcpy(op->object, object, sizeof(object));
	op->ask.object = op->object;
	op->by = how->by;
	op->sent = kon_kube_need(strndup(status, size));
	op->size = size;
	op->record = kon_kube_need(kon_record_copy(&(struct kon_record){
		.kind = record->kind,
		.name = record->name,
		.uid = record->uid,
		.rev = record->rev,
		.created = "",
		.spec = "",
		.status = "",
	}));
	const cJSON *seen = NULL;
	if (store->dialect->whole)
		seen = kon_kube_seen_get(&store->seen, object, record->uid, record->rev);
	if (seen != NULL || !store->dialect->whole) {
		put(op, seen);
		return &op->base;
	}
	struct kon_kube_request request = {.method = "GET", .rank = KON_KUBE_FIRST};
	kon_kube_op_start(op, &request, kon_kube_path_object(store->dialect, store->name_space, op->kind, object, ""),
	                  on_whole);
	return &op->base;
}

struct kon_store_call *kon_kube_call_delete(struct kon_store *base, const struct kon_record *record,
                                            struct kon_reply reply)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	struct kon_err err = {0};
	char object[KON_KUBE_NAME];
	int code = kon_kube_object_name(store->dialect, record->kind, record->name, object, &err);
	char *body = code == 0 ? kon_kube_delete(record, &err) : NULL;
	if (body == NULL)
		return kon_kube_op_refuse(reply, err.code, &err);
	struct kon_kube_op *op = kon_kube_op_new(store, KON_KUBE_DELETE, record->kind, 0, reply);
	memcpy(op->object, object, sizeof(object));
	op->ask.object = op->object;
	struct kon_kube_request request = {
		.method = "DELETE", .body = body, .size = strlen(body), .rank = KON_KUBE_LAST};
	kon_kube_op_start(op, &request, kon_kube_path_object(store->dialect, store->name_space, op->kind, object, ""),
	                  on_deleted);
	cJSON_free(body);
	return &op->base;
}
