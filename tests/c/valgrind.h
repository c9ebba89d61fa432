/* For what cannot be tested under valgrind, or comes out otherwise there.  Each use says why. */
#ifndef KON_TEST_VALGRIND_H
#define KON_TEST_VALGRIND_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool in_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");
	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

#endif
