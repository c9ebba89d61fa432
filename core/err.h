/*
 * Errors: a code from errors.def and one sentence for people.
 *
 * Functions that can fail return 0, or a negative enum kon_code, and fill the
 * struct kon_err that is their last argument.  An errno is converted once,
 * where the outside call is made.
 */
#ifndef KON_ERR_H
#define KON_ERR_H

enum kon_code {
	KON_OK = 0,
	KON_ERR_BASE = -1000,
#define X(name, word, exit, text) KON_##name,
#include "errors.def"
#undef X
	KON_ERR_END
};

struct kon_err {
	int code;         /* enum kon_code, 0 when nothing is wrong */
	char detail[512]; /* one sentence: place, value, what was expected */
};

/* Fills err (NULL is allowed) and returns code, so that a caller can `return kon_err_set(...)`. */
int kon_err_set(struct kon_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As kon_err_set with ": " and the text of errnum behind the sentence. */
int kon_err_errno(struct kon_err *err, int code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The word of errors.def, e.g. "conflict"; "ok" for 0.  Static storage. */
const char *kon_err_word(int code);

/* The exit code that errors.def gives to code; 0 for 0. */
int kon_err_exit(int code);

/* The code of a word, 0 when there is none. */
int kon_err_from_word(const char *word);

#endif
