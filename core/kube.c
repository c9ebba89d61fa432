#include "kube.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "kube_token.h"

#define PATIENCE_MS 1000      /* of a server that does not say how long */
#define PATIENCE_MAX_MS 10000 /* of a server that says a time that nobody can mean */
#define RANK_MS 50            /* between two ranks when it is over */

/* Where a call is. */
enum place { SENT, AT_GATE, AT_DOOR };

struct kon_kube_call {
	struct kon_kube *kube;
	struct kon_kube_call *next;
	struct kon_kube_call **link;
	struct kon_kube_request request; /* its texts are ours */
	char *url;
	char *type_header;
	struct kon_http_call *http; /* NULL unless SENT */
	struct kon_timer deadline;  /* armed unless SENT */
	int64_t give_up_at_ms;
	uint64_t era; /* of the credentials it was sent with */
	enum place place;
	bool again;  /* sent again with other credentials */
	bool resent; /* sent again because its connection broke */
};

struct kon_kube {
	struct kon_loop *loop;
	struct kon_http *http;
	struct kon_kube_token token;
	char *server;
	void (*refused)(void *data);
	void *data;
	struct kon_kube_call *first; /* in order of their start */
	struct kon_kube_call **last;
	struct kon_timer gate;        /* armed while the server has asked for patience */
	enum kon_kube_rank gate_rank; /* that goes next when it opens */
	uint64_t era;                 /* grows with each change of credentials */
	bool asked;                   /* for other credentials */
	bool fresh;                   /* the connection there is may be dead */
	char no_others[300];          /* why there are no other credentials */
};

int64_t kon_kube_jitter(int64_t ms)
{
	uint32_t bits = 0;
	if (ms <= 0 || getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
		return 0;
	return (int64_t)(bits % ((uint64_t)ms + 1));
}

/* ---- one call ---- */

static void free_call(struct kon_kube_call *call)
{
	kon_timer_stop(call->kube->loop, &call->deadline);
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	else
		call->kube->last = call->link;
	free((char *)call->request.method);
	free((char *)call->request.body);
	free(call->type_header);
	free(call->url);
	free(call);
}

static void finish(struct kon_kube_call *call, const struct kon_http_answer *answer)
{
	void (*done)(void *, const struct kon_http_answer *) = call->request.done;
	void *data = call->request.data;
	free_call(call);
	done(data, answer);
}

static void fail(struct kon_kube_call *call, int code, const char *sentence, const char *more)
{
	struct kon_http_answer answer = {.code = code, .retry_after_ms = -1, .content_type = "", .body = ""};
	kon_err_set(&answer.err, code, "%s%s", sentence, more);
	finish(call, &answer);
}

static void on_deadline(struct kon_timer *timer, void *data)
{
	struct kon_kube_call *call = data;
	const char *why = call->kube->no_others;
	(void)timer;
	if (call->place == AT_GATE)
		fail(call, KON_BUSY, "the API server asks to come back later than we can wait", "");
	else
		fail(call, KON_DENIED,
		     "the API server does not accept our credentials (401 Unauthorized), and there are no new ones: ",
		     why[0] != '\0' ? why : "none came in time");
}

static void wait_at(struct kon_kube_call *call, enum place place)
{
	call->place = place;
	call->http = NULL;
	kon_timer_start(call->kube->loop, &call->deadline, call->give_up_at_ms);
}

static void on_answer(void *data, const struct kon_http_answer *answer);

static void on_piece(void *data, const char *bytes, size_t size)
{
	struct kon_kube_call *call = data;
	call->request.piece(call->request.data, bytes, size);
}

static void send_call(struct kon_kube_call *call)
{
	struct kon_kube *kube = call->kube;
	int64_t now_ms = kon_clock_boot_ms();
	const char *headers[4] = {"Accept: application/json"};
	int count = 1;
	const char *token = kon_kube_token_header(&kube->token, now_ms);
	if (token != NULL)
		headers[count++] = token;
	if (call->type_header != NULL)
		headers[count++] = call->type_header;
	struct kon_http_request request = {
		.method = call->request.method,
		.url = call->url,
		.headers = headers,
		.body = call->request.body,
		.size = call->request.size,
		.timeout_ms = call->give_up_at_ms > now_ms ? call->give_up_at_ms - now_ms : 1,
		.idle_ms = call->request.idle_ms,
		.max_bytes = call->request.max_bytes,
		.fresh = kube->fresh || call->again || call->request.fresh,
		.piece = call->request.piece != NULL ? on_piece : NULL,
		.done = on_answer,
		.data = call,
	};
	kon_timer_stop(kube->loop, &call->deadline);
	call->place = SENT;
	call->era = kube->era;
	call->http = kon_http_start(kube->http, &request);
}

/* ---- patience ---- */

static bool send_rank(struct kon_kube *kube, enum place place, enum kon_kube_rank rank)
{
	bool any = false;
	for (struct kon_kube_call *call = kube->first; call != NULL; call = call->next) {
		if (call->place == place && call->request.rank == rank) {
			send_call(call);
			any = true;
		}
	}
	return any;
}

static void send_all(struct kon_kube *kube, enum place place)
{
	for (enum kon_kube_rank rank = KON_KUBE_FIRST; rank <= KON_KUBE_LAST; rank++)
		send_rank(kube, place, rank);
}

/* Opens by one rank after the other: they go over several connections, where order is not kept. */
static void on_gate(struct kon_timer *timer, void *data)
{
	struct kon_kube *kube = data;
	while (kube->gate_rank < KON_KUBE_LAST) {
		bool any = send_rank(kube, AT_GATE, kube->gate_rank++);
		if (any) {
			kon_timer_start(kube->loop, timer, kon_clock_boot_ms() + RANK_MS);
			return;
		}
	}
	kube->gate_rank = KON_KUBE_FIRST;
	send_all(kube, AT_GATE);
}

static void close_gate(struct kon_kube_call *call, int64_t retry_after_ms)
{
	struct kon_kube *kube = call->kube;
	kube->gate_rank = KON_KUBE_FIRST;
	int64_t ms = retry_after_ms >= 0 ? retry_after_ms : PATIENCE_MS;
	if (ms > PATIENCE_MAX_MS)
		ms = PATIENCE_MAX_MS;
	int64_t at_ms = kon_clock_boot_ms() + ms + kon_kube_jitter(ms / 4 + 100);
	if (!kon_timer_armed(&kube->gate) || kube->gate.at_ms < at_ms)
		kon_timer_start(kube->loop, &kube->gate, at_ms);
	wait_at(call, AT_GATE);
}

/* ---- credentials ---- */

/* True when the call goes on; it is sent a second time at most. */
static bool renew_credentials(struct kon_kube_call *call)
{
	struct kon_kube *kube = call->kube;
	struct kon_err err;
	if (call->again)
		return false;
	call->again = true;
	if (call->era != kube->era) {
		send_call(call);
		return true;
	}
	if (kube->token.file != NULL) {
		if (kon_kube_token_reread(&kube->token, kon_clock_boot_ms(), &err) != 0)
			return false;
		kube->era++;
		send_call(call);
		return true;
	}
	if (kube->refused == NULL)
		return false;
	wait_at(call, AT_DOOR);
	if (!kube->asked) {
		kube->asked = true;
		kube->refused(kube->data);
	}
	return true;
}

int kon_kube_credentials(struct kon_kube *kube, const char *token, const char *cert_pem, const char *key_pem,
                         struct kon_err *err)
{
	int code = token != NULL ? kon_kube_token_set(&kube->token, token, err) : 0;
	if (code == 0 && cert_pem != NULL)
		code = kon_http_identity(kube->http, cert_pem, key_pem, err);
	if (code != 0)
		return code;
	kube->era++;
	kube->asked = false;
	kube->no_others[0] = '\0';
	send_all(kube, AT_DOOR);
	return 0;
}

void kon_kube_credentials_failed(struct kon_kube *kube, const char *why)
{
	snprintf(kube->no_others, sizeof(kube->no_others), "%s", why);
	kube->asked = false;
	/* By their timers, because callers' code does not run within this call. */
	for (struct kon_kube_call *call = kube->first; call != NULL; call = call->next)
		if (call->place == AT_DOOR)
			kon_timer_start(kube->loop, &call->deadline, 0);
}

/* ---- answers ---- */

/* Whether a call whose connection broke is sent once more: a read has no effect that could happen twice.  An API server
 * that refuses credentials, or stops, says GOAWAY, and requests that cross it on the wire are lost. */
static bool read_again(const struct kon_kube_call *call)
{
	return !call->resent && call->request.piece == NULL && strcmp(call->request.method, "GET") == 0 &&
	       kon_clock_boot_ms() < call->give_up_at_ms;
}

/* An API server closes the connection over which it has refused credentials. */
static void note_connection(struct kon_kube *kube, const struct kon_http_answer *answer)
{
	if (answer->code == KON_UNKNOWN || (answer->code == 0 && answer->status == 401))
		kube->fresh = true;
	else if (answer->code == 0)
		kube->fresh = false;
}

static void on_answer(void *data, const struct kon_http_answer *answer)
{
	struct kon_kube_call *call = data;
	call->http = NULL;
	note_connection(call->kube, answer);
	if (answer->code == KON_UNKNOWN && read_again(call)) {
		call->resent = true;
		send_call(call);
	} else if (answer->code == 0 && answer->status == 429) {
		close_gate(call, answer->retry_after_ms);
	} else if (answer->code != 0 || answer->status != 401 || !renew_credentials(call)) {
		finish(call, answer);
	}
}

static char *join(const char *a, const char *b)
{
	char *text = NULL;
	if (asprintf(&text, "%s%s", a, b) < 0)
		abort(); /* the guards kill what runs when we are gone */
	return text;
}

struct kon_kube_call *kon_kube_start(struct kon_kube *kube, const struct kon_kube_request *request)
{
	struct kon_kube_call *call = calloc(1, sizeof(*call));
	if (call == NULL)
		abort();
	call->kube = kube;
	call->request = *request;
	call->request.method = join(request->method, "");
	call->request.path = NULL;
	call->request.content_type = NULL;
	call->request.body = NULL;
	call->url = join(kube->server, request->path);
	if (request->max_bytes == 0)
		call->request.max_bytes = KON_KUBE_MAX_OBJECT;
	if (request->body != NULL) {
		const char *type = request->content_type != NULL ? request->content_type : "application/json";
		char *body = malloc(request->size + 1);
		if (body == NULL)
			abort();
		memcpy(body, request->body, request->size);
		call->request.body = body;
		call->type_header = join("Content-Type: ", type);
	}
	call->deadline = (struct kon_timer){.fire = on_deadline, .data = call};
	int64_t limit_ms = request->limit_ms > 0 ? request->limit_ms : KON_KUBE_LIMIT_MS;
	call->give_up_at_ms = kon_clock_add(kon_clock_boot_ms(), limit_ms);
	call->link = kube->last;
	*kube->last = call;
	kube->last = &call->next;
	if (kon_timer_armed(&kube->gate))
		wait_at(call, AT_GATE);
	else
		send_call(call);
	return call;
}

void kon_kube_cancel(struct kon_kube_call *call)
{
	if (call->http != NULL)
		kon_http_cancel(call->http);
	free_call(call);
}

int kon_kube_new(struct kon_kube **out, struct kon_loop *loop, const struct kon_kube_options *options,
                 struct kon_err *err)
{
	struct kon_kube *kube = calloc(1, sizeof(*kube));
	if (kube == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	kube->loop = loop;
	kube->refused = options->refused;
	kube->data = options->data;
	kube->last = &kube->first;
	kube->gate = (struct kon_timer){.fire = on_gate, .data = kube};
	kube->server = join(options->server, "");
	size_t size = strlen(kube->server);
	while (size > 0 && kube->server[size - 1] == '/')
		kube->server[--size] = '\0';
	int code = kon_kube_token_init(&kube->token, options->token, options->token_file, options->username,
	                               options->password, err);
	if (code == 0)
		code = kon_http_new(&kube->http, loop, &options->http, err);
	if (code != 0) {
		kon_kube_free(kube);
		return code;
	}
	*out = kube;
	return 0;
}

void kon_kube_free(struct kon_kube *kube)
{
	if (kube == NULL)
		return;
	while (kube->first != NULL)
		kon_kube_cancel(kube->first);
	kon_timer_stop(kube->loop, &kube->gate);
	kon_http_free(kube->http);
	kon_kube_token_done(&kube->token);
	free(kube->server);
	free(kube);
}
