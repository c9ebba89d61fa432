/* `konductor install DIR`: for an initContainer whose image has no cp. */
#ifndef KON_INSTALL_H
#define KON_INSTALL_H

#include <stddef.h>

#include "err.h"

/*
 * Copies this program to DIR/konductor (mode 0755) and gives it the other names as hard links, or as copies where the
 * file system has no links.  Each name is replaced in one step: whoever starts it meanwhile gets the old or the new
 * one, whole.  On failure nothing new is left in DIR.  out_path (NULL is fine) gets the path of the copy.
 * KON_CONFIG: DIR is missing or no directory; KON_DENIED: not writable; KON_FULL; KON_USAGE: a name with a slash.
 */
int kon_install(const char *dir, const char *const names[], int count, char *out_path, size_t size,
                struct kon_err *err);

#endif
