/* The other end of the probe endpoint, for exec probes in images without curl.  Waits: for the CLI only. */
#ifndef KON_PROBE_CLIENT_H
#define KON_PROBE_CLIENT_H

#include "err.h"

/*
 * GETs url (http only, no proxy, no redirects) and throws the body away; blocks, for timeout_ms > 0 at most.  Returns 0
 * and fills http_status when there was an answer, whatever it says; KON_TIMEOUT, KON_CONFIG (no such url) or KON_SYSTEM
 * (nobody answers) otherwise.
 */
int kon_probe_get(const char *url, long timeout_ms, int *http_status, struct kon_err *err);

#endif
