/* What cJSON does not look at itself. */
#ifndef KON_JSON_TEXT_H
#define KON_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a NUL is in the text, as it is or escaped: cJSON ends a string there instead of refusing it. */
bool kon_json_has_nul(const char *text, size_t size);

#endif
