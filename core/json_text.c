#include "json_text.h"

#include <string.h>

bool kon_json_has_nul(const char *text, size_t size)
{
	for (size_t i = 0; i + 5 < size; i++) {
		if (text[i] != '\\')
			continue;
		if (memcmp(text + i, "\\u0000", 6) == 0)
			return true;
		i++; /* a backslash that is escaped begins nothing */
	}
	return memchr(text, '\0', size) != NULL;
}
