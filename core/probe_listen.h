/* The address of the probe endpoint: text to listening socket. Numeric only, so nothing is resolved. */
#ifndef KON_PROBE_LISTEN_H
#define KON_PROBE_LISTEN_H

#include "err.h"

/*
 * Opens a socket (non-blocking, close-on-exec) that listens on "A.B.C.D:PORT", "[IPV6]:PORT" or ":PORT".  "[::]" takes
 * IPv4 too, and is 0.0.0.0 where the host has no IPv6.  Returns the descriptor, which the caller owns, and fills port;
 * KON_USAGE when the text is wrong, KON_CONFIG when the address cannot be used, KON_EXISTS when it is taken.
 */
int kon_probe_listen(const char *text, int *port, struct kon_err *err);

#endif
