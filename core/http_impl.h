/*
 * What the parts of the HTTP client share; nobody else includes this.
 *
 * A call is one request.  A lane is one multi handle of libcurl with its connections: all calls go through one lane
 * until its connections are suspected of being dead, or the identity changes.  It is then retired: it carries to its
 * end what it carries, and new calls go through a new one.
 */
#ifndef KON_HTTP_IMPL_H
#define KON_HTTP_IMPL_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "buf.h"
#include "http.h"

struct kon_http_lane;

/* What the last TLS handshake showed of the other side, for the sentence when it was not good enough. */
struct kon_http_peer {
	int error;         /* X509_V_ERR_*, 0: the chain is good */
	char names[256];   /* whom the server's certificate is for */
	char subject[160]; /* of the certificate with the error */
	char issuer[160];
	char from[32]; /* its time of validity, RFC 3339 */
	char until[32];
};

struct kon_http_call {
	struct kon_http *http;
	struct kon_http_lane *lane; /* NULL: libcurl has nothing to do with it any more */
	CURL *easy;
	struct curl_slist *headers;
	struct curl_slist *connect_to;
	char *place; /* "GET https://host/path", for sentences */
	void (*piece)(void *data, const char *bytes, size_t size);
	void (*done)(void *data, const struct kon_http_answer *answer);
	void *data;
	struct kon_buf in;      /* of a stream: what was not handed out yet; else the body so far */
	struct kon_timer timer; /* the deadline; at once, when the call failed within kon_http_start() */
	int64_t timeout_ms;
	int64_t idle_ms;
	int64_t heard_ms; /* when a stream last said something */
	bool sent;        /* something of the request may have left this machine */
	bool streaming;   /* the head of a stream came, with status 200 */
	bool too_big;
	bool no_memory;
	bool due;     /* the deadline has passed; what came in the meantime is read first */
	bool ended;   /* answer is filled */
	bool queued;  /* in http->ready */
	bool telling; /* done runs: the call belongs to kon_http_deliver() alone */
	struct kon_http_answer answer;
	char *content_type;
	char why[CURL_ERROR_SIZE]; /* libcurl's words */
	TAILQ_ENTRY(kon_http_call) link;
	TAILQ_ENTRY(kon_http_call) ready;
};

TAILQ_HEAD(kon_http_calls, kon_http_call);
LIST_HEAD(kon_http_lanes, kon_http_lane);

struct kon_http {
	struct kon_loop *loop;
	CURLSH *share;              /* TLS sessions, so that a new lane resumes them */
	struct kon_http_lane *lane; /* for new calls; NULL: the next one makes it */
	struct kon_http_lanes lanes;
	struct kon_http_calls calls; /* under way: until done runs */
	struct kon_http_calls ready; /* those with something to tell */
	struct kon_http_call *told;  /* the one whose callback runs; NULL: it was cancelled */
	bool delivering;
	bool gone; /* freed by a callback; kon_http_deliver() has the rest to do */
	struct kon_http_peer peer;
	char *origin;
	char *ca_pem;
	const char *ca_file; /* NULL: ca_pem, or the system has none */
	char *cert_pem;
	char *key_pem;
	char *tls_server_name;
	char *proxy; /* without user and password */
	char *proxy_user;
	char *proxy_password;
	bool insecure;
	bool http1_only;
};

/* ---- http_lane.c: libcurl's multi interface on the loop ---- */

/* The lane for a new call; fresh: none that has carried an answer.  NULL: out of memory. */
struct kon_http_lane *kon_http_lane_for(struct kon_http *http, bool fresh);

/* False when libcurl refuses. */
bool kon_http_lane_add(struct kon_http_lane *lane, struct kon_http_call *call);
void kon_http_lane_remove(struct kon_http_call *call); /* fine when it is in none */
void kon_http_lane_answered(struct kon_http_lane *lane);

/* No new calls through it. */
void kon_http_lane_retire(struct kon_http_lane *lane);

/* Frees retired lanes that carry nothing; all: the others, too.  Never within a callback of libcurl. */
void kon_http_lanes_sweep(struct kon_http *http, bool all);

/* ---- http.c ---- */

/* libcurl is done with the call. */
void kon_http_ended(struct kon_http_call *call, CURLcode result);

/* Tells the callers what there is to tell.  Never within a callback of libcurl; http may be freed afterwards. */
void kon_http_deliver(struct kon_http *http);

/* ---- http_setup.c: everything that libcurl is told ---- */

/* Checks and copies options. */
int kon_http_setup(struct kon_http *http, const struct kon_http_options *options, struct kon_err *err);

/* Makes call->easy.  On failure, err and a negative code. */
int kon_http_setup_call(struct kon_http_call *call, const struct kon_http_request *request, struct kon_err *err);

/* ---- http_tls.c: certificates ---- */

/* For CURLOPT_SSL_CTX_FUNCTION; data is the kon_http. */
CURLcode kon_http_on_ssl_ctx(CURL *easy, void *ssl_ctx, void *data);

/* Why the server's certificate was refused: half a sentence with names and times.  why: libcurl's words. */
void kon_http_tls_explain(const struct kon_http *http, const char *why, char *out, size_t size);

/* ---- http_fail.c: what a failure means ---- */

/* Fills code and err of the answer of a call that libcurl ended with result. */
void kon_http_explain(struct kon_http_call *call, CURLcode result);

/* The same for one that took too long. */
void kon_http_explain_late(struct kon_http_call *call);

#endif
