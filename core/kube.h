/*
 * One API server as one user: where it is, who we are, and how to behave towards it.
 *
 * Knows no kinds.  A request waits here while the server asks for patience (429), in order of
 * rank, and while credentials that were refused (401) are renewed; it is then sent once more.
 * Secrets stay within this file and http.c: no sentence contains them.
 */
#ifndef KON_KUBE_H
#define KON_KUBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"

#define KON_KUBE_LIMIT_MS 3000 /* longest wait for an answer, unless the request says another */
#define KON_KUBE_MAX_OBJECT ((size_t)4 << 20)
#define KON_KUBE_MAX_LIST ((size_t)64 << 20)

struct kon_kube;
struct kon_kube_call;

/* Texts are copied; NULL means none. */
struct kon_kube_options {
	const char *server; /* "https://host:port/prefix" */
	struct kon_http_options http;
	const char *token;
	const char *token_file; /* read again every minute, and when the token is refused */
	const char *username;
	const char *password;
	/* The credentials were refused and there is no file to read again: answer with one of kon_kube_credentials() and
	 * kon_kube_credentials_failed().  NULL: there are no others. */
	void (*refused)(void *data);
	void *data;
};

/* Who goes first when the server has asked for patience. */
enum kon_kube_rank { KON_KUBE_FIRST, KON_KUBE_READ, KON_KUBE_LAST };

/* Copied, but for data. */
struct kon_kube_request {
	const char *method;
	const char *path; /* behind the server's own: "/api/v1/..." with the query */
	const char *content_type;
	const char *body;
	size_t size;
	int64_t limit_ms; /* 0: KON_KUBE_LIMIT_MS */
	int64_t idle_ms;  /* of a stream */
	size_t max_bytes; /* 0: KON_KUBE_MAX_OBJECT */
	enum kon_kube_rank rank;
	bool fresh;
	void (*piece)(void *data, const char *bytes, size_t size);
	/* As of kon_http_answer; also KON_BUSY when patience was asked for beyond the limit. */
	void (*done)(void *data, const struct kon_http_answer *answer);
	void *data;
};

int kon_kube_new(struct kon_kube **out, struct kon_loop *loop, const struct kon_kube_options *options,
                 struct kon_err *err);
void kon_kube_free(struct kon_kube *kube); /* cancels what is under way; NULL is fine */

/* Never fails: what is wrong is told by done, from the loop. */
struct kon_kube_call *kon_kube_start(struct kon_kube *kube, const struct kon_kube_request *request);
void kon_kube_cancel(struct kon_kube_call *call);

/* New ones, each NULL when it stays. */
int kon_kube_credentials(struct kon_kube *kube, const char *token, const char *cert_pem, const char *key_pem,
                         struct kon_err *err);
/* There are none, for this reason. */
void kon_kube_credentials_failed(struct kon_kube *kube, const char *why);

/* A random time from 0 to ms, so that many clients do not come at once. */
int64_t kon_kube_jitter(int64_t ms);

#endif
