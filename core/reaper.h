/*
 * The children of this process, whose ends come as one SIGCHLD for all: the only place that calls waitpid.
 *
 * Its children are guards, what a killed guard left behind (we are a subreaper), and, as PID 1, whatever
 * lost its parent.  All are reaped; what a killed guard left behind is killed first.
 */
#ifndef KON_REAPER_H
#define KON_REAPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "loop.h"

/* A guard and its command as the reaper sees them.  Embedded in its owner, who fills guard, child and ended. */
struct kon_ward {
	pid_t guard;
	pid_t child;      /* 0 while unknown */
	int child_status; /* of a child that fell to us; as if killed until then */
	bool guard_reaped;
	bool lost; /* the guard ended before its tree */
	/* The tree of a lost guard has ended.  sure is false if that cannot be confirmed.  May remove the ward. */
	void (*ended)(struct kon_ward *ward, bool sure);
	struct kon_ward *next;
};

/* SIGCHLD is watched on loop while there is any ward. */
void kon_reaper_add(struct kon_loop *loop, struct kon_ward *ward);
void kon_reaper_remove(struct kon_ward *ward); /* fine when it was not added */

/* Also without wards. */
void kon_reaper_strays(struct kon_loop *loop, bool on);

/* Reaps a guard whose socket has ended: it is on its way out, so this waits no longer than its exit takes. */
void kon_reaper_collect(struct kon_ward *ward);

/* The collected guard of ward did not say that its tree has ended: kills and reaps until it has. */
void kon_reaper_lose(struct kon_ward *ward);

#endif
