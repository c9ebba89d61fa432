/* What cJSON does not look at itself. */
#ifndef KON_JSON_TEXT_H
#define KON_JSON_TEXT_H

#include <stddef.h>

/* The first NUL of the text that is escaped, else the first one as it is, or NULL: cJSON ends a string there instead of
 * refusing it. */
const char *kon_json_find_nul(const char *text, size_t size);

#endif
