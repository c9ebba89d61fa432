#include "sqlite_news.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each field is text and a NUL. */
enum field { NAMESPACE, NUMBERS, KIND, NAME, UID, CREATED, SPEC, STATUS, FIELDS };

static bool add(struct kon_buf *out, const char *text, size_t size)
{
	return kon_buf_add(out, text, size) && kon_buf_add(out, "", 1);
}

bool kon_sqlite_news_write(struct kon_buf *out, const char *name_space, const struct kon_record *record, int64_t now_ms)
{
	char numbers[64];
	snprintf(numbers, sizeof(numbers), "%" PRId64 " %" PRId64 " %" PRId64, now_ms, record->rev, record->age_ms);
	const char *texts[FIELDS] = {
		[NAMESPACE] = name_space, [NUMBERS] = numbers,         [KIND] = record->kind, [NAME] = record->name,
		[UID] = record->uid,      [CREATED] = record->created, [SPEC] = record->spec, [STATUS] = record->status,
	};
	out->size = 0;
	for (int i = 0; i < FIELDS; i++) {
		size_t size = i == SPEC ? record->spec_size : i == STATUS ? record->status_size : strlen(texts[i]);
		if (!add(out, texts[i], size))
			return false;
	}
	return true;
}

/* The fields, each with its NUL within size, and nothing behind the last. */
static bool split(const char *news, size_t size, const char *texts[FIELDS], size_t sizes[FIELDS])
{
	for (int i = 0; i < FIELDS; i++) {
		const char *end = memchr(news, '\0', size);
		if (end == NULL)
			return false;
		texts[i] = news;
		sizes[i] = (size_t)(end - news);
		size -= sizes[i] + 1;
		news = end + 1;
	}
	return size == 0;
}

static bool read_numbers(const char *text, int64_t *written_ms, int64_t *rev, int64_t *age_ms)
{
	int64_t *into[] = {written_ms, rev, age_ms};
	for (int i = 0; i < 3; i++) {
		char *end;
		*into[i] = strtoll(text, &end, 10);
		if (end == text || *into[i] < 0 || *end != (i < 2 ? ' ' : '\0'))
			return false;
		text = end + 1;
	}
	return true;
}

bool kon_sqlite_news_read(const char *news, size_t size, const char *name_space, int64_t now_ms, struct kon_record *out)
{
	const char *texts[FIELDS];
	size_t sizes[FIELDS];
	int64_t written_ms, rev, age_ms;
	if (!split(news, size, texts, sizes) || strcmp(texts[NAMESPACE], name_space) != 0 ||
	    !read_numbers(texts[NUMBERS], &written_ms, &rev, &age_ms))
		return false;
	/* A process in another time namespace has another boot clock. */
	if (written_ms > now_ms || now_ms - written_ms > KON_SQLITE_NEWS_MS)
		return false;
	*out = (struct kon_record){
		.kind = texts[KIND],
		.name = texts[NAME],
		.uid = texts[UID],
		.rev = rev,
		.created = texts[CREATED],
		.age_ms = age_ms + now_ms - written_ms,
		.spec = texts[SPEC],
		.spec_size = sizes[SPEC],
		.status = texts[STATUS],
		.status_size = sizes[STATUS],
	};
	return true;
}
