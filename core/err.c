#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct entry {
	const char *word;
	int exit;
};

static const struct entry table[] = {
#define X(name, word, exit, text) {word, exit},
#include "errors.def"
#undef X
};

static const struct entry *find(int code)
{
	if (code <= KON_ERR_BASE || code >= KON_ERR_END)
		return NULL;
	return &table[code - KON_ERR_BASE - 1];
}

int kon_err_set(struct kon_err *err, int code, const char *fmt, ...)
{
	if (err == NULL)
		return code;
	va_list args;
	va_start(args, fmt);
	err->code = code;
	vsnprintf(err->detail, sizeof(err->detail), fmt, args);
	va_end(args);
	return code;
}

int kon_err_errno(struct kon_err *err, int code, int errnum, const char *fmt, ...)
{
	if (err == NULL)
		return code;
	char text[128];
	va_list args;
	va_start(args, fmt);
	err->code = code;
	int used = vsnprintf(err->detail, sizeof(err->detail), fmt, args);
	va_end(args);
	if (used >= 0 && (size_t)used < sizeof(err->detail)) {
		/* The GNU variant returns the text, which need not be in the buffer. */
		const char *what = strerror_r(errnum, text, sizeof(text));
		snprintf(err->detail + used, sizeof(err->detail) - (size_t)used, ": %s", what);
	}
	return code;
}

const char *kon_err_word(int code)
{
	const struct entry *entry = find(code);
	return entry ? entry->word : "ok";
}

int kon_err_exit(int code)
{
	const struct entry *entry = find(code);
	return entry ? entry->exit : 0;
}

int kon_err_from_word(const char *word)
{
	for (int code = KON_ERR_BASE + 1; code < KON_ERR_END; code++)
		if (strcmp(find(code)->word, word) == 0)
			return code;
	return KON_OK;
}
