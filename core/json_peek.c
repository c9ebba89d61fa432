#include "json_peek.h"

#include <string.h>

struct cursor {
	const char *at;
	const char *end;
};

static void skip_space(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n'))
		c->at++;
}

static bool take(struct cursor *c, char wanted)
{
	skip_space(c);
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

/* What stands between the quotes, as it is written. */
static bool take_string(struct cursor *c, struct kon_json_span *out)
{
	if (!take(c, '"'))
		return false;
	out->at = c->at;
	while (c->at < c->end && *c->at != '"')
		c->at += *c->at == '\\' && c->end - c->at > 1 ? 2 : 1;
	if (c->at == c->end)
		return false;
	out->size = (size_t)(c->at - out->at);
	c->at++;
	return true;
}

/* To the comma or bracket behind a value of any kind; brackets are only counted. */
static bool skip_value(struct cursor *c)
{
	struct kon_json_span ignored;
	size_t depth = 0;
	while (c->at < c->end) {
		char now = *c->at;
		bool closes = now == '}' || now == ']';
		if (now == '"') {
			if (!take_string(c, &ignored))
				return false;
			continue;
		}
		if (depth == 0 && (closes || now == ','))
			return true;
		depth += now == '{' || now == '[' ? 1 : 0;
		depth -= closes ? 1 : 0;
		c->at++;
	}
	return false;
}

/* To the value of the member of that name. */
static bool enter(struct cursor *c, const char *name)
{
	struct kon_json_span key;
	if (!take(c, '{'))
		return false;
	do {
		if (!take_string(c, &key) || !take(c, ':'))
			return false;
		if (key.size == strlen(name) && memcmp(key.at, name, key.size) == 0)
			return true;
	} while (skip_value(c) && take(c, ','));
	return false;
}

bool kon_json_peek(const char *text, size_t size, const char *const *path, struct kon_json_span *out)
{
	struct cursor c = {text, text + size};
	for (; *path != NULL; path++)
		if (!enter(&c, *path))
			return false;
	return take_string(&c, out) && memchr(out->at, '\\', out->size) == NULL;
}

bool kon_json_peek_value(const char *text, size_t size, const char *name, struct kon_json_span *out)
{
	struct cursor c = {text, text + size};
	if (!enter(&c, name))
		return false;
	skip_space(&c);
	const char *from = c.at;
	if (!skip_value(&c))
		return false;
	*out = (struct kon_json_span){from, (size_t)(c.at - from)};
	return true;
}
