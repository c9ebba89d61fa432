/*
 * The probe endpoint: a few GETs answered by a thread of its own, so that the kubelet
 * gets its answer while a policy hangs, and from before the script is loaded.
 *
 *   /livez                200, or 503 when one step of the main thread lasts too long
 *   /readyz               200 once init is done (standby counts unless told otherwise)
 *   /leaderz              200 only while holding
 *   /metrics              the text that kon_probe_metrics was given last
 *   / and /healthcheck    200 leader, 404 follower, 503 stopping, as just-one-init answers
 *
 * Hostile clients: each connection has 5 s from accept, whatever it drips; 64 at once, and
 * when all places are taken the newcomer gets that of the oldest; those who say nothing take
 * none; 8 KiB of memory for each; one answer a connection.  Nothing wakes the thread while
 * nobody is connected.
 *
 * All functions take a NULL probe as "switched off" and then do nothing.  The setters may
 * be called from any thread and never wait for a client.
 */
#ifndef KON_PROBE_H
#define KON_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define KON_PROBE_LISTEN "[::]:5047"

enum kon_probe_flag {
	KON_PROBE_INIT_DONE = 1,     /* the stages before the main work are done */
	KON_PROBE_STANDBY = 2,       /* waiting for a hold that another has */
	KON_PROBE_STANDBY_READY = 4, /* standby counts as ready; on from the start */
	KON_PROBE_LEADER = 8,        /* holding */
	KON_PROBE_STOPPING = 16,     /* on the way out */
};

struct kon_probe_options {
	/* ADDRESS:PORT, numeric, [] around IPv6; ":PORT" is every address; port 0 takes a free one */
	const char *listen;
	bool explicit_listen; /* the user asked for this address: its being taken is an error, see below */
	/* How long the main thread's present step has lasted; called from any thread.  NULL: never busy. */
	int64_t (*busy_ms)(void *data);
	void *busy_data;
	int64_t busy_limit_ms; /* /livez fails beyond it; 0 takes 5000 */
	int64_t connection_ms; /* a connection's time, from accept to the end of the answer; 0 takes 5000 */
};

struct kon_probe;

/*
 * Listens and starts the thread.  Fails with KON_USAGE when listen is no address, with KON_CONFIG when it is taken or
 * may not be used; then *out is NULL.  The one exception: an address that nobody asked for explicitly and that is taken
 * returns 0 with *out NULL and err->code KON_CONFIG, so that several konductors on one machine need no options; err is
 * to be shown.
 */
int kon_probe_start(struct kon_probe **out, const struct kon_probe_options *options, struct kon_err *err);

/* Stops answering, closes every connection and frees. */
void kon_probe_free(struct kon_probe *probe);

/* The port that is listened on, which differs from the asked one when that was 0. */
int kon_probe_port(const struct kon_probe *probe);

void kon_probe_set(struct kon_probe *probe, enum kon_probe_flag flag, bool on);

/* Replaces the text behind /metrics, Prometheus format 0.0.4; copied.  Keeps the old one when memory is short. */
void kon_probe_metrics(struct kon_probe *probe, const char *text);

#endif
