/* The SQLite store with real files and real processes: outcomes of writes, crashes, and files that are not fine. */
#include "store_sqlite.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "world.h"

#define ADDS 500

/* The last answer, copied. */
struct answer {
	int code;
	int count;
	int64_t rev;
	int64_t age_ms;
	char uid[64];
	char status[256];
	char spec[256];
	char detail[512];
};

struct fixture {
	struct kon_loop *loop;
	struct kon_store *store;
	char *dir;
	char path[512];
	int told;
	int brought; /* of these, with the record */
	int64_t brought_rev;
	int sessions;
	struct answer last;
};

static void on_record(void *data, const struct kon_record *record)
{
	struct answer *a = data;
	a->count++;
	a->rev = record->rev;
	a->age_ms = record->age_ms;
	snprintf(a->uid, sizeof(a->uid), "%s", record->uid);
	snprintf(a->status, sizeof(a->status), "%.*s", (int)record->status_size, record->status);
	snprintf(a->spec, sizeof(a->spec), "%.*s", (int)record->spec_size, record->spec);
}

static void on_done(void *data, int code, const struct kon_err *err)
{
	struct answer *a = data;
	a->code = code;
	snprintf(a->detail, sizeof(a->detail), "%s", code != 0 ? err->detail : "");
}

static struct kon_reply into(struct answer *answer)
{
	*answer = (struct answer){.code = 1};
	return (struct kon_reply){.record = on_record, .done = on_done, .data = answer};
}

static int get(struct kon_store *store, const char *name, struct answer *a)
{
	store->ops->get(store, "Once", name, 0, into(a));
	return a->code;
}

static int create(struct kon_store *store, const char *name, struct answer *a)
{
	store->ops->create(store, "Once", name, "{}", 2, into(a));
	return a->code;
}

/* Replaces what `a` holds, and holds the new one. */
static int replace(struct kon_store *store, const char *name, const char *status, struct answer *a)
{
	char uid[64];
	snprintf(uid, sizeof(uid), "%s", a->uid);
	struct kon_record record = {.kind = "Once", .name = name, .uid = uid, .rev = a->rev};
	struct kon_store_how how = {.by = KON_BY_HOLDER};
	store->ops->replace(store, &record, status, strlen(status), &how, into(a));
	return a->code;
}

static int open_at(struct fixture *f, const char *path, struct kon_store **out, struct kon_err *err)
{
	char session[33];
	snprintf(session, sizeof(session), "%016x%016x", (unsigned)getpid(), (unsigned)++f->sessions);
	struct kon_sqlite_options options = {.path = path, .name_space = "default", .session = session};
	return kon_sqlite_open(out, f->loop, &options, err);
}

static struct kon_store *open_store(struct fixture *f)
{
	struct kon_store *store = NULL;
	struct kon_err err = {0};
	if (open_at(f, f->path, &store, &err) != 0) {
		fprintf(stderr, "open: %s\n", err.detail);
		return NULL;
	}
	return store;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	signal(SIGPIPE, SIG_IGN);
	f->dir = temp_dir();
	snprintf(f->path, sizeof(f->path), "%s/state.db", f->dir);
	assert_int_equal(kon_loop_new(&f->loop, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->store != NULL)
		f->store->ops->close(f->store, true);
	kon_loop_free(f->loop);
	umount2(f->dir, MNT_DETACH); /* of a test that failed */
	remove_dir(f->dir);
	free(f);
	return 0;
}

static int setup_open(void **state)
{
	setup(state);
	struct fixture *f = *state;
	f->store = open_store(f);
	assert_non_null(f->store);
	return 0;
}

static sqlite3 *shell(const char *path, const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	return db;
}

/* ---- outcomes ---- */

static void a_write_gives_the_new_version_and_a_stale_one_conflicts(void **state)
{
	struct fixture *f = *state;
	struct answer *a = &f->last;
	assert_int_equal(create(f->store, "a", a), 0);
	assert_string_equal(a->status, "{}");
	struct answer stale = *a;
	assert_int_equal(replace(f->store, "a", "{\"n\":1}", a), 0);
	assert_true(a->rev > stale.rev);
	assert_string_equal(a->status, "{\"n\":1}");
	assert_int_equal(replace(f->store, "a", "{\"n\":2}", &stale), KON_CONFLICT);
	assert_int_equal(get(f->store, "a", &stale), 0);
	assert_string_equal(stale.status, "{\"n\":1}");
	assert_int_equal(create(f->store, "a", a), KON_EXISTS);
	assert_int_equal(get(f->store, "b", a), KON_ABSENT);
}

static void versions_never_go_back(void **state)
{
	struct fixture *f = *state;
	struct answer *a = &f->last;
	int64_t rev = 0;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(create(f->store, "a", a), 0);
		assert_true(a->rev > rev);
		rev = a->rev;
		struct kon_record record = {.kind = "Once", .name = "a", .uid = a->uid, .rev = rev};
		struct answer gone;
		f->store->ops->delete (f->store, &record, into(&gone));
		assert_int_equal(gone.code, 0);
		f->store->ops->delete (f->store, &record, into(&gone));
		assert_int_equal(gone.code, KON_ABSENT);
	}
}

static void a_record_made_again_is_not_the_old_one(void **state)
{
	struct fixture *f = *state;
	struct answer old;
	struct answer gone;
	assert_int_equal(create(f->store, "a", &old), 0);
	struct kon_record record = {.kind = "Once", .name = "a", .uid = old.uid, .rev = old.rev};
	f->store->ops->delete (f->store, &record, into(&gone));
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_string_not_equal(old.uid, f->last.uid);
	assert_int_equal(replace(f->store, "a", "{}", &old), KON_CONFLICT);
}

static void after_another_boot_the_wall_clock_gives_the_age(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_true(f->last.age_ms < 600000);
	sqlite3_close(
		shell(f->path,
	              "UPDATE records SET touched_boot_id = 'another', touched_wall_ms = touched_wall_ms - 3600000"));
	assert_int_equal(get(f->store, "a", &f->last), 0);
	assert_true(f->last.age_ms >= 3600000 && f->last.age_ms < 3600000 + 600000);
	sqlite3_close(shell(f->path, "UPDATE records SET touched_wall_ms = touched_wall_ms + 7200000"));
	assert_int_equal(get(f->store, "a", &f->last), 0);
	assert_int_equal(f->last.age_ms, 0);
}

/* ---- other processes: they open a store of their own; the loop that they inherit has no events for them ---- */

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

/* Adds one to the number in record "a", ADDS times; lost races are tried again. */
static int add(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct answer a;
	char status[32];
	struct kon_store *store = open_store(f);
	if (store == NULL)
		return 2;
	say(say_fd);
	if (!hear(hear_fd))
		return 2;
	for (int done = 0; done < ADDS;) {
		if (get(store, "a", &a) != 0)
			return 3;
		snprintf(status, sizeof(status), "%d", number(a.status) + 1);
		int code = replace(store, "a", status, &a);
		if (code == 0)
			done++;
		else if (code != KON_CONFLICT && code != KON_BUSY)
			return 4;
	}
	store->ops->close(store, true);
	return 0;
}

static void two_processes_that_add_lose_no_addition(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_int_equal(replace(f->store, "a", "0", &f->last), 0);
	int64_t rev = f->last.rev;
	f->store->ops->close(f->store, true);
	f->store = NULL; /* a connection must not be carried over a fork */
	struct other one = start_other(add, f);
	assert_true(hear(one.says)); /* has opened: not while another opens, who may be told "busy" */
	struct other two = start_other(add, f);
	assert_true(hear(two.says));
	say(one.asks);
	say(two.asks);
	assert_int_equal(end_other(&one), 0);
	assert_int_equal(end_other(&two), 0);
	f->store = open_store(f);
	assert_int_equal(get(f->store, "a", &f->last), 0);
	assert_int_equal(number(f->last.status), 2 * ADDS);
	assert_true(f->last.rev >= rev + 2 * ADDS);
}

/* Writes one number into two records, one after the other, for ever. */
static int write_on(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct answer a;
	struct answer b;
	char status[32];
	(void)hear_fd;
	struct kon_store *store = open_store(f);
	if (store == NULL || get(store, "a", &a) != 0 || get(store, "b", &b) != 0)
		return 2;
	for (int i = 1 + number(a.status);; i++) {
		snprintf(status, sizeof(status), "%d", i);
		if (replace(store, "a", status, &a) != 0 || replace(store, "b", status, &b) != 0)
			return 3;
		say(say_fd);
	}
}

static void a_process_killed_while_it_writes_leaves_whole_records(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_int_equal(replace(f->store, "a", "0", &f->last), 0);
	assert_int_equal(create(f->store, "b", &f->last), 0);
	assert_int_equal(replace(f->store, "b", "0", &f->last), 0);
	f->store->ops->close(f->store, true);
	for (int round = 0; round < 20; round++) {
		f->store = NULL;
		struct other other = start_other(write_on, f);
		for (int i = 0; i < 3 + round; i++)
			assert_true(hear(other.says));
		kill_other(&other);
		f->store = open_store(f);
		assert_non_null(f->store);
		assert_int_equal(get(f->store, "b", &f->last), 0);
		int b = number(f->last.status);
		assert_int_equal(get(f->store, "a", &f->last), 0);
		int a = number(f->last.status);
		assert_true(a == b || a == b + 1);
		assert_true(b >= 3 + round);
		assert_int_equal(replace(f->store, "a", f->last.status, &f->last), 0);
		/* They count on together. */
		assert_int_equal(get(f->store, "b", &f->last), 0);
		char status[32];
		snprintf(status, sizeof(status), "%d", a);
		assert_int_equal(replace(f->store, "b", status, &f->last), 0);
		f->store->ops->close(f->store, false);
	}
	f->store = NULL;
}

static int open_and_close(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	(void)say_fd;
	hear(hear_fd);
	struct kon_store *store = NULL;
	struct kon_err err = {0};
	int code;
	/* "Busy" is the answer to whoever finds the file locked for a quarter of a second, as by one that does not run. */
	do
		code = open_at(f, f->path, &store, &err);
	while (code == KON_BUSY);
	if (code != 0) {
		fprintf(stderr, "open: %s\n", err.detail);
		return 2;
	}
	do
		code = create(store, "a", &f->last);
	while (code == KON_BUSY);
	store->ops->close(store, true);
	return code == 0 ? 3 : code == KON_EXISTS ? 0 : 4;
}

static void ten_processes_may_make_the_file_at_once_and_one_makes_the_record(void **state)
{
	struct fixture *f = *state;
	struct other others[10];
	int made = 0;
	for (int i = 0; i < 10; i++)
		others[i] = start_other(open_and_close, f);
	for (int i = 0; i < 10; i++)
		say(others[i].asks);
	for (int i = 0; i < 10; i++) {
		int code = end_other(&others[i]);
		assert_true(code == 0 || code == 3);
		made += code == 3;
	}
	assert_int_equal(made, 1);
}

static void on_changed(void *data, const char *name, const struct kon_record *record)
{
	struct fixture *f = data;
	if (record != NULL) {
		f->brought++;
		assert_string_equal(record->kind, "Once");
		assert_string_equal(record->name, "a");
		f->brought_rev = record->rev;
	}
	assert_string_equal(name, "a");
	f->told++;
	kon_loop_stop(f->loop);
}

static void a_watch_hears_of_another_processes_commit(void **state)
{
	struct fixture *f = *state;
	struct kon_store_sub *one;
	struct kon_store_sub *all;
	struct kon_store_watch watch = {.changed = on_changed, .data = f};
	struct other other = start_other(open_and_close, f);
	f->store = open_store(f);
	assert_int_equal(f->store->ops->watch(f->store, "Once", "a", watch, &one, NULL), 0);
	assert_int_equal(f->store->ops->watch(f->store, "Once", NULL, watch, &all, NULL), 0);
	say(other.asks);
	while (f->told < 2)
		assert_true(run_loop(f->loop, PATIENCE_MS));
	/* The watch of the one record gets it along, that of the kind only its name. */
	assert_int_equal(f->brought, 1);
	assert_int_equal(get(f->store, "a", &f->last), 0);
	assert_int_equal(f->brought_rev, f->last.rev);
	assert_int_equal(end_other(&other), 3);
	one->end(one);
	all->end(all);
}

/* A ring that was overtaken, or one of a database that was put back in time, must not stand for a look. */
static void news_older_than_what_was_seen_are_told_by_name_only(void **state)
{
	struct fixture *f = *state;
	struct kon_store_sub *sub;
	struct kon_store_watch watch = {.changed = on_changed, .data = f};
	f->store = open_store(f);
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_int_equal(f->store->ops->watch(f->store, "Once", "a", watch, &sub, NULL), 0);
	assert_int_equal(replace(f->store, "a", "{\"n\":1}", &f->last), 0);
	assert_int_equal(replace(f->store, "a", "{\"n\":2}", &f->last), 0);
	while (f->told < 2)
		assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->brought, 0); /* the second waits with the first, which asks for a look */
	assert_int_equal(get(f->store, "a", &f->last), 0);
	assert_int_equal(replace(f->store, "a", "{\"n\":3}", &f->last), 0);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->brought, 1);
	assert_int_equal(f->brought_rev, f->last.rev);
	sub->end(sub);
}

/* What was deleted, and what is too long for a bell, is told by name only. */
static void a_watch_without_news_still_hears(void **state)
{
	struct fixture *f = *state;
	struct kon_store_sub *sub;
	struct kon_store_watch watch = {.changed = on_changed, .data = f};
	static char status[5001];
	f->store = open_store(f);
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_int_equal(f->store->ops->watch(f->store, "Once", "a", watch, &sub, NULL), 0);
	snprintf(status, sizeof(status), "{\"long\":\"%04900d\"}", 0);
	assert_int_equal(replace(f->store, "a", status, &f->last), 0);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->told, 1);
	assert_int_equal(get(f->store, "a", &f->last), 0);
	assert_int_equal(replace(f->store, "a", "{}", &f->last), 0);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->told, 2);
	assert_int_equal(f->brought, 1);
	assert_int_equal(f->brought_rev, f->last.rev);
	struct kon_record record = {.kind = "Once", .name = "a", .uid = f->last.uid, .rev = f->last.rev};
	struct answer gone = {0};
	f->store->ops->delete (f->store, &record, into(&gone));
	assert_int_equal(gone.code, 0);
	assert_true(run_loop(f->loop, PATIENCE_MS));
	assert_int_equal(f->told, 3);
	assert_int_equal(f->brought, 1);
	sub->end(sub);
}

/* ---- locks ---- */

static void another_programs_lock_is_waited_for_and_then_said(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f->store, "a", &f->last), 0);
	struct answer a = f->last;
	sqlite3 *db = shell(f->path, "BEGIN EXCLUSIVE");
	int64_t began_ms = kon_clock_boot_ms();
	assert_int_equal(replace(f->store, "a", "{\"n\":1}", &a), KON_BUSY);
	int64_t waited_ms = kon_clock_boot_ms() - began_ms;
	assert_true(waited_ms >= 200 && waited_ms < 60000);
	assert_non_null(strstr(a.detail, f->path));
	assert_int_equal(get(f->store, "a", &a), 0);
	assert_string_equal(a.status, "{}");
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(replace(f->store, "a", "{\"n\":1}", &a), 0);
	sqlite3_close(db);
}

/* ---- files that are not fine ---- */

static void refuse(struct fixture *f, int code, const char *words)
{
	struct kon_store *store = NULL;
	struct kon_err err = {0};
	int got = open_at(f, f->path, &store, &err);
	if (got == 0)
		store->ops->close(store, true);
	assert_int_equal(got, code);
	assert_non_null(strstr(err.detail, f->path));
	assert_non_null(strstr(err.detail, words));
	assert_null(strstr(err.detail, ".d/"));
}

static void put(const char *path, const char *text, size_t size, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, size, at), (ssize_t)size);
	close(fd);
}

static void a_link_to_a_file_system_that_is_not_local_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(symlink("/proc/self/status", f->path), 0);
	refuse(f, KON_CONFIG, "needs a local one");
}

static void a_file_that_is_no_database_is_refused_and_left(void **state)
{
	struct fixture *f = *state;
	static const char text[] =
		"Dear diary, today I coordinated nothing. It was a quiet day on all of the replicas, and so "
		"I wrote these lines, which are longer than a hundred bytes.";
	put(f->path, text, sizeof(text), 0);
	refuse(f, KON_CORRUPT, "no database");
	struct stat info;
	assert_int_equal(stat(f->path, &info), 0);
	assert_int_equal(info.st_size, sizeof(text));
}

static void a_damaged_database_is_said_to_be_damaged(void **state)
{
	struct fixture *f = *state;
	struct kon_store *store = open_store(f);
	char junk[4096];
	memset(junk, 0x5a, sizeof(junk));
	for (int i = 0; i < 50; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(create(store, name, &f->last), 0);
	}
	store->ops->close(store, true);
	sqlite3_close(shell(f->path, "PRAGMA wal_checkpoint(TRUNCATE)"));
	struct stat info;
	assert_int_equal(stat(f->path, &info), 0);
	for (off_t at = 4096; at < info.st_size; at += 4096)
		put(f->path, junk, sizeof(junk), at);
	f->store = open_store(f);
	assert_non_null(f->store);
	assert_int_equal(get(f->store, "n1", &f->last), KON_CORRUPT);
	assert_int_equal(create(f->store, "new", &f->last), KON_CORRUPT);
	assert_non_null(strstr(f->last.detail, f->path));
}

static void another_programs_database_is_refused_and_left(void **state)
{
	struct fixture *f = *state;
	sqlite3_close(shell(f->path, "CREATE TABLE bookmarks (url); PRAGMA application_id = 7"));
	refuse(f, KON_CORRUPT, "another program");
	sqlite3 *db = shell(f->path, "SELECT url FROM bookmarks");
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal(sqlite3_column_text(stmt, 0), "delete");
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

static void a_newer_format_is_refused_with_its_number(void **state)
{
	struct fixture *f = *state;
	struct kon_store *store = open_store(f);
	store->ops->close(store, true);
	sqlite3_close(shell(f->path, "PRAGMA user_version = 99"));
	refuse(f, KON_VERSION, "format 99");
}

static void a_format_below_the_first_is_nobodys_we_know(void **state)
{
	struct fixture *f = *state;
	struct kon_store *store = open_store(f);
	store->ops->close(store, true);
	sqlite3_close(shell(f->path, "PRAGMA user_version = -200000"));
	refuse(f, KON_CORRUPT, "another program");
}

static void a_record_without_a_text_is_said_to_be_damaged(void **state)
{
	struct fixture *f = *state;
	static const char *const columns[] = {"uid", "created", "spec", "status", "touched_boot_id"};
	char sql[400], name[16];
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		assert_int_equal(create(f->store, name, &f->last), 0);
		snprintf(sql, sizeof(sql),
		         "PRAGMA writable_schema = ON;"
		         "UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', ''); PRAGMA writable_schema = RESET;"
		         "UPDATE records SET %s = NULL WHERE name = '%s'",
		         columns[i], name);
		sqlite3_close(shell(f->path, sql));
		assert_int_equal(get(f->store, name, &f->last), KON_CORRUPT);
		assert_non_null(strstr(f->last.detail, columns[i]));
		f->last = (struct answer){.rev = 1, .uid = "none"};
		assert_int_equal(replace(f->store, name, "{}", &f->last), KON_CORRUPT);
	}
}

static void an_empty_file_becomes_a_store(void **state)
{
	struct fixture *f = *state;
	put(f->path, "", 0, 0);
	f->store = open_store(f);
	assert_non_null(f->store);
	assert_int_equal(create(f->store, "a", &f->last), 0);
}

static void a_file_taken_away_while_in_use_is_noticed_before_a_write(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_int_equal(rename(f->path, in(f->dir, "moved.db")), 0);
	assert_int_equal(replace(f->store, "a", "{\"n\":1}", &f->last), KON_STORE);
	assert_non_null(strstr(f->last.detail, "removed or replaced"));
	assert_int_equal(get(f->store, "a", &f->last), KON_STORE);
}

/* Root may write anywhere: the right is given up in a process of its own. */
static int as_nobody(void)
{
	return geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0) ? -1 : 0;
}

static int open_denied(void *data, int say_fd, int hear_fd)
{
	struct fixture *f = data;
	struct kon_store *store;
	struct kon_err err;
	(void)say_fd;
	(void)hear_fd;
	if (as_nobody() != 0)
		return 2;
	int code = open_at(f, f->path, &store, &err);
	if (code != KON_DENIED)
		fprintf(stderr, "%d: %s\n", code, err.detail);
	return code == KON_DENIED && strstr(err.detail, f->path) != NULL ? 0 : 1;
}

static void a_file_or_directory_that_cannot_be_written_is_denied(void **state)
{
	struct fixture *f = *state;
	struct kon_store *store = open_store(f);
	store->ops->close(store, true);
	sqlite3_close(shell(f->path, "PRAGMA journal_mode = DELETE"));
	assert_int_equal(chmod(f->path, 0444), 0);
	assert_int_equal(chmod(f->dir, 0777), 0);
	struct other other = start_other(open_denied, f);
	assert_int_equal(end_other(&other), 0);

	assert_int_equal(chmod(f->path, 0666), 0);
	assert_int_equal(chmod(f->dir, 0555), 0);
	other = start_other(open_denied, f);
	assert_int_equal(end_other(&other), 0);

	assert_int_equal(chmod(f->dir, 0700), 0);
	other = start_other(open_denied, f);
	assert_int_equal(end_other(&other), 0);
}

/* Fills the disk with records; nothing that was answered with 0 may be missing later, nor the rest be there. */
static void write_until_full(struct fixture *f)
{
	static char status[60000];
	memset(status, 'x', sizeof(status));
	char name[16];
	int stored = 0;
	int code = 0;
	for (; code == 0 && stored < 10000; stored++) {
		snprintf(name, sizeof(name), "n%d", stored);
		f->store->ops->create(f->store, "Once", name, status, sizeof(status), into(&f->last));
		code = f->last.code;
	}
	stored--;
	assert_int_equal(code, KON_FULL);
	assert_non_null(strstr(f->last.detail, "no space is left"));
	assert_true(stored > 3);
	assert_int_equal(get(f->store, name, &f->last), KON_ABSENT);
	f->store->ops->close(f->store, true);
	f->store = open_store(f);
	assert_non_null(f->store);
	f->store->ops->list(f->store, "Once", into(&f->last));
	assert_int_equal(f->last.code, 0);
	assert_int_equal(f->last.count, stored);
}

static void open_on_small_disk(struct fixture *f)
{
	if (mount("none", f->dir, "tmpfs", 0, "size=2m") != 0) {
		if (errno != EPERM)
			fail_msg("mount: %s", strerror(errno));
		skip(); /* only root may make a small file system */
	}
	f->store = open_store(f);
	assert_non_null(f->store);
}

static void leave_small_disk(struct fixture *f)
{
	f->store->ops->close(f->store, true);
	f->store = NULL;
	assert_int_equal(umount(f->dir), 0);
}

static void a_full_disk_is_said_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	open_on_small_disk(f);
	write_until_full(f);
	leave_small_disk(f);
}

static int replace_many(struct fixture *f, int count)
{
	int failed = 0;
	for (int i = 0; i < count; i++) {
		struct answer before = f->last;
		if (replace(f->store, "a", "{}", &f->last) != 0) {
			assert_int_equal(f->last.code, KON_FULL);
			f->last = before;
			failed++;
		}
	}
	return failed;
}

static void fill_disk(const struct fixture *f)
{
	static const char block[4096];
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/filler", f->dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void many_writes_fill_no_small_disk_and_go_on_when_it_is_full(void **state)
{
	struct fixture *f = *state;
	open_on_small_disk(f);
	assert_int_equal(create(f->store, "a", &f->last), 0);
	assert_int_equal(replace_many(f, 500), 0);
	f->store->ops->close(f->store, true);
	f->store = open_store(f);
	assert_int_equal(replace_many(f, 10), 0);
	fill_disk(f);
	/* The log has room for about ten; the write that finds none makes room for the next ones. */
	int failed = replace_many(f, 200);
	assert_in_range(failed, 1, 40);
	leave_small_disk(f);
}

static void a_commit_that_fails_to_write_is_unknown_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	static char status[60000];
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	f->store = open_store(f);
	assert_int_equal(create(f->store, "a", &f->last), 0);
	struct rlimit small = {.rlim_cur = 200000, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	memset(status, 'x', sizeof(status));
	int stored = 0;
	char name[16];
	do {
		snprintf(name, sizeof(name), "n%d", stored++);
		f->store->ops->create(f->store, "Once", name, status, sizeof(status), into(&f->last));
	} while (f->last.code == 0 && stored < 100);
	int code = f->last.code;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(code, KON_UNKNOWN); /* SQLite cannot say how far the write came */
	assert_int_equal(create(f->store, "after", &f->last), 0);
	f->store->ops->list(f->store, "Once", into(&f->last));
	assert_int_equal(f->last.count, stored - 1 + 2);
}

#define CASE(name, up) cmocka_unit_test_setup_teardown(name, up, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_write_gives_the_new_version_and_a_stale_one_conflicts, setup_open),
		CASE(versions_never_go_back, setup_open),
		CASE(a_record_made_again_is_not_the_old_one, setup_open),
		CASE(after_another_boot_the_wall_clock_gives_the_age, setup_open),
		CASE(two_processes_that_add_lose_no_addition, setup_open),
		CASE(a_process_killed_while_it_writes_leaves_whole_records, setup_open),
		CASE(ten_processes_may_make_the_file_at_once_and_one_makes_the_record, setup),
		CASE(a_watch_hears_of_another_processes_commit, setup),
		CASE(news_older_than_what_was_seen_are_told_by_name_only, setup),
		CASE(a_watch_without_news_still_hears, setup),
		CASE(another_programs_lock_is_waited_for_and_then_said, setup_open),
		CASE(a_link_to_a_file_system_that_is_not_local_is_refused, setup),
		CASE(a_file_that_is_no_database_is_refused_and_left, setup),
		CASE(a_damaged_database_is_said_to_be_damaged, setup),
		CASE(another_programs_database_is_refused_and_left, setup),
		CASE(a_newer_format_is_refused_with_its_number, setup),
		CASE(a_format_below_the_first_is_nobodys_we_know, setup),
		CASE(a_record_without_a_text_is_said_to_be_damaged, setup_open),
		CASE(an_empty_file_becomes_a_store, setup),
		CASE(a_file_taken_away_while_in_use_is_noticed_before_a_write, setup_open),
		CASE(a_file_or_directory_that_cannot_be_written_is_denied, setup),
		CASE(many_writes_fill_no_small_disk_and_go_on_when_it_is_full, setup),
		CASE(a_full_disk_is_said_and_loses_nothing, setup),
		CASE(a_commit_that_fails_to_write_is_unknown_and_loses_nothing, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
