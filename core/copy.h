/* Copies of files: for `konductor install`, and for an initContainer that calls cp in an image which has none. */
#ifndef KON_COPY_H
#define KON_COPY_H

#include <stddef.h>

#include "err.h"

/* Everything from one descriptor to the other.  0, or -errno. */
int kon_copy_bytes(int from, int to);

/*
 * Copies the regular file `from`, with its permissions, to `to`, or into it where it is a directory.  A file that is
 * there is replaced in one step, though it runs.  On failure nothing new is left.  out_path (NULL is fine) gets the path
 * of the copy.  KON_CONFIG: one of them is missing, or no file; KON_DENIED; KON_FULL.
 */
int kon_copy_file(const char *from, const char *to, char *out_path, size_t size, struct kon_err *err);

/* The word for what the file system answered. */
int kon_copy_code(int errnum);

#endif
