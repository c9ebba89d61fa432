#include "sqlite_schema.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"

#define APPLICATION_ID 0x4b4f4e44 /* "KOND" */
#define OPEN_PATIENCE_MS 5000
#define BUSY_PATIENCE_MS 250

/* steps[i] brings format i to format i + 1; a new file has format 0. */
static const char *const steps[KON_SCHEMA_VERSION] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	/* Versions never go back, whatever is deleted: fencing numbers follow them. */
	"INSERT INTO meta VALUES ('rev', 0);"
	"CREATE TABLE records ("
	" namespace TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,"
	" uid TEXT NOT NULL, rev INTEGER NOT NULL, created TEXT NOT NULL,"
	" spec TEXT NOT NULL, status TEXT NOT NULL,"
	" touched_boot_id TEXT NOT NULL, touched_boot_ms INTEGER NOT NULL, touched_wall_ms INTEGER NOT NULL,"
	" PRIMARY KEY (namespace, kind, name)) WITHOUT ROWID;",
};

static void nap_us(long us)
{
	struct timespec nap = {.tv_nsec = us * 1000};
	nanosleep(&nap, NULL);
}

/* Short naps first: a transaction takes a fraction of a millisecond but for its fsync. */
static long busy_nap_us(int count)
{
	return count < 8 ? 250 : count < 16 ? 1000 : 5000;
}

/* SQLite counts the calls of one wait; how long it has waited follows from the count. */
static int on_busy(void *data, int count)
{
	(void)data;
	long waited_us = 0;
	for (int i = 0; i < count && waited_us < BUSY_PATIENCE_MS * 1000; i++)
		waited_us += busy_nap_us(i);
	if (waited_us >= BUSY_PATIENCE_MS * 1000)
		return 0;
	nap_us(busy_nap_us(count));
	return 1;
}

/* ---- errors ---- */

/* SQLite tries to open for reading when it may not write, and then reports that failure instead. */
static bool lacks_right(const char *path)
{
	char *dir = kon_fs_parent(path);
	bool file = euidaccess(path, R_OK | W_OK) != 0 && errno != ENOENT;
	bool directory = dir != NULL && euidaccess(dir, W_OK | X_OK) != 0;
	free(dir);
	return file || directory;
}

static int code_of(sqlite3 *db, const char *path)
{
	int errnum = sqlite3_system_errno(db);
	switch (sqlite3_errcode(db)) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return KON_BUSY;
	case SQLITE_FULL:
		return KON_FULL;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return KON_DENIED;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return KON_CORRUPT;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (errnum == ENOSPC || errnum == EDQUOT)
			return KON_FULL;
		return lacks_right(path) ? KON_DENIED : KON_STORE;
	default:
		return KON_STORE;
	}
}

int kon_schema_error(sqlite3 *db, const char *path, struct kon_err *err)
{
	int errnum = sqlite3_system_errno(db);
	int code = code_of(db, path);
	switch (code) {
	case KON_BUSY:
		return kon_err_set(err, code, "%s is locked by another program", path);
	case KON_FULL:
		return kon_err_set(err, code, "no space is left for %s", path);
	case KON_DENIED:
		return kon_err_set(
			err, code,
			"%s cannot be written: this user needs the right to write the file and its directory", path);
	case KON_CORRUPT:
		return kon_err_set(err, code,
		                   "%s is damaged or no database (%s): restore it, or move it away to start anew", path,
		                   sqlite3_errmsg(db));
	default:
		if (sqlite3_errcode(db) == SQLITE_IOERR && errnum != 0)
			return kon_err_errno(err, code, errnum, "%s: %s", path, sqlite3_errmsg(db));
		return kon_err_set(err, code, "%s: %s", path, sqlite3_errmsg(db));
	}
}

int kon_schema_commit_error(sqlite3 *db, const char *path, struct kon_err *err)
{
	/* BUSY: nothing was written.  FULL: the page that carries the commit mark is written last, and it or one before it
	 * found no space.  After any other failure that page may be in the log, for a recovery to find. */
	int result = sqlite3_errcode(db);
	if (result == SQLITE_BUSY || result == SQLITE_FULL)
		return kon_schema_error(db, path, err);
	return kon_err_set(err, KON_UNKNOWN, "%s: a write may or may not be stored: %s", path, sqlite3_errmsg(db));
}

/* ---- opening ---- */

/* The first column of the only row. */
static int ask(sqlite3 *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(stmt) == SQLITE_ROW)
		*out = sqlite3_column_int64(stmt, 0);
	return sqlite3_finalize(stmt) == SQLITE_OK ? 0 : -1;
}

static int exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* Sets *version, 0 for an empty file.  Within one transaction, so that nobody's making of the tables comes between. */
static int identify(sqlite3 *db, const char *path, int64_t *version, struct kon_err *err)
{
	int64_t application_id = 0;
	int64_t tables = 0;
	if (ask(db, "SELECT count(*) FROM sqlite_schema", &tables) != 0 ||
	    ask(db, "PRAGMA application_id", &application_id) != 0 || ask(db, "PRAGMA user_version", version) != 0)
		return kon_schema_error(db, path, err);
	if (*version < 0 || (application_id != APPLICATION_ID && (application_id != 0 || tables != 0 || *version != 0)))
		return kon_err_set(err, KON_CORRUPT, "%s is the database of another program: name another file", path);
	if (*version > KON_SCHEMA_VERSION)
		return kon_err_set(
			err, KON_VERSION,
			"%s has format %lld, made by a newer konductor; this one knows formats up to %d: use the newer "
			"one, or name another file",
			path, (long long)*version, KON_SCHEMA_VERSION);
	return 0;
}

static int identify_alone(sqlite3 *db, const char *path, int64_t *version, struct kon_err *err)
{
	if (exec(db, "BEGIN") != 0)
		return kon_schema_error(db, path, err);
	int code = identify(db, path, version, err);
	exec(db, "ROLLBACK");
	return code;
}

static int apply_steps(sqlite3 *db, const char *path, int64_t version, struct kon_err *err)
{
	char marks[96];
	snprintf(marks, sizeof(marks), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
	         KON_SCHEMA_VERSION);
	for (int64_t i = version; i < KON_SCHEMA_VERSION; i++)
		if (exec(db, steps[i]) != 0)
			return kon_schema_error(db, path, err);
	return exec(db, marks) == 0 ? 0 : kon_schema_error(db, path, err);
}

static int migrate(sqlite3 *db, const char *path, struct kon_err *err)
{
	int64_t version = 0;
	if (exec(db, "BEGIN IMMEDIATE") != 0)
		return kon_schema_error(db, path, err);
	int code = identify(db, path, &version, err);
	if (code == 0)
		code = apply_steps(db, path, version, err);
	if (code == 0 && exec(db, "COMMIT") != 0)
		code = kon_schema_error(db, path, err);
	if (!sqlite3_get_autocommit(db))
		exec(db, "ROLLBACK");
	return code;
}

/* The write-ahead log lets readers and one writer work at once.  SQLite says which mode it is in afterwards. */
static int use_log(sqlite3 *db, const char *path, struct kon_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int is_wal = 0;
	if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL) != SQLITE_OK)
		return kon_schema_error(db, path, err);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		is_wal = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
	if (sqlite3_finalize(stmt) != SQLITE_OK)
		return kon_schema_error(db, path, err);
	if (!is_wal)
		return kon_err_set(err, KON_STORE, "%s: its file system cannot share memory among processes", path);
	return 0;
}

static int prepare(sqlite3 *db, const char *path, struct kon_err *err)
{
	int64_t version = 0;
	/* Before anything is written, so that a foreign file stays as it was. */
	int code = identify_alone(db, path, &version, err);
	if (code == 0 && sqlite3_db_readonly(db, "main") == 1)
		code = kon_err_set(err, KON_DENIED, "%s cannot be written: this user may only read it", path);
	if (code == 0)
		code = use_log(db, path, err);
	/* FULL: a commit that a power cut takes back could let work run twice.  The cache is small because every waiting
	 * process has one; the records of interest are few.  The log is copied into the database when it has half a
	 * megabyte: on a small disk it must not be what fills it. */
	if (code == 0 && exec(db, "PRAGMA synchronous = FULL; PRAGMA cache_size = -256; PRAGMA trusted_schema = OFF;"
	                          " PRAGMA wal_autocheckpoint = 128") != 0)
		code = kon_schema_error(db, path, err);
	if (code == 0 && version < KON_SCHEMA_VERSION)
		code = migrate(db, path, err);
	return code;
}

static int open_once(sqlite3 **out, const char *path, struct kon_err *err)
{
	sqlite3 *db = NULL;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	/* Nobody here asks SQLite how much memory it has, and to count that takes a lock at each allocation. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	/* Pages one by one: by default every cache, also the one behind each RETURNING, begins with twenty, which costs
	 * memory in each waiter and page faults in each write.  Has no effect after the first database was opened. */
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	int result = sqlite3_open_v2(path, &db, flags, NULL);
	if (db == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	sqlite3_busy_handler(db, on_busy, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 256, 100);
	int code = result == SQLITE_OK ? prepare(db, path, err) : kon_schema_error(db, path, err);
	if (code != 0) {
		sqlite3_close(db);
		return code;
	}
	*out = db;
	return 0;
}

int kon_schema_open(sqlite3 **out, const char *path, struct kon_err *err)
{
	int64_t until_ms = kon_clock_boot_ms() + OPEN_PATIENCE_MS;
	for (;;) {
		/* SQLite does not wait for every lock that the change to the log needs. */
		int code = open_once(out, path, err);
		if (code != KON_BUSY || kon_clock_boot_ms() >= until_ms)
			return code;
		nap_us(5000);
	}
}
