/*
 * What goes through the pipe of a bell: "WORD\n", or "WORD SIZE\nNEWS" with SIZE bytes of news.
 *
 * One write is one line: of so few bytes, a pipe takes all or nothing.
 */
#ifndef KON_BELL_LINE_H
#define KON_BELL_LINE_H

#include <stdbool.h>

#include "bell.h"

/* Into a pipe that does not block: with the news if they are short enough.  False when it has no room for them. */
bool kon_bell_line_put(int fd, const struct kon_ring *ring);

/* Takes the ring that begins at *at, which it borrows and writes NULs into; false when there is none that is whole.
 * Its word is NULL where no process of ours wrote the line: then nothing behind it is read. */
bool kon_bell_line_next(char **at, char *end, struct kon_ring *out);

#endif
