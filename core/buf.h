/* A growing byte buffer with a cap: nothing that comes from outside may grow without bound. */
#ifndef KON_BUF_H
#define KON_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct kon_buf {
	char *data; /* NUL-terminated behind size once anything was added; owned */
	size_t size;
	size_t room;
	size_t cap; /* bytes; adding beyond it fails */
};

void kon_buf_init(struct kon_buf *buf, size_t cap);
void kon_buf_done(struct kon_buf *buf); /* frees the contents; init or done again are fine */

/* False when the cap or memory is exhausted; buf is then unchanged. */
bool kon_buf_add(struct kon_buf *buf, const void *data, size_t size);

#endif
