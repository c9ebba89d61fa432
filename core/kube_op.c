#include "kube_op.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

void *kon_kube_need(void *memory)
{
	if (memory == NULL)
		abort(); /* the guards kill what runs when we are gone */
	return memory;
}

void kon_kube_op_empty(struct kon_kube_op *op)
{
	for (size_t i = 0; i < op->count; i++)
		kon_kube_record_done(&op->read[i]);
	for (size_t i = 0; i < op->page_count; i++)
		cJSON_Delete(op->pages[i]);
	free(op->read);
	free(op->pages);
	op->read = NULL;
	op->pages = NULL;
	op->count = op->page_count = 0;
}

static void free_op(struct kon_kube_op *op)
{
	*op->link = op->next;
	if (op->next != NULL)
		op->next->link = op->link;
	kon_kube_op_empty(op);
	free(op->record);
	free(op->sent);
	free(op->kind);
	free(op);
}

void kon_kube_op_end(struct kon_kube_op *op, int code, const struct kon_err *err)
{
	struct kon_reply reply = op->reply;
	free_op(op);
	reply.done(reply.data, code, err);
}

static void cancel(struct kon_store_call *base)
{
	struct kon_kube_op *op = (struct kon_kube_op *)base;
	kon_kube_cancel(op->http);
	free_op(op);
}

struct kon_kube_op *kon_kube_op_new(struct kon_kube_store *store, enum kon_kube_verb verb, const char *kind,
                                    int64_t limit_ms, struct kon_reply reply)
{
	struct kon_kube_op *op = kon_kube_need(calloc(1, sizeof(*op)));
	op->base.cancel = cancel;
	op->store = store;
	op->reply = reply;
	op->kind = kon_kube_need(strdup(kind));
	op->give_up_at_ms = kon_clock_add(kon_clock_boot_ms(), limit_ms > 0 ? limit_ms : KON_KUBE_LIMIT_MS);
	op->ask = (struct kon_kube_ask){
		.verb = verb,
		.word = store->dialect->word,
		.resource = store->dialect->plural(op->kind),
		.name_space = store->name_space,
	};
	op->next = store->ops;
	op->link = &store->ops;
	if (op->next != NULL)
		op->next->link = &op->next;
	store->ops = op;
	return op;
}

void kon_kube_calls_end(struct kon_kube_store *store)
{
	struct kon_err err = {0};
	kon_err_set(&err, KON_CANCELLED, "the store was closed");
	while (store->ops != NULL) {
		struct kon_kube_op *op = store->ops;
		struct kon_http_answer answer = {.code = err.code, .content_type = "", .body = "", .err = err};
		kon_kube_cancel(op->http);
		if (op->raw == NULL) {
			kon_kube_op_end(op, err.code, &err);
			continue;
		}
		void (*raw)(void *, const struct kon_http_answer *) = op->raw;
		void *data = op->raw_data;
		free_op(op);
		raw(data, &answer);
	}
}

/* Refused before anything was sent. */
struct kon_store_call *kon_kube_op_refuse(struct kon_reply reply, int code, const struct kon_err *err)
{
	reply.done(reply.data, code, err);
	return NULL;
}

void kon_kube_op_start(struct kon_kube_op *op, struct kon_kube_request *request, char *path,
                       void (*done)(void *data, const struct kon_http_answer *answer))
{
	int64_t left_ms = op->give_up_at_ms - kon_clock_boot_ms();
	request->path = path;
	request->limit_ms = left_ms > 0 ? left_ms : 1;
	request->done = done;
	request->data = op;
	op->http = kon_kube_start(op->store->kube, request);
	free(path);
}

/* What an answer without content, or with an unexpected one, means for this verb. */
int kon_kube_op_judge(const struct kon_kube_op *op, const struct kon_http_answer *answer, struct kon_err *err)
{
	*err = answer->err;
	if (answer->code == 0)
		return kon_kube_judge(&op->ask, answer->status, answer->content_type, answer->body, answer->size, err);
	/* A read has no effect that could be in doubt. */
	if (answer->code == KON_UNKNOWN && op->ask.verb == KON_KUBE_GET)
		return err->code = KON_STORE;
	return answer->code;
}

/* ---- any other request ---- */

static void on_raw(void *data, const struct kon_http_answer *answer)
{
	struct kon_kube_op *op = data;
	void (*raw)(void *, const struct kon_http_answer *) = op->raw;
	void *raw_data = op->raw_data;
	free_op(op);
	raw(raw_data, answer);
}

struct kon_store_call *kon_kube_store_request(struct kon_store *base, const struct kon_kube_request *request)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	struct kon_kube_request ours = *request;
	struct kon_kube_op *op = kon_kube_op_new(store, KON_KUBE_GET, "Any", request->limit_ms, (struct kon_reply){0});
	op->raw = request->done;
	op->raw_data = request->data;
	ours.done = on_raw;
	ours.data = op;
	op->http = kon_kube_start(store->kube, &ours);
	return &op->base;
}
