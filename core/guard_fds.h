/*
 * The descriptors that a guard lives with.  Only what a signal handler may use.
 */
#ifndef KON_GUARD_FDS_H
#define KON_GUARD_FDS_H

#include "guard.h"

struct kon_guard_fds {
	int sock;
	int stdio[3];            /* for the child */
	int keep[KON_PROC_KEEP]; /* open until nobody of the tree is left */
	int keep_count;
};

/*
 * Moves what the plan names above 2, close-on-exec, and closes everything else.  What stayed open would keep other
 * guards from seeing konductor's end, and the readers of pipes from seeing the end of a tree.  0 or an errno;
 * the socket is usable in either case.
 */
int kon_guard_fds_take(struct kon_guard_fds *fds, const struct kon_guard_plan *plan);

/* From here on only the tree holds its standard streams open. */
void kon_guard_fds_drop_stdio(struct kon_guard_fds *fds);

/* Lets everybody who watches keep_fd know that the tree has ended. */
void kon_guard_fds_drop_keep(struct kon_guard_fds *fds);

#endif
