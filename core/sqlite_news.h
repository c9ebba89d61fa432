/*
 * A record as the news that a bell brings along, so that whoever waits for it need not read the database.  Pure.
 *
 * What comes out is what went in; but whoever may write into the pipe may have written anything, so nothing is taken
 * that is not whole.
 */
#ifndef KON_SQLITE_NEWS_H
#define KON_SQLITE_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "store.h"

/* Older than this they are not believed: a writer that was stopped between its commit and its ring would tell of what
 * has long been deleted. */
#define KON_SQLITE_NEWS_MS 250

/* Replaces what is in out, whose cap is how long news may be.  now_ms: the boot clock; age_ms of the record is its age
 * then.  False when they are too long. */
bool kon_sqlite_news_write(struct kon_buf *out, const char *name_space, const struct kon_record *record,
                           int64_t now_ms);

/* *out borrows from news.  False when they are not whole, not of this namespace, or not of the last moment. */
bool kon_sqlite_news_read(const char *news, size_t size, const char *name_space, int64_t now_ms,
                          struct kon_record *out);

#endif
