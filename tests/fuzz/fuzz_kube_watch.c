/*
 * What a watch sends, in pieces of any size: the same lines and events as in one piece, and what is news of them is
 * told once; a glance at a line says nothing else than the event.  The first byte picks how it is split.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kube_event.h"
#include "kube_known.h"
#include "kube_object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	size_t lines;
	size_t bytes;
	uint64_t hash;
	size_t news;
	struct kon_kube_known known;
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* What a glance makes of an event is what the parsed one says, as far as it dares to say anything. */
static void check_glance(const struct kon_kube_event *event, const char *text, size_t size)
{
	static const struct kon_kube_dialect *const dialects[] = {&kon_kube_crd, &kon_kube_lease};
	for (size_t i = 0; i < 2; i++) {
		enum kon_kube_whose whose = kon_kube_event_whose(dialects[i], text, size, "a");
		const cJSON *part = cJSON_GetObjectItemCaseSensitive(event->object, dialects[i]->holder[0]);
		const char *holder = kon_kube_text(part, dialects[i]->holder[1]);
		if (whose == KON_KUBE_ANYONES || memchr(text, '\\', size) != NULL)
			continue;
		check(event->type == KON_KUBE_CHANGED && holder != NULL && holder[0] != '\0');
		check((holder[strlen(holder) - 1] == 'a') == (whose == KON_KUBE_OURS));
	}
}

static bool on_line(void *data, const char *text, size_t size)
{
	struct told *told = data;
	struct kon_kube_event event;
	struct kon_err err = {0};
	const char *name, *uid;
	int64_t rev;
	told->lines++;
	told->bytes += size;
	for (size_t i = 0; i < size; i++)
		told->hash = (told->hash ^ (unsigned char)text[i]) * 1099511628211u;
	check(memchr(text, '\n', size) == NULL && size > 0);
	if (kon_kube_event_read(&event, text, size, &err) != 0) {
		check(err.detail[0] != '\0');
		return true;
	}
	check_glance(&event, text, size);
	if (kon_kube_identify(event.object, &name, &uid, &rev, &err) == 0) {
		bool gone = event.type == KON_KUBE_GONE;
		told->news += kon_kube_known_take(&told->known, name, rev, gone) != NULL;
		check(kon_kube_known_take(&told->known, name, rev, gone) == NULL);
	}
	kon_kube_event_done(&event);
	return true;
}

static struct told feed(const char *bytes, size_t size, size_t step)
{
	struct told told = {0};
	struct kon_kube_lines lines;
	kon_kube_lines_init(&lines);
	for (size_t at = 0; at < size; at += step)
		check(kon_kube_lines_feed(&lines, bytes + at, size - at < step ? size - at : step, on_line, &told,
		                          NULL) == 0);
	kon_kube_lines_done(&lines);
	kon_kube_known_done(&told.known);
	return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 65536)
		return 0;
	const char *bytes = (const char *)data + 1;
	struct told whole = feed(bytes, size - 1, size - 1);
	struct told split = feed(bytes, size - 1, 1 + data[0] % 64);
	check(whole.lines == split.lines && whole.bytes == split.bytes && whole.hash == split.hash);
	check(whole.news == split.news);
	return 0;
}
