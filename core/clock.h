/*
 * Two clocks.  Every decision uses the boot clock, which also counts suspend;
 * the wall clock is for people only.
 */
#ifndef KON_CLOCK_H
#define KON_CLOCK_H

#include <stdint.h>

/* Milliseconds on CLOCK_BOOTTIME.  INT64_MAX if the kernel refuses: "every deadline has passed" is the safe reading of
 * a broken clock. */
int64_t kon_clock_boot_ms(void);

/* The same in microseconds, for measurements and the event log. */
int64_t kon_clock_boot_us(void);

/* The moment by_ms >= 0 after at_ms, at most the end of time. */
static inline int64_t kon_clock_add(int64_t at_ms, int64_t by_ms)
{
	return at_ms < INT64_MAX - by_ms ? at_ms + by_ms : INT64_MAX;
}

/* RFC 3339 in UTC with microseconds, "2026-01-02T03:04:05.678901Z".  size >= 28. */
void kon_clock_wall(char *out, int size);

/* Milliseconds since the epoch by the wall clock, for people and for records kept over a reboot. */
int64_t kon_clock_wall_ms(void);

#endif
