/* The Authorization header of a user: a token, a file with one that may change, or name and password. */
#ifndef KON_KUBE_TOKEN_H
#define KON_KUBE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct kon_kube_token {
	char *header; /* "Authorization: ..."; NULL: none */
	char *file;   /* NULL: none */
	int64_t read_at_ms;
};

/* At most one of token, file and username is used, in this order: file, token, username. */
int kon_kube_token_init(struct kon_kube_token *self, const char *token, const char *file, const char *username,
                        const char *password, struct kon_err *err);
void kon_kube_token_done(struct kon_kube_token *self);

int kon_kube_token_set(struct kon_kube_token *self, const char *token, struct kon_err *err);

/* Reads the file again; one that cannot be read leaves what is known. */
int kon_kube_token_reread(struct kon_kube_token *self, int64_t now_ms, struct kon_err *err);

/* The header to send now, or NULL; a file older than a minute is read again. */
const char *kon_kube_token_header(struct kon_kube_token *self, int64_t now_ms);

#endif
