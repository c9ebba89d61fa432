/*
 * Bells: how a process wakes others that wait for a key, without a server and without polling.
 *
 * A waiter hangs up a named pipe, DIR/<key>/<session>-<n>, which it holds open; whoever
 * changed what the key stands for writes one line into every pipe of the key: a word, such
 * as the name of what changed, and where they are short the news themselves, which save the
 * waiter a look.  A bell says "look again" and promises nothing more: it may ring twice, or
 * for nothing, or without its news, and one that is lost costs its waiter no more than the
 * deadline it has anyway.  A pipe that nobody has open is left from a dead process and is
 * removed by whoever finds it.
 *
 * The process must ignore SIGPIPE: a waiter may go between the open and the write.
 */
#ifndef KON_BELL_H
#define KON_BELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"

/* Of news there may be more bytes, but then they are not sent along. */
enum { KON_BELL_MAX_WORD = 254, KON_BELL_MAX_NEWS = 3800 };

struct kon_ring {
	const char *word; /* at most KON_BELL_MAX_WORD bytes, neither space nor newline */
	const char *news; /* any bytes; NULL: none */
	size_t news_size;
};

struct kon_bells;
struct kon_bell_watch;

/* Waiters and ringers of one directory, which exists.  session is the name of our own bells. */
int kon_bells_open(struct kon_bells **out, struct kon_loop *loop, const char *dir, const char *session,
                   struct kon_err *err);

/* Rings what was kept back, when its time has come, which is the one wait here (5 ms at most); takes down all bells.
 * Watches that are left only await kon_bell_unwatch.  NULL is fine. */
void kon_bells_close(struct kon_bells *bells);

/* ring is borrowed for the call; its word is NULL when there were so many that some may be missing. */
typedef void kon_bell_rung(void *data, const struct kon_ring *ring);

/*
 * Calls rung on the loop, in order, after every ring of the key that begins once this has returned.  Watches of one key
 * share a pipe.  KON_DENIED, KON_FULL, KON_SYSTEM (no descriptors), KON_STORE.
 */
int kon_bell_watch(struct kon_bells *bells, uint64_t key, kon_bell_rung *rung, void *data, struct kon_bell_watch **out,
                   struct kon_err *err);

/* Fine within rung.  NULL is fine. */
void kon_bell_unwatch(struct kon_bell_watch *watch);

/* Rings everybody who waits for the key.  When first names a session that waits, it is rung now and the others a few
 * milliseconds later, without news; our own session as first says that nobody is in a hurry.  Never waits. */
void kon_bells_ring(struct kon_bells *bells, uint64_t key, const struct kon_ring *ring, const char *first);

/* Whether somebody has yet to be told. */
bool kon_bells_pending(const struct kon_bells *bells);

#endif
