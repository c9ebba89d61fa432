/* What the probe endpoint answers: the state behind it, and libmicrohttpd's handler. */
#ifndef KON_PROBE_ANSWER_H
#define KON_PROBE_ANSWER_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Written by the main thread, read by the probe's. */
struct kon_probe_state {
	atomic_uint flags;              /* enum kon_probe_flag */
	int64_t (*busy_ms)(void *data); /* NULL: never busy */
	void *busy_data;
	int64_t busy_limit_ms;
	pthread_mutex_t metrics_lock;
	char *metrics; /* owned, under metrics_lock; NULL: none yet */
};

/* An MHD_AccessHandlerCallback whose first argument is the struct kon_probe_state. */
enum MHD_Result kon_probe_answer(void *state, struct MHD_Connection *connection, const char *path, const char *method,
                                 const char *version, const char *body, size_t *body_size, void **context);

#endif
