/*
 * The guard process: what it is given, what it and konductor tell each other.
 *
 * proc.c forks it and proc.h says what it promises.  The guard never executes another
 * program and konductor may have threads, so from the fork on it uses only what a
 * signal handler may use: no heap, no stdio, no locks.
 *
 * Both ends of the socket are in the same program, so a message is a struct as it is.
 */
#ifndef KON_GUARD_H
#define KON_GUARD_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc.h"

enum kon_guard_kind {
	/* to the guard */
	KON_GUARD_ARM,    /* first_ms: TERM at, second_ms: KILL at; both 0 disarm */
	KON_GUARD_STOP,   /* first_ms: grace */
	KON_GUARD_SIGNAL, /* number: signal for the child's group */
	/* from the guard */
	KON_GUARD_STARTED, /* number: pid */
	KON_GUARD_FAILED,  /* number: errno, step: enum kon_child_step */
	KON_GUARD_STOPPED, /* number: signal */
	KON_GUARD_KILLING, /* at_us: when */
	KON_GUARD_EXITED,  /* number: wait status, step: enum kon_proc_end */
	KON_GUARD_GONE     /* no descendant is left and keep_fd is closed; at_us: since when */
};

struct kon_guard_msg {
	int32_t kind;
	int32_t number;
	int32_t step;
	int32_t fill; /* always 0: a hole would carry what lay on the stack */
	int64_t first_ms;
	int64_t second_ms;
	int64_t at_us; /* boot clock */
};

/* The earlier of two moments, of which 0 is none. */
static inline int64_t kon_earlier_ms(int64_t a_ms, int64_t b_ms)
{
	if (a_ms == 0 || b_ms == 0)
		return a_ms + b_ms;
	return a_ms < b_ms ? a_ms : b_ms;
}

/* What konductor prepares before the fork; the guard reads its own copy of the memory. */
struct kon_guard_plan {
	const struct kon_proc_spec *spec;
	int sock;             /* the guard's end */
	pid_t home;           /* konductor's process group: the terminal's owner while no child has it */
	const sigset_t *mask; /* to give back to the child: as konductor was started with */
	const sigset_t *ignored;
	const char **shell_argv; /* room for two more words than spec->argv and its NULL */
	char *path;              /* room for an element of PATH, a slash and argv[0] */
};

/* The rest of the guard's life.  All signals must be blocked. */
_Noreturn void kon_guard_run(const struct kon_guard_plan *plan);

#endif
