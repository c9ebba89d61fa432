/* What an answer of an API server means for a store: pure, from the answer to a code of errors.def and a sentence. */
#ifndef KON_KUBE_STATUS_H
#define KON_KUBE_STATUS_H

#include <stddef.h>

#include "err.h"

enum kon_kube_verb { KON_KUBE_GET, KON_KUBE_CREATE, KON_KUBE_REPLACE, KON_KUBE_DELETE };

/* What was asked. */
struct kon_kube_ask {
	enum kon_kube_verb verb;
	const char *word;     /* of the dialect: "kube" */
	const char *resource; /* "onces" */
	const char *object;   /* NULL: a list */
	const char *name_space;
};

/* 0 when it is the object or list that was asked for. */
int kon_kube_judge(const struct kon_kube_ask *ask, int status, const char *content_type, const char *body, size_t size,
                   struct kon_err *err);

#endif
