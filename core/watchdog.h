/*
 * Ends the process when one turn of the loop lasts too long: a policy that loops for
 * ever, or a call that blocks.  The guards then kill what was running, because their
 * sockets end.  A process that was stopped during the turn gets a tenth of the limit
 * more.  A POSIX timer sends a signal, so no thread and no wake-up when idle.
 */
#ifndef KON_WATCHDOG_H
#define KON_WATCHDOG_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "err.h"

struct kon_watchdog {
	_Atomic int64_t since_ms; /* boot clock; 0 while the loop waits */
	int64_t limit_ms;
	timer_t timer;
};

/* One a process: the handler of the signal is process-wide.  limit_ms > 0. */
int kon_watchdog_init(struct kon_watchdog *dog, int64_t limit_ms, struct kon_err *err);
void kon_watchdog_done(struct kon_watchdog *dog);

void kon_watchdog_enter(struct kon_watchdog *dog);
void kon_watchdog_leave(struct kon_watchdog *dog);

/* How long the present turn has lasted, 0 when waiting.  May be called from any thread. */
int64_t kon_watchdog_busy_ms(const struct kon_watchdog *dog);

#endif
