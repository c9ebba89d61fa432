/*
 * Opening a database file as ours: recognising it, making and migrating its tables; and
 * turning what SQLite says into our errors.
 */
#ifndef KON_SQLITE_SCHEMA_H
#define KON_SQLITE_SCHEMA_H

#include <sqlite3.h>

#include "err.h"

enum { KON_SCHEMA_VERSION = 1 };

/* Opens or makes the database at path, ready for use: ours, of this version, with write-ahead log, every commit on
 * disk before it returns.  Waits up to 5 s for others that open it at the same time; afterwards a request waits up to
 * 250 ms for a lock.  KON_CORRUPT: damaged or another program's; KON_VERSION: made by a newer konductor; KON_BUSY,
 * KON_DENIED, KON_FULL, KON_STORE. */
int kon_schema_open(sqlite3 **out, const char *path, struct kon_err *err);

/* The error of db's last call, for what certainly has not been applied: BUSY, FULL, DENIED, CORRUPT or STORE. */
int kon_schema_error(sqlite3 *db, const char *path, struct kon_err *err);

/* As kon_schema_error, for a COMMIT that failed: KON_UNKNOWN unless SQLite certainly rolled it back. */
int kon_schema_commit_error(sqlite3 *db, const char *path, struct kon_err *err);

#endif
