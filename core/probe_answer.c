#include "probe_answer.h"

#include <stdio.h>
#include <string.h>

#include "probe.h"

struct answer {
	unsigned status;
	const char *type;
	const char *body;
	const char *allow; /* NULL: no Allow header */
};

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

static enum MHD_Result add_headers(struct MHD_Response *response, const struct answer *answer)
{
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type) != MHD_YES ||
	    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") != MHD_YES ||
	    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") != MHD_YES)
		return MHD_NO;
	if (answer->allow != NULL)
		return MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
	return MHD_YES;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, const struct answer *answer)
{
	/* Copied: the buffers of our callers end before the answer is written. */
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(answer->body), (void *)answer->body, MHD_RESPMEM_MUST_COPY);
	if (response == NULL)
		return MHD_NO;
	enum MHD_Result result = add_headers(response, answer);
	if (result == MHD_YES)
		result = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *body)
{
	return send_answer(connection, &(struct answer){.status = status, .type = TEXT, .body = body});
}

static enum MHD_Result get_livez(struct kon_probe_state *state, struct MHD_Connection *connection)
{
	char body[96];
	int64_t busy_ms = state->busy_ms == NULL ? 0 : state->busy_ms(state->busy_data);
	if (busy_ms <= state->busy_limit_ms)
		return answer_text(connection, MHD_HTTP_OK, "ok\n");
	snprintf(body, sizeof(body), "stuck: one step has not returned for %lld ms\n", (long long)busy_ms);
	return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, body);
}

static enum MHD_Result get_readyz(struct kon_probe_state *state, struct MHD_Connection *connection)
{
	unsigned flags = atomic_load(&state->flags);
	const char *why = NULL;
	if (flags & KON_PROBE_STOPPING)
		why = "stopping\n";
	else if (!(flags & KON_PROBE_INIT_DONE))
		why = "init is not done\n";
	else if ((flags & KON_PROBE_STANDBY) && !(flags & KON_PROBE_STANDBY_READY))
		why = "standby, which this script does not count as ready\n";
	if (why != NULL)
		return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, why);
	return answer_text(connection, MHD_HTTP_OK, "ok\n");
}

static enum MHD_Result get_leaderz(struct kon_probe_state *state, struct MHD_Connection *connection)
{
	if (atomic_load(&state->flags) & KON_PROBE_LEADER)
		return answer_text(connection, MHD_HTTP_OK, "leader\n");
	return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not leader\n");
}

static enum MHD_Result get_metrics(struct kon_probe_state *state, struct MHD_Connection *connection)
{
	pthread_mutex_lock(&state->metrics_lock);
	struct answer answer = {MHD_HTTP_OK, PROMETHEUS, state->metrics == NULL ? "" : state->metrics, NULL};
	enum MHD_Result result = send_answer(connection, &answer);
	pthread_mutex_unlock(&state->metrics_lock);
	return result;
}

/* As just-one-init answers, so that its manifests and their probes work unchanged. */
static enum MHD_Result get_healthcheck(struct kon_probe_state *state, struct MHD_Connection *connection)
{
	unsigned flags = atomic_load(&state->flags);
	struct answer answer = {MHD_HTTP_NOT_FOUND, JSON, "{\"status\":\"ok\",\"state\":\"BecameFollower\"}", NULL};
	if (flags & KON_PROBE_STOPPING) {
		answer.status = MHD_HTTP_SERVICE_UNAVAILABLE;
		answer.body = "{\"status\":\"error\",\"state\":\"BeganShutdown\"}";
	} else if (flags & KON_PROBE_LEADER) {
		answer.status = MHD_HTTP_OK;
		answer.body = "{\"status\":\"ok\",\"state\":\"BecameLeader\"}";
	}
	return send_answer(connection, &answer);
}

static const struct {
	const char *path;
	enum MHD_Result (*get)(struct kon_probe_state *state, struct MHD_Connection *connection);
} routes[] = {
	{"/livez", get_livez},     {"/readyz", get_readyz}, {"/leaderz", get_leaderz},
	{"/metrics", get_metrics}, {"/", get_healthcheck},  {"/healthcheck", get_healthcheck},
};

enum MHD_Result kon_probe_answer(void *state, struct MHD_Connection *connection, const char *path, const char *method,
                                 const char *version, const char *body, size_t *body_size, void **context)
{
	(void)version;
	(void)body;
	(void)body_size;
	(void)context;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return send_answer(connection, &(struct answer){MHD_HTTP_METHOD_NOT_ALLOWED, JSON,
		                                                "{\"error\":\"only GET and HEAD\"}", "GET, HEAD"});
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (strcmp(path, routes[i].path) == 0)
			return routes[i].get(state, connection);
	return send_answer(connection, &(struct answer){MHD_HTTP_NOT_FOUND, JSON,
	                                                "{\"error\":\"no such path\",\"paths\":[\"/livez\",\"/readyz\","
	                                                "\"/leaderz\",\"/metrics\",\"/\",\"/healthcheck\"]}",
	                                                NULL});
}
