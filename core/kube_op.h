/*
 * A verb of the store under way, for kube_call.c (verbs on one object), kube_list.c and kube_op.c alone.
 */
#ifndef KON_KUBE_OP_H
#define KON_KUBE_OP_H

#include "kube_call.h"
#include "kube_status.h"

/* One request, or a read and a write, or page after page. */
struct kon_kube_op {
	struct kon_store_call base;
	struct kon_kube_store *store;
	struct kon_kube_op *next;
	struct kon_kube_op **link;
	struct kon_kube_call *http; /* NULL: of kon_kube_store_request() only before it started */
	struct kon_reply reply;
	struct kon_kube_ask ask;
	char *kind;
	char object[KON_KUBE_NAME];
	struct kon_record *record; /* replace: what is replaced; its status is the new one */
	char *sent;                /* the spec or status that is written */
	size_t size;
	enum kon_store_by by;
	int64_t give_up_at_ms;
	struct kon_kube_record *read; /* list: what came so far, each with the page that it borrows from */
	cJSON **pages;
	size_t count;
	size_t page_count;
	bool at_once; /* list: without pages */
	void (*raw)(void *data, const struct kon_http_answer *answer);
	void *raw_data;
};

struct kon_kube_op *kon_kube_op_new(struct kon_kube_store *store, enum kon_kube_verb verb, const char *kind,
                                    int64_t limit_ms, struct kon_reply reply);

/* Sends a request of the verb; takes path. */
void kon_kube_op_start(struct kon_kube_op *op, struct kon_kube_request *request, char *path,
                       void (*done)(void *data, const struct kon_http_answer *answer));

/* 0 when the answer has the content that was asked for. */
int kon_kube_op_judge(const struct kon_kube_op *op, const struct kon_http_answer *answer, struct kon_err *err);

/* Forgets what a list has had so far. */
void kon_kube_op_empty(struct kon_kube_op *op);

/* The last answer; takes op. */
void kon_kube_op_end(struct kon_kube_op *op, int code, const struct kon_err *err);

/* Refused before anything was sent. */
struct kon_store_call *kon_kube_op_refuse(struct kon_reply reply, int code, const struct kon_err *err);

/* memory, or the end: the guards kill what runs when we are gone. */
void *kon_kube_need(void *memory);

#endif
