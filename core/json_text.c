#include "json_text.h"

#include <string.h>

const char *kon_json_find_nul(const char *text, size_t size)
{
	const char *end = text + size;
	const char *at = text;
	while (end - at >= 6 && (at = memchr(at, '\\', (size_t)(end - at) - 5)) != NULL) {
		if (memcmp(at, "\\u0000", 6) == 0)
			return at;
		at += 2; /* a backslash that is escaped begins nothing */
	}
	return memchr(text, '\0', size);
}
