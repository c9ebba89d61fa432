#include "kube_event.h"

#include <string.h>

#include "json_peek.h"

void kon_kube_lines_init(struct kon_kube_lines *lines)
{
	kon_buf_init(&lines->rest, KON_KUBE_MAX_LINE);
}

void kon_kube_lines_done(struct kon_kube_lines *lines)
{
	kon_buf_done(&lines->rest);
}

/* One whole line; what was kept of it is empty afterwards. */
static bool give(struct kon_kube_lines *lines, const char *text, size_t size,
                 bool (*line)(void *data, const char *text, size_t size), void *data)
{
	if (lines->rest.size == 0)
		return size == 0 || line(data, text, size);
	struct kon_buf whole = lines->rest;
	kon_kube_lines_init(lines); /* line may end them */
	bool more = line(data, whole.data, whole.size);
	kon_buf_done(&whole);
	return more;
}

int kon_kube_lines_feed(struct kon_kube_lines *lines, const char *bytes, size_t size,
                        bool (*line)(void *data, const char *text, size_t size), void *data, struct kon_err *err)
{
	while (size > 0) {
		const char *end = memchr(bytes, '\n', size);
		size_t part = end != NULL ? (size_t)(end - bytes) : size;
		bool kept = lines->rest.size > 0 || end == NULL;
		if (part > KON_KUBE_MAX_LINE - lines->rest.size || (kept && !kon_buf_add(&lines->rest, bytes, part)))
			return kon_err_set(err, KON_TOO_BIG, "a watch event is longer than %zu MiB",
			                   KON_KUBE_MAX_LINE >> 20);
		if (end == NULL)
			return 0;
		if (!give(lines, bytes, part, line, data))
			return 0;
		bytes += part + 1;
		size -= part + 1;
	}
	return 0;
}

static enum kon_kube_event_type type_of(const char *word)
{
	static const struct {
		const char *word;
		enum kon_kube_event_type type;
	} types[] = {{"ADDED", KON_KUBE_CHANGED},
	             {"MODIFIED", KON_KUBE_CHANGED},
	             {"DELETED", KON_KUBE_GONE},
	             {"BOOKMARK", KON_KUBE_BOOKMARK},
	             {"ERROR", KON_KUBE_ERROR}};
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(types[i].word, word) == 0)
			return types[i].type;
	return KON_KUBE_OTHER;
}

int kon_kube_event_read(struct kon_kube_event *event, const char *text, size_t size, struct kon_err *err)
{
	*event = (struct kon_kube_event){.root = kon_kube_parse(text, size, err)};
	if (event->root == NULL)
		return KON_CORRUPT;
	const char *word = kon_kube_text(event->root, "type");
	event->object = cJSON_GetObjectItemCaseSensitive(event->root, "object");
	if (word == NULL || !cJSON_IsObject(event->object)) {
		kon_kube_event_done(event);
		return kon_err_set(err, KON_CORRUPT, "a watch event has no type or no object");
	}
	event->type = type_of(word);
	if (event->type == KON_KUBE_ERROR) {
		const cJSON *code = cJSON_GetObjectItemCaseSensitive(event->object, "code");
		event->code = cJSON_IsNumber(code) ? code->valueint : 500;
	}
	return 0;
}

void kon_kube_event_done(struct kon_kube_event *event)
{
	cJSON_Delete(event->root);
	event->root = NULL;
	event->object = NULL;
}

enum kon_kube_whose kon_kube_event_whose(const struct kon_kube_dialect *dialect, const char *text, size_t size,
                                         const char *session)
{
	static const char *const type[] = {"type", NULL};
	const char *const holder[] = {"object", dialect->holder[0], dialect->holder[1], NULL};
	struct kon_json_span found;
	size_t ours = strlen(session);
	if (!kon_json_peek(text, size, type, &found) || found.size != strlen("MODIFIED") ||
	    memcmp(found.at, "MODIFIED", found.size) != 0)
		return KON_KUBE_ANYONES;
	if (!kon_json_peek(text, size, holder, &found) || found.size == 0)
		return KON_KUBE_ANYONES;
	bool ends = found.size >= ours && memcmp(found.at + found.size - ours, session, ours) == 0;
	return ends ? KON_KUBE_OURS : KON_KUBE_OTHERS;
}
