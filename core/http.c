#include "http.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "http_impl.h"

/* ---- what is told, and when ---- */

static void tell_soon(struct kon_http_call *call)
{
	if (call->queued)
		return;
	call->queued = true;
	TAILQ_INSERT_TAIL(&call->http->ready, call, ready);
}

static void leave_queue(struct kon_http_call *call)
{
	if (call->queued)
		TAILQ_REMOVE(&call->http->ready, call, ready);
	call->queued = false;
}

static void call_free(struct kon_http_call *call)
{
	if (call->easy != NULL)
		curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->connect_to);
	kon_buf_done(&call->in);
	free(call->content_type);
	free(call->place);
	free(call);
}

static void detach(struct kon_http_call *call)
{
	kon_http_lane_remove(call);
	kon_timer_stop(call->http->loop, &call->timer);
	leave_queue(call);
	TAILQ_REMOVE(&call->http->calls, call, link);
}

/* The bytes are taken out of the call first: piece may cancel it. */
static void hand_piece(struct kon_http_call *call)
{
	struct kon_buf piece = call->in;
	kon_buf_init(&call->in, piece.cap);
	call->piece(call->data, piece.data, piece.size);
	kon_buf_done(&piece);
}

static void hand_end(struct kon_http_call *call)
{
	detach(call);
	call->telling = true;
	call->answer.content_type = call->content_type != NULL ? call->content_type : "";
	call->answer.body = call->in.data != NULL ? call->in.data : "";
	call->answer.size = call->in.size;
	call->done(call->data, &call->answer);
	call_free(call);
}

void kon_http_deliver(struct kon_http *http)
{
	http->delivering = true;
	while (!TAILQ_EMPTY(&http->ready)) {
		struct kon_http_call *call = TAILQ_FIRST(&http->ready);
		leave_queue(call);
		http->told = call;
		if (call->streaming && call->in.size > 0)
			hand_piece(call);
		if (http->told != NULL && call->ended)
			hand_end(call);
	}
	http->told = NULL;
	http->delivering = false;
	if (http->gone)
		free(http);
}

/* ---- the end of a call ---- */

static int64_t whole_seconds_ms(const char *text)
{
	char *end;
	if (*text < '0' || *text > '9')
		return -1;
	unsigned long long seconds = strtoull(text, &end, 10);
	return *end != '\0' || seconds > INT32_MAX ? -1 : (int64_t)seconds * 1000;
}

static const char *header_of(struct kon_http_call *call, const char *name)
{
	struct curl_header *header = NULL;
	if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return "";
	return header->value;
}

/* What is known of the answer, also when its end is missing. */
static void read_head(struct kon_http_call *call)
{
	struct kon_http_answer *answer = &call->answer;
	long status = 0;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	answer->status = (int)status;
	const char *date = header_of(call, "Date");
	time_t at = *date != '\0' ? curl_getdate(date, NULL) : -1;
	answer->date_s = at > 0 ? at : 0;
	answer->retry_after_ms = whole_seconds_ms(header_of(call, "Retry-After"));
	call->content_type = strdup(header_of(call, "Content-Type"));
}

/* Whatever is left of it in libcurl goes now. */
static void finish(struct kon_http_call *call)
{
	read_head(call);
	kon_http_lane_remove(call);
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	kon_timer_stop(call->http->loop, &call->timer);
	call->ended = true;
	tell_soon(call);
}

void kon_http_ended(struct kon_http_call *call, CURLcode result)
{
	if (result != CURLE_OK)
		kon_http_explain(call, result);
	finish(call);
}

/* A connection that let a call wait too long may be dead: no new calls over it. */
static void end_late(struct kon_http_call *call)
{
	struct kon_http *http = call->http;
	kon_http_explain_late(call);
	kon_http_lane_retire(call->lane);
	finish(call);
	kon_http_lanes_sweep(http, false);
	kon_http_deliver(http);
}

static void on_deadline(struct kon_timer *timer, void *data)
{
	struct kon_http_call *call = data;
	struct kon_http *http = call->http;
	if (call->ended) { /* it failed within kon_http_start() */
		tell_soon(call);
		kon_http_deliver(http);
		return;
	}
	int64_t now_ms = kon_clock_boot_ms();
	int64_t at_ms = call->streaming ? call->heard_ms + call->idle_ms : now_ms;
	if (at_ms > now_ms) {
		call->due = false;
		kon_timer_start(http->loop, timer, at_ms);
	} else if (!call->due) {
		/* This process may have been stopped, and the answer waits in the kernel: it is read in this turn. */
		call->due = true;
		kon_timer_start(http->loop, timer, now_ms);
	} else {
		end_late(call);
	}
}

/* ---- callbacks of libcurl: they only note ---- */

static int on_prereq(void *data, char *to, char *from, int to_port, int from_port)
{
	(void)to;
	(void)from;
	(void)to_port;
	(void)from_port;
	struct kon_http_call *call = data;
	call->sent = true;
	return CURL_PREREQFUNC_OK;
}

static void on_head(struct kon_http_call *call)
{
	long status = 0;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		return;
	kon_http_lane_answered(call->lane);
	if (call->piece == NULL || status != 200 || call->streaming)
		return;
	call->streaming = true;
	call->due = false;
	kon_buf_done(&call->in);
	kon_buf_init(&call->in, SIZE_MAX / 2); /* emptied after each turn */
	call->heard_ms = kon_clock_boot_ms();
	if (call->idle_ms > 0)
		kon_timer_start(call->http->loop, &call->timer, call->heard_ms + call->idle_ms);
	else
		kon_timer_stop(call->http->loop, &call->timer);
}

static size_t on_header(char *line, size_t one, size_t size, void *data)
{
	(void)one;
	if (size > 0 && (line[0] == '\r' || line[0] == '\n'))
		on_head(data);
	return size;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data)
{
	(void)one;
	struct kon_http_call *call = data;
	if (!kon_buf_add(&call->in, bytes, size)) {
		call->too_big = size > call->in.cap - call->in.size;
		call->no_memory = !call->too_big;
		return CURL_WRITEFUNC_ERROR;
	}
	if (call->streaming) {
		call->heard_ms = kon_clock_boot_ms();
		tell_soon(call);
	}
	return size;
}

/* ---- the calls ---- */

static int take_callbacks(struct kon_http_call *call, struct kon_err *err)
{
	CURL *easy = call->easy;
	if (curl_easy_setopt(easy, CURLOPT_PRIVATE, call) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prereq) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) != CURLE_OK)
		return kon_err_set(err, KON_SYSTEM, "this libcurl lacks callbacks that are needed");
	return 0;
}

static int begin(struct kon_http_call *call, const struct kon_http_request *request, struct kon_err *err)
{
	int code = kon_http_setup_call(call, request, err);
	if (code == 0)
		code = take_callbacks(call, err);
	if (code != 0)
		return code;
	struct kon_http_lane *lane = kon_http_lane_for(call->http, request->fresh);
	if (lane == NULL || !kon_http_lane_add(lane, call))
		return kon_err_set(err, KON_STORE, "%s: out of memory", call->place);
	return 0;
}

struct kon_http_call *kon_http_start(struct kon_http *http, const struct kon_http_request *request)
{
	struct kon_http_call *call = calloc(1, sizeof(*call));
	if (call == NULL)
		abort(); /* as for a timer: a request that cannot be counted cannot be ended either */
	call->http = http;
	call->piece = request->piece;
	call->done = request->done;
	call->data = request->data;
	call->timeout_ms = request->timeout_ms;
	call->idle_ms = request->idle_ms;
	call->answer.retry_after_ms = -1;
	call->timer = (struct kon_timer){.fire = on_deadline, .data = call};
	kon_buf_init(&call->in, request->max_bytes);
	TAILQ_INSERT_TAIL(&http->calls, call, link);

	int64_t now_ms = kon_clock_boot_ms();
	call->answer.code = begin(call, request, &call->answer.err);
	call->ended = call->answer.code != 0;
	kon_timer_start(http->loop, &call->timer, call->ended ? now_ms : kon_clock_add(now_ms, request->timeout_ms));
	return call;
}

static void drop(struct kon_http_call *call)
{
	if (call->http->told == call)
		call->http->told = NULL;
	detach(call);
	call_free(call);
}

void kon_http_cancel(struct kon_http_call *call)
{
	if (call == NULL || call->telling)
		return;
	struct kon_http *http = call->http;
	drop(call);
	kon_http_lanes_sweep(http, false);
}

/* ---- the client ---- */

int kon_http_new(struct kon_http **out, struct kon_loop *loop, const struct kon_http_options *options,
                 struct kon_err *err)
{
	kon_http_tls_begin();
	/* Counted by libcurl; the first time it costs some milliseconds, which only those pay who come here. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return kon_err_set(err, KON_SYSTEM, "libcurl does not start");
	struct kon_http *http = calloc(1, sizeof(*http));
	if (http == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	http->loop = loop;
	LIST_INIT(&http->lanes);
	TAILQ_INIT(&http->calls);
	TAILQ_INIT(&http->ready);
	int code = kon_http_setup(http, options, err);
	if (code != 0) {
		kon_http_free(http);
		return code;
	}
	*out = http;
	return 0;
}

static void secret_free(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void kon_http_free(struct kon_http *http)
{
	if (http == NULL)
		return;
	while (!TAILQ_EMPTY(&http->calls))
		drop(TAILQ_FIRST(&http->calls));
	kon_http_lanes_sweep(http, true);
	curl_share_cleanup(http->share);
	free(http->origin);
	free(http->ca_pem);
	free(http->cert_pem);
	secret_free(http->key_pem);
	free(http->tls_server_name);
	free(http->proxy);
	secret_free(http->proxy_user);
	secret_free(http->proxy_password);
	http->gone = true;
	if (!http->delivering)
		free(http);
}

static int copy_pair(const char *cert_pem, const char *key_pem, char **cert, char **key, struct kon_err *err)
{
	*cert = *key = NULL;
	if ((cert_pem == NULL) != (key_pem == NULL))
		return kon_err_set(err, KON_CONFIG, "a client certificate needs its key, and a key its certificate");
	if (cert_pem == NULL)
		return 0;
	*cert = strdup(cert_pem);
	*key = strdup(key_pem);
	if (*cert == NULL || *key == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	return 0;
}

int kon_http_identity(struct kon_http *http, const char *cert_pem, const char *key_pem, struct kon_err *err)
{
	char *cert;
	char *key;
	int code = copy_pair(cert_pem, key_pem, &cert, &key, err);
	if (code != 0) {
		free(cert);
		secret_free(key);
		return code;
	}
	free(http->cert_pem);
	secret_free(http->key_pem);
	http->cert_pem = cert;
	http->key_pem = key;
	if (http->lane != NULL)
		kon_http_lane_retire(http->lane);
	kon_http_lanes_sweep(http, false);
	return 0;
}
