/*
 * A line that can wait: the newest one is kept and given some time later, or when it is asked for.
 *
 * The time is drawn at random, so that the many who were sent the same line do not wake together.
 */
#ifndef KON_KUBE_LATER_H
#define KON_KUBE_LATER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"

#define KON_KUBE_LATER_MS 1000 /* at most, unless another time is said; a tenth of it at least */

struct kon_kube_later {
	struct kon_loop *loop;
	struct kon_timer timer;
	int64_t most_ms;
	char *text; /* owned; NULL: nothing waits */
	size_t size;
	int64_t came_at_ms;                                                          /* the line, boot clock */
	void (*give)(void *data, const char *text, size_t size, int64_t came_at_ms); /* may end it */
	void *data;
};

void kon_kube_later_init(struct kon_kube_later *later, struct kon_loop *loop, int64_t most_ms,
                         void (*give)(void *data, const char *text, size_t size, int64_t came_at_ms), void *data);
void kon_kube_later_done(struct kon_kube_later *later); /* nothing is given */

/* Keeps a copy instead of the line that waits, whose time stays the same. */
void kon_kube_later_put(struct kon_kube_later *later, const char *text, size_t size);

/* Forgets what waits: something newer is known. */
void kon_kube_later_drop(struct kon_kube_later *later);

/* Gives what waits, within the call.  False when nothing did. */
bool kon_kube_later_now(struct kon_kube_later *later);

#endif
