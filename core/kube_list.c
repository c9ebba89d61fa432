/* Lists: page after page, or all at once when the server no longer has the version of the pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kube_op.h"
#include "kube_path.h"

#define PAGE "&limit=500"
#define LIST_MS 10000
#define MAX_PAGES 2000 /* a million objects: more is a server that has lost its way */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct kon_kube_record *)a)->name, ((const struct kon_kube_record *)b)->name);
}

/* Objects sort as names do, but for those whose names are shortened. */
static void end_list(struct kon_kube_op *op)
{
	struct kon_err err = {0};
	if (op->count > 1)
		qsort(op->read, op->count, sizeof(*op->read), compare);
	for (size_t i = 0; i < op->count; i++) {
		op->read[i].record.name = op->read[i].name; /* it has moved */
		op->reply.record(op->reply.data, &op->read[i].record);
	}
	kon_kube_op_end(op, 0, &err);
}

static void ask_page(struct kon_kube_op *op, const char *token);

/* One that cannot be read must not hide the others. */
static int take_item(struct kon_kube_op *op, const cJSON *item, int64_t date_s, struct kon_err *err)
{
	struct kon_kube_record *out = &op->read[op->count];
	struct kon_err why = {0};
	int code = kon_kube_read(op->store->dialect, item, op->kind, date_s, out, &why);
	if (code == KON_CORRUPT)
		code = kon_kube_read_damaged(op->store->dialect, item, op->kind, &why, out, err);
	else
		*err = why;
	if (code == 0)
		op->count++;
	return code;
}

/* Takes page. */
static int take_page(struct kon_kube_op *op, cJSON *page, int64_t date_s, struct kon_err *err)
{
	const cJSON *item;
	const cJSON *items = cJSON_GetObjectItemCaseSensitive(page, "items");
	size_t more = (size_t)cJSON_GetArraySize(items);
	op->pages = kon_kube_need(realloc(op->pages, (op->page_count + 1) * sizeof(cJSON *)));
	op->pages[op->page_count++] = page;
	op->read = kon_kube_need(realloc(op->read, (op->count + more + 1) * sizeof(*op->read)));
	cJSON_ArrayForEach(item, items)
	{
		int code = take_item(op, item, date_s, err);
		if (code != 0)
			return code;
	}
	return 0;
}

static void on_page(void *data, const struct kon_http_answer *answer)
{
	struct kon_kube_op *op = data;
	struct kon_err err = {0};
	if (answer->code == 0 && answer->status == 410 && !op->at_once) {
		op->at_once = true; /* the server no longer has the version that the pages were of */
		kon_kube_op_empty(op);
		ask_page(op, NULL);
		return;
	}
	int code = kon_kube_op_judge(op, answer, &err);
	cJSON *page = code == 0 ? kon_kube_parse(answer->body, answer->size, &err) : NULL;
	if (code == 0 && page == NULL)
		code = KON_CORRUPT;
	if (code == 0)
		code = take_page(op, page, answer->date_s, &err);
	if (code != 0) {
		kon_kube_op_end(op, code, &err);
		return;
	}
	const char *token = kon_kube_text(cJSON_GetObjectItemCaseSensitive(page, "metadata"), "continue");
	if (token == NULL || token[0] == '\0') {
		end_list(op);
	} else if (op->page_count < MAX_PAGES) {
		ask_page(op, token);
	} else {
		code = kon_err_set(&err, KON_CORRUPT, "the API server's list of %s has no end: %d pages and more",
		                   op->ask.resource, MAX_PAGES);
		kon_kube_op_end(op, code, &err);
	}
}

static void ask_page(struct kon_kube_op *op, const char *token)
{
	char *tail = NULL;
	char *quoted = token != NULL ? kon_kube_path_quote(token) : NULL;
	if (asprintf(&tail, "%s%s%s", op->at_once ? "" : PAGE, quoted != NULL ? "&continue=" : "",
	             quoted != NULL ? quoted : "") < 0)
		abort();
	struct kon_kube_request request = {.method = "GET", .rank = KON_KUBE_READ, .max_bytes = KON_KUBE_MAX_LIST};
	op->give_up_at_ms = kon_clock_boot_ms() + LIST_MS;
	kon_kube_op_start(op, &request,
	                  kon_kube_path_list(op->store->dialect, op->store->name_space, op->kind, NULL, tail), on_page);
	free(quoted);
	free(tail);
}

struct kon_store_call *kon_kube_call_list(struct kon_store *base, const char *kind, struct kon_reply reply)
{
	struct kon_kube_store *store = (struct kon_kube_store *)base;
	struct kon_err err = {0};
	int code = kon_store_check_name(kind, "any", &err);
	if (code != 0)
		return kon_kube_op_refuse(reply, code, &err);
	struct kon_kube_op *op = kon_kube_op_new(store, KON_KUBE_GET, kind, 0, reply);
	ask_page(op, NULL);
	return &op->base;
}
