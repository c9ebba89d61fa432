/* Any bytes as what a bell's pipe holds: rings in order, and records that are whole and say the same when written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bell_line.h"
#include "sqlite_news.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 5000

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void read_again(const struct kon_record *record)
{
	struct kon_buf again;
	struct kon_record same;
	kon_buf_init(&again, (size_t)1 << 20);
	check(kon_sqlite_news_write(&again, "n", record, NOW));
	check(kon_sqlite_news_read(again.data, again.size, "n", NOW, &same));
	check(same.rev == record->rev && same.age_ms == record->age_ms);
	check(strcmp(same.kind, record->kind) == 0 && strcmp(same.name, record->name) == 0);
	check(same.status_size == record->status_size && memcmp(same.status, record->status, same.status_size) == 0);
	kon_buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *lines = malloc(size + (size == 0)); /* of its very size, for the sanitizer */
	check(lines != NULL);
	if (size > 0)
		memcpy(lines, data, size);
	struct kon_ring ring;
	char *at = lines, *end = lines + size;
	while (kon_bell_line_next(&at, end, &ring)) {
		struct kon_record record;
		check(at <= end && (ring.word != NULL || at == end));
		if (ring.news != NULL && kon_sqlite_news_read(ring.news, ring.news_size, "n", NOW, &record))
			read_again(&record);
	}
	free(lines);
	return 0;
}
