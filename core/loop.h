/*
 * The event loop: libev for descriptors and signals, and timers on the boot clock.
 *
 * libev's own timers run on CLOCK_MONOTONIC, which stands still during suspend, so
 * timers here are a heap behind one timerfd on CLOCK_BOOTTIME.  Timers that are due
 * together fire in the order in which they were started.  Nothing wakes an idle loop.
 */
#ifndef KON_LOOP_H
#define KON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct ev_loop;
struct kon_loop;

/* Embedded in its owner; zero-initialised means stopped.  fire runs on the loop, never re-entrantly. */
struct kon_timer {
	int64_t at_ms;  /* boot clock */
	uint64_t order; /* start order, breaks ties */
	int32_t slot;   /* place in the heap + 1; 0 when not armed */
	void (*fire)(struct kon_timer *timer, void *data);
	void *data;
};

int kon_loop_new(struct kon_loop **out, struct kon_err *err);
void kon_loop_free(struct kon_loop *loop); /* NULL is fine; every timer must be stopped */

/* For modules that watch descriptors with ev_io directly. */
struct ev_loop *kon_loop_ev(struct kon_loop *loop);

/* Arms or re-arms.  at_ms in the past fires on the next turn, not inside this call. */
void kon_timer_start(struct kon_loop *loop, struct kon_timer *timer, int64_t at_ms);
void kon_timer_stop(struct kon_loop *loop, struct kon_timer *timer); /* fine when not armed */
bool kon_timer_armed(const struct kon_timer *timer);

/* Called after each batch of events: the one place that drains the ready queue (task.c). */
void kon_loop_on_turn(struct kon_loop *loop, void (*turn)(void *data), void *data);

/* Asks for one more turn without waiting for an event: the queue was filled from outside a callback. */
void kon_loop_wake(struct kon_loop *loop);

void kon_loop_run(struct kon_loop *loop); /* until kon_loop_stop */
void kon_loop_stop(struct kon_loop *loop);

/* How often the loop has woken since it was made: the measure of idleness. */
uint64_t kon_loop_turns(const struct kon_loop *loop);

#endif
