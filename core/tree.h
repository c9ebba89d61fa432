/*
 * Finding and signalling the processes below one of ours.
 *
 * Used by the guard, which was forked from a process with threads: nothing here
 * allocates from the heap, uses stdio or takes a lock.
 *
 * A number from /proc names a process only for as long as nobody has reaped it.  Two
 * rules keep a signal from reaching a stranger that was given the same number:
 * our own children cannot be reaped by anybody else, so they may be signalled by
 * number; everybody deeper is pinned by a pidfd first and then looked up once more.
 */
#ifndef KON_TREE_H
#define KON_TREE_H

#include <stddef.h>
#include <sys/types.h>

enum kon_tree_source {
	/*
	 * No /proc, or one of another pid namespace, whose numbers would hit strangers: every number is tried, which
	 * takes up to a second and finds the caller's own children only.
	 */
	KON_TREE_NUMBERS,
	KON_TREE_STAT,    /* every process has to be looked at for its parent */
	KON_TREE_CHILDREN /* the kernel lists the children of a thread (CONFIG_PROC_CHILDREN) */
};

/* What this machine offers to the calling process. */
enum kon_tree_source kon_tree_source(void);

/* A growing list of process numbers, in pages of its own.  Zero-initialised means empty. */
struct kon_pids {
	pid_t *at;
	size_t count;
	size_t room;
};

void kon_pids_done(struct kon_pids *pids);

/*
 * Empties out and fills it with the children of root or, when deep, with all its descendants, parents first.
 * What forks or ends meanwhile may be missed or be gone: callers repeat.  By numbers, root must be the caller and
 * deep is not heeded; so it is, too, when source turns out to fail for the caller's own.  0, or -1 when nothing can
 * be said.
 */
int kon_tree_list(enum kon_tree_source source, pid_t root, int deep, struct kon_pids *out);

/* Signals pid if it still descends from root.  0, or -1 when it does not or when that is forbidden. */
int kon_tree_send(enum kon_tree_source source, pid_t root, pid_t pid, int signal);

/*
 * SIGKILL to a child of the calling process that has not been reaped, and to its process group
 * where that group is certainly below us: it is the child's own, or lies in another session than
 * ours.  A signal to a group is atomic with respect to fork, so no member escapes by forking.
 */
void kon_tree_kill(pid_t child);

#endif
