/*
 * Records in a SQLite database: one transaction a write, and what became of it.
 *
 * Knows nothing of sessions and wake-ups; store_sqlite.c adds them.  Every function returns
 * within the time of one fsync, and at most 250 ms later while another program holds the lock.
 */
#ifndef KON_SQLITE_DB_H
#define KON_SQLITE_DB_H

#include <stdbool.h>

#include "store.h"

struct kon_sqlite_db;

/* Opens or makes the database at path (kon_schema_open).  Borrows nothing. */
int kon_sqlite_db_open(struct kon_sqlite_db **out, const char *path, const char *name_space, struct kon_err *err);
void kon_sqlite_db_close(struct kon_sqlite_db *db); /* NULL is fine */

/* Each row is given to record with data; name NULL: all of the kind, by name.  *count rows. */
int kon_sqlite_db_read(struct kon_sqlite_db *db, const char *kind, const char *name,
                       void (*record)(void *data, const struct kon_record *record), void *data, int *count,
                       struct kon_err *err);

/* Whether what is told of a record of this version may stand for a look at it: the file is the one that is open, nothing
 * newer was seen of it, and no look is due.  The version counts as seen then.  What is not believed makes a look due, until
 * the next read: what is told meanwhile may be older than what that was about. */
bool kon_sqlite_db_believes(struct kon_sqlite_db *db, int64_t rev);

/* Something has changed that is not known: a look is due. */
void kon_sqlite_db_doubt(struct kon_sqlite_db *db);

/* Writes, with the outcomes of store.h.  *out is what was written, borrowed until the next write. */
int kon_sqlite_db_create(struct kon_sqlite_db *db, const char *kind, const char *name, const char *spec, size_t size,
                         struct kon_record *out, struct kon_err *err);
int kon_sqlite_db_replace(struct kon_sqlite_db *db, const struct kon_record *record, const char *status, size_t size,
                          enum kon_store_by by, struct kon_record *out, struct kon_err *err);
int kon_sqlite_db_delete(struct kon_sqlite_db *db, const struct kon_record *record, struct kon_err *err);

#endif
