/*
 * The store of one machine: a SQLite file, and beside it a directory of named pipes for
 * wake-ups (bell.h) and liveness (session.h).
 *
 * Every process of the machine opens the file itself; there is no server.  Requests are
 * answered within the call: a read in microseconds, a write in the time of one fsync, and
 * at most 250 ms more while another program holds the lock.
 */
#ifndef KON_STORE_SQLITE_H
#define KON_STORE_SQLITE_H

#include "loop.h"
#include "store.h"

struct kon_sqlite_options {
	const char *path; /* made with its directories when it is missing */
	const char *name_space;
	const char *session; /* 32 hexadecimal digits, new for each store that is opened */
};

/* Borrows options.  The store is closed by its close operation. */
int kon_sqlite_open(struct kon_store **out, struct kon_loop *loop, const struct kon_sqlite_options *options,
                    struct kon_err *err);

#endif
