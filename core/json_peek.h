/*
 * One member out of the text of a JSON object, without parsing the rest.  Pure.
 *
 * For a glance at what comes often and matters seldom.  It skips what it does not look for without checking it, so what
 * it finds is a hint: whoever needs to be sure parses.
 */
#ifndef KON_JSON_PEEK_H
#define KON_JSON_PEEK_H

#include <stdbool.h>
#include <stddef.h>

struct kon_json_span {
	const char *at; /* in the text, not terminated */
	size_t size;
};

/* The string at the end of a path of members, NULL behind the last.  False when the text has none there, or one with an
 * escape in it, or is no JSON as far as was looked. */
bool kon_json_peek(const char *text, size_t size, const char *const *path, struct kon_json_span *out);

/* The text of the value of a member, whatever it is, from its first byte to the comma or bracket behind it.  False when
 * there is no such member, or the text is no JSON as far as was looked. */
bool kon_json_peek_value(const char *text, size_t size, const char *name, struct kon_json_span *out);

#endif
