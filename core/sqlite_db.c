#include "sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "sqlite_schema.h"

#define BOOT_ID_TEXT 37

#define KEY "namespace = ?1 AND kind = ?2 AND name = ?3"
#define FIELDS "kind, name, uid, rev, created, spec, status, touched_boot_id, touched_boot_ms, touched_wall_ms"

enum statement { BEGIN, COMMIT, ROLLBACK, NEXT_REV, GET, LIST, CREATE, REPLACE, DELETE, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[NEXT_REV] = "UPDATE meta SET value = value + 1 WHERE key = 'rev' RETURNING value",
	[GET] = "SELECT " FIELDS " FROM records WHERE " KEY,
	[LIST] = "SELECT " FIELDS " FROM records WHERE namespace = ?1 AND kind = ?2 ORDER BY name",
	[CREATE] = "INSERT INTO records VALUES (?1, ?2, ?3, lower(hex(randomblob(16))), ?4, ?5, ?6, '{}', ?7, ?8, ?9)"
		   " ON CONFLICT DO NOTHING RETURNING " FIELDS,
	/* ?11: whether the write counts as a sign of life */
	[REPLACE] = "UPDATE records SET rev = ?4, status = ?6, touched_boot_id = iif(?11, ?7, touched_boot_id),"
		    " touched_boot_ms = iif(?11, ?8, touched_boot_ms), touched_wall_ms = iif(?11, ?9, touched_wall_ms)"
		    " WHERE " KEY " AND uid = ?5 AND rev = ?10 RETURNING " FIELDS,
	[DELETE] = "DELETE FROM records WHERE " KEY " AND uid = ?4 AND rev = ?5",
};

struct kon_sqlite_db {
	sqlite3 *sqlite;
	sqlite3_stmt *statements[STATEMENTS];
	struct kon_buf written; /* the record of the write that is under way: it is told only after COMMIT */
	int64_t newest;         /* version that was seen of any record: all share one counter */
	bool is_look_due;       /* something has changed, and nobody has read since */
	char *name_space;
	char *path;
	char boot_id[BOOT_ID_TEXT];
};

/* ---- statements ---- */

static sqlite3_stmt *statement(struct kon_sqlite_db *db, enum statement which)
{
	if (db->statements[which] == NULL)
		sqlite3_prepare_v3(db->sqlite, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[which], NULL);
	return db->statements[which];
}

static void bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
	sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

/* The statement with the key of a record bound; NULL when it cannot be prepared. */
static sqlite3_stmt *on_key(struct kon_sqlite_db *db, enum statement which, const char *kind, const char *name)
{
	sqlite3_stmt *stmt = statement(db, which);
	if (stmt == NULL)
		return NULL;
	bind_text(stmt, 1, db->name_space);
	bind_text(stmt, 2, kind);
	if (name != NULL)
		bind_text(stmt, 3, name);
	return stmt;
}

/* Steps once; SQLITE_DONE or SQLITE_ROW, or an error that is still the connection's last.  NULL is an error. */
static int step(struct kon_sqlite_db *db, sqlite3_stmt *stmt)
{
	return stmt != NULL ? sqlite3_step(stmt) : sqlite3_errcode(db->sqlite);
}

static int run(struct kon_sqlite_db *db, enum statement which)
{
	sqlite3_stmt *stmt = statement(db, which);
	int result = step(db, stmt);
	sqlite3_reset(stmt);
	return result == SQLITE_DONE ? 0 : -1;
}

static int error_of(struct kon_sqlite_db *db, struct kon_err *err)
{
	return kon_schema_error(db->sqlite, db->path, err);
}

/* A file that was moved away or replaced would be a world of our own: others open the new one. */
static int check_place(struct kon_sqlite_db *db, struct kon_err *err)
{
	int moved = 0;
	sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	if (moved)
		return kon_err_set(err, KON_STORE, "%s was removed or replaced while it was in use", db->path);
	return 0;
}

/* ---- records ---- */

static int64_t age_ms(const struct kon_sqlite_db *db, const char *boot_id, int64_t boot_ms, int64_t wall_ms)
{
	/* Another boot's clock says nothing about ours: then the wall clock is all there is. */
	bool same_boot = db->boot_id[0] != '\0' && strcmp(boot_id, db->boot_id) == 0;
	int64_t age = same_boot ? kon_clock_boot_ms() - boot_ms : kon_clock_wall_ms() - wall_ms;
	return age > 0 ? age : 0;
}

/* Borrows from the statement's row, which has FIELDS.  KON_CORRUPT when it lacks a text, as no row of ours does. */
static int row(struct kon_sqlite_db *db, sqlite3_stmt *stmt, struct kon_record *out, struct kon_err *err)
{
	static const int texts[] = {0, 1, 2, 4, 5, 6, 7};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (sqlite3_column_text(stmt, texts[i]) == NULL) {
			kon_err_set(err, KON_CORRUPT, "a record in %s is damaged: it has no %s", db->path,
			            sqlite3_column_name(stmt, texts[i]));
			return KON_CORRUPT;
		}
	*out = (struct kon_record){
		.kind = (const char *)sqlite3_column_text(stmt, 0),
		.name = (const char *)sqlite3_column_text(stmt, 1),
		.uid = (const char *)sqlite3_column_text(stmt, 2),
		.rev = sqlite3_column_int64(stmt, 3),
		.created = (const char *)sqlite3_column_text(stmt, 4),
		.spec = (const char *)sqlite3_column_text(stmt, 5),
		.spec_size = (size_t)sqlite3_column_bytes(stmt, 5),
		.status = (const char *)sqlite3_column_text(stmt, 6),
		.status_size = (size_t)sqlite3_column_bytes(stmt, 6),
		.age_ms = age_ms(db, (const char *)sqlite3_column_text(stmt, 7), sqlite3_column_int64(stmt, 8),
	                         sqlite3_column_int64(stmt, 9)),
	};
	if (out->rev > db->newest)
		db->newest = out->rev;
	return 0;
}

bool kon_sqlite_db_believes(struct kon_sqlite_db *db, int64_t rev)
{
	struct kon_err ignored;
	if (rev < db->newest || check_place(db, &ignored) != 0)
		db->is_look_due = true;
	if (db->is_look_due)
		return false;
	db->newest = rev;
	return true;
}

void kon_sqlite_db_doubt(struct kon_sqlite_db *db)
{
	db->is_look_due = true;
}

static bool keep_text(struct kon_buf *buf, const char *text, size_t size)
{
	return kon_buf_add(buf, text, size) && kon_buf_add(buf, "", 1);
}

/* Copies what record borrows into the store's buffer, which the next write reuses. */
static int keep(struct kon_sqlite_db *db, struct kon_record *record, struct kon_err *err)
{
	const char **texts[] = {&record->kind,    &record->name, &record->uid,
	                        &record->created, &record->spec, &record->status};
	size_t sizes[] = {strlen(record->kind),    strlen(record->name), strlen(record->uid),
	                  strlen(record->created), record->spec_size,    record->status_size};
	size_t offset = 0;
	kon_buf_done(&db->written);
	for (int i = 0; i < 6; i++)
		if (!keep_text(&db->written, *texts[i], sizes[i]))
			return kon_err_set(err, KON_SYSTEM, "out of memory");
	for (int i = 0; i < 6; i++) {
		*texts[i] = db->written.data + offset;
		offset += sizes[i] + 1;
	}
	return 0;
}

int kon_sqlite_db_read(struct kon_sqlite_db *db, const char *kind, const char *name,
                       void (*record)(void *data, const struct kon_record *record), void *data, int *count,
                       struct kon_err *err)
{
	int result;
	*count = 0;
	db->is_look_due = false;
	int code = check_place(db, err);
	if (code != 0)
		return code;
	sqlite3_stmt *stmt = on_key(db, name != NULL ? GET : LIST, kind, name);
	while (code == 0 && (result = step(db, stmt)) != SQLITE_DONE) {
		struct kon_record found;
		code = result == SQLITE_ROW ? row(db, stmt, &found, err) : error_of(db, err);
		if (code == 0) {
			++*count;
			record(data, &found);
		}
	}
	sqlite3_reset(stmt);
	return code;
}

/* ---- writes ---- */

static int begin(struct kon_sqlite_db *db, int64_t *rev, struct kon_err *err)
{
	if (run(db, BEGIN) != 0)
		return error_of(db, err);
	int code = check_place(db, err);
	if (code != 0)
		return code;
	sqlite3_stmt *stmt = statement(db, NEXT_REV);
	int result = step(db, stmt);
	if (result == SQLITE_ROW)
		*rev = sqlite3_column_int64(stmt, 0);
	else if (result == SQLITE_DONE)
		code = kon_err_set(err, KON_CORRUPT, "%s is damaged: its counter of versions is missing", db->path);
	else
		code = error_of(db, err);
	sqlite3_reset(stmt);
	return code;
}

/* Commits when code is 0, rolls back otherwise; the code of the whole. */
static int end(struct kon_sqlite_db *db, int code, struct kon_err *err)
{
	if (code == 0 && run(db, COMMIT) != 0)
		code = kon_schema_commit_error(db->sqlite, db->path, err);
	if (!sqlite3_get_autocommit(db->sqlite))
		run(db, ROLLBACK);
	/* On a small disk the log itself may be what fills it: once copied into the database it is written from its
	 * beginning again, and the next try needs no new space. */
	if (code == KON_FULL)
		sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return code;
}

static void bind_now(sqlite3_stmt *stmt, const struct kon_sqlite_db *db)
{
	bind_text(stmt, 7, db->boot_id);
	sqlite3_bind_int64(stmt, 8, kon_clock_boot_ms());
	sqlite3_bind_int64(stmt, 9, kon_clock_wall_ms());
}

/* Runs a write that returns the record it made.  none: what it means when it made none. */
static int write_row(struct kon_sqlite_db *db, sqlite3_stmt *stmt, struct kon_record *out, int none,
                     struct kon_err *err)
{
	int code;
	int result = step(db, stmt);
	if (result == SQLITE_ROW) {
		code = row(db, stmt, out, err);
		if (code == 0)
			code = keep(db, out, err);
	} else {
		code = result == SQLITE_DONE ? none : error_of(db, err);
	}
	sqlite3_reset(stmt);
	return code;
}

static int check_size(size_t size, struct kon_err *err)
{
	if (size <= KON_STORE_MAX_BYTES)
		return 0;
	return kon_err_set(err, KON_TOO_BIG, "a record's spec and status may each have %zu bytes, not %zu",
	                   KON_STORE_MAX_BYTES, size);
}

int kon_sqlite_db_create(struct kon_sqlite_db *db, const char *kind, const char *name, const char *spec, size_t size,
                         struct kon_record *out, struct kon_err *err)
{
	char created[32];
	int64_t rev = 0;
	int code = kon_store_check_name(kind, name, err);
	if (code == 0)
		code = check_size(size, err);
	if (code != 0)
		return code;
	kon_clock_wall(created, sizeof(created));
	code = begin(db, &rev, err);
	sqlite3_stmt *stmt = code == 0 ? on_key(db, CREATE, kind, name) : NULL;
	if (stmt != NULL) {
		sqlite3_bind_int64(stmt, 4, rev);
		bind_text(stmt, 5, created);
		sqlite3_bind_text(stmt, 6, spec, (int)size, SQLITE_STATIC);
		bind_now(stmt, db);
	}
	if (code == 0)
		code = write_row(db, stmt, out, KON_EXISTS, err);
	if (code == KON_EXISTS)
		kon_err_set(err, code, "there is a %s %s already", kind, name);
	return end(db, code, err);
}

/* Why a write of the record at uid and rev found none to write. */
static int why_not(struct kon_sqlite_db *db, const struct kon_record *record, struct kon_err *err)
{
	struct kon_record now;
	int code;
	sqlite3_stmt *stmt = on_key(db, GET, record->kind, record->name);
	int result = step(db, stmt);
	if (result == SQLITE_DONE)
		code = kon_err_set(err, KON_ABSENT, "there is no %s %s any more", record->kind, record->name);
	else if (result != SQLITE_ROW)
		code = error_of(db, err);
	else if ((code = row(db, stmt, &now, err)) == 0)
		code = kon_err_set(err, KON_CONFLICT, "%s %s %s: it has version %lld, not %lld", record->kind,
		                   record->name,
		                   strcmp(now.uid, record->uid) == 0 ? "changed" : "was deleted and made again",
		                   (long long)now.rev, (long long)record->rev);
	sqlite3_reset(stmt);
	return code;
}

int kon_sqlite_db_replace(struct kon_sqlite_db *db, const struct kon_record *record, const char *status, size_t size,
                          enum kon_store_by by, struct kon_record *out, struct kon_err *err)
{
	int64_t rev = 0;
	int code = check_size(size, err);
	if (code != 0)
		return code;
	code = begin(db, &rev, err);
	sqlite3_stmt *stmt = code == 0 ? on_key(db, REPLACE, record->kind, record->name) : NULL;
	if (stmt != NULL) {
		sqlite3_bind_int64(stmt, 4, rev);
		bind_text(stmt, 5, record->uid);
		sqlite3_bind_text(stmt, 6, status, (int)size, SQLITE_STATIC);
		bind_now(stmt, db);
		sqlite3_bind_int64(stmt, 10, record->rev);
		sqlite3_bind_int(stmt, 11, by != KON_BY_QUEUE);
	}
	if (code == 0)
		code = write_row(db, stmt, out, KON_CONFLICT, err);
	if (code == KON_CONFLICT)
		code = why_not(db, record, err);
	return end(db, code, err);
}

int kon_sqlite_db_delete(struct kon_sqlite_db *db, const struct kon_record *record, struct kon_err *err)
{
	int64_t rev = 0;
	int code = begin(db, &rev, err);
	sqlite3_stmt *stmt = code == 0 ? on_key(db, DELETE, record->kind, record->name) : NULL;
	if (stmt != NULL) {
		bind_text(stmt, 4, record->uid);
		sqlite3_bind_int64(stmt, 5, record->rev);
	}
	if (code == 0 && step(db, stmt) != SQLITE_DONE)
		code = error_of(db, err);
	sqlite3_reset(stmt);
	if (code == 0 && sqlite3_changes(db->sqlite) == 0)
		code = why_not(db, record, err);
	return end(db, code, err);
}

/* ---- open and close ---- */

/* Empty where there is no /proc, as in an image with nothing else in it: ages then go by the wall clock. */
static void read_boot_id(char out[BOOT_ID_TEXT])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, out, BOOT_ID_TEXT - 1) : -1;
	if (fd >= 0)
		close(fd);
	out[got == BOOT_ID_TEXT - 1 ? got : 0] = '\0';
}

void kon_sqlite_db_close(struct kon_sqlite_db *db)
{
	if (db == NULL)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->sqlite);
	kon_buf_done(&db->written);
	free(db->name_space);
	free(db->path);
	free(db);
}

int kon_sqlite_db_open(struct kon_sqlite_db **out, const char *path, const char *name_space, struct kon_err *err)
{
	struct kon_sqlite_db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	kon_buf_init(&db->written, 3 * KON_STORE_MAX_BYTES);
	db->name_space = strdup(name_space);
	db->path = strdup(path);
	int code = db->name_space != NULL && db->path != NULL ? 0 : kon_err_set(err, KON_SYSTEM, "out of memory");
	read_boot_id(db->boot_id);
	if (code == 0)
		code = kon_schema_open(&db->sqlite, path, err);
	if (code != 0) {
		kon_sqlite_db_close(db);
		return code;
	}
	*out = db;
	return 0;
}
