/*
 * One supervised command: konductor -> guard -> child.
 *
 * The guard is a process forked from this one that runs no Lua and allocates nothing.
 * It is the subreaper of everything the command starts, owns the deadman (an absolute
 * timerfd on the boot clock), and keeps the descriptors in keep_fd open until the last
 * descendant is gone, so that whoever watches them (the liveness socket of a one-machine
 * store) learns of the end of the whole tree, not of the first process of it.
 *
 * The guard kills the tree when the deadline passes, or at once when its socket to
 * konductor ends, however konductor ended.  A stopped konductor cannot move the deadline.
 * A guard that is stopped itself is continued from here when it is overdue, and killed,
 * with what it guards, when it does not answer then.
 *
 * All callbacks run on the loop.  Order for one command: either failed, then gone; or
 * started, [stopped...], exited, gone; or, if the guard is killed at the very start, exited, gone.  failed means that
 * the command never ran.  After gone nothing more is called.
 */
#ifndef KON_PROC_H
#define KON_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "loop.h"

struct kon_proc;

/*
 * Remembers mask and ignored signals as this process was started with; every child gets them back.  Called first
 * in main.  Without it children start with nothing blocked and nothing ignored.
 */
void kon_proc_save_signals(void);

/*
 * Reaps, from now on, whatever falls to this process (PID 1, subreaper) though no command runs.  While commands
 * run that happens anyway (reaper.h).
 */
void kon_proc_reap_strays(struct kon_loop *loop, bool on);

enum { KON_PROC_KEEP = 8 };

struct kon_proc_spec {
	const char *const *argv; /* NULL-terminated, argv[0] searched in PATH of envp as execvp does */
	const char *const *envp; /* NULL-terminated, complete */
	const char *cwd;         /* NULL: stay */
	int fd[3];               /* descriptors for stdin, stdout, stderr; -1 inherits ours, which must be open */
	const int *keep_fd;      /* borrowed during the call; the guard holds duplicates */
	int keep_count;          /* <= KON_PROC_KEEP */
	int64_t term_at_ms;      /* boot clock; 0 = no deadman.  TERM to the tree then, */
	int64_t kill_at_ms;      /* KILL then.  term_at_ms <= kill_at_ms */
	bool foreground;         /* hand the controlling terminal to the child's group */
};

enum kon_proc_end {
	KON_PROC_OWN,     /* the command ended by itself or by a signal that somebody sent */
	KON_PROC_STOPPED, /* ended after kon_proc_stop */
	KON_PROC_DEADMAN  /* ended after the deadline */
};

struct kon_proc_events {
	void (*started)(void *data, pid_t pid);
	/* Nothing ran: code is KON_NOT_FOUND, KON_NOT_EXECUTABLE, KON_SYSTEM, or KON_LOST when the deadline passed before
	 * the fork. */
	void (*failed)(void *data, const struct kon_err *err);
	/*
	 * The child was stopped by a signal.  If the terminal stopped a foreground child, konductor's own group is
	 * stopped after this call, as the user's shell expects, and continues the child when it is continued.
	 */
	void (*stopped)(void *data, int signal);
	/* the first process ended; status as waitpid gives it; descendants may still live */
	void (*exited)(void *data, int status, enum kon_proc_end end);
	/*
	 * No descendant is left.  When the guard itself was killed the rest is killed and reaped from here; sure is
	 * false if that cannot be confirmed (memory or descriptors have run out): do not release then.
	 */
	void (*gone)(void *data, bool sure);
};

/* Forks the guard.  Borrows spec during the call.  Errors: KON_SYSTEM (fork, socketpair, descriptors),
 * KON_LOST (kill_at_ms has already passed: never start with the base past). */
int kon_proc_start(struct kon_loop *loop, const struct kon_proc_spec *spec, const struct kon_proc_events *events,
                   void *data, struct kon_proc **out, struct kon_err *err);

/* Moves the deadman; both 0 disarms it. */
void kon_proc_arm(struct kon_proc *proc, int64_t term_at_ms, int64_t kill_at_ms);

/* Forwards a signal to the child's process group. */
void kon_proc_signal(struct kon_proc *proc, int signal);

/* TERM (and CONT) to the whole tree now, KILL after grace_ms >= 0.  Again may only shorten the grace; 0 kills now. */
void kon_proc_stop(struct kon_proc *proc, int64_t grace_ms);

pid_t kon_proc_pid(const struct kon_proc *proc); /* 0 before started */

/* When the guard sent its first KILL, in microseconds on the boot clock; 0 if it has not.  For measurements. */
int64_t kon_proc_killed_us(const struct kon_proc *proc);

/* In gone: since when no descendant was left, in microseconds on the boot clock.  gone comes later than that if this
 * process was stopped meanwhile. */
int64_t kon_proc_ended_us(const struct kon_proc *proc);

/*
 * In gone or after it.  Before it (but never inside another event): the guard sees its socket end and kills the
 * tree, and no event is called.  NULL is fine.
 */
void kon_proc_free(struct kon_proc *proc);

#endif
