/*
 * The file system under an embedded store: its directories, and whether the file system can
 * be trusted with it.  Blocks for as long as the file system does.
 */
#ifndef KON_FS_H
#define KON_FS_H

#include "err.h"

/* What it means that a call on a file of the store failed: KON_DENIED (rights, read-only file system), KON_FULL, or
 * else KON_STORE. */
int kon_fs_code(int errnum);

/* The directory part of path, "." when it has none.  The caller frees; NULL: out of memory. */
char *kon_fs_parent(const char *path);

/* Makes the directory, whose path is not empty, and its missing parents, each 0700; an existing one is left as it is.
 * KON_DENIED (rights, read-only file system), KON_FULL, KON_CONFIG (a file is in the way), KON_STORE. */
int kon_fs_make_dirs(const char *path, struct kon_err *err);

/* 0 when the file system that holds the directory keeps locks, shared memory and named pipes among all
 * processes of this machine; KON_CONFIG, with its name, for network file systems and for unknown ones. */
int kon_fs_check_local(const char *dir, struct kon_err *err);

/* As kon_fs_check_local, for a type as statfs gives it. */
int kon_fs_check_type(const char *dir, unsigned type, struct kon_err *err);

#endif
