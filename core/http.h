/*
 * HTTP requests on the loop: libcurl's multi interface behind two functions.
 *
 * One kon_http speaks to one server with one TLS identity and shares its connections: over HTTP/2 all
 * requests, streams included, go through one.  A request ends exactly once: by done, or by
 * kon_http_cancel().  Nothing of the caller runs inside a callback of libcurl, nor within
 * kon_http_start().
 */
#ifndef KON_HTTP_H
#define KON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"

struct kon_http;
struct kon_http_call;

/* How a server is reached and believed.  Texts are copied; NULL means none. */
struct kon_http_options {
	const char *origin;   /* where people wrote this down, for sentences about it: a file, a context of it */
	const char *ca_pem;   /* who may sign the server's certificate; NULL: what the system trusts */
	const char *cert_pem; /* our own certificate and its key: both or none */
	const char *key_pem;
	const char *tls_server_name; /* checked, and asked for, instead of the host of the URL */
	const char *proxy;           /* http://[user:password@]host:port, https:// or socks5:// */
	bool insecure;               /* believe any certificate */
	bool http1_only;
};

/* Before anything of OpenSSL is used, once or more.  What it can is decided where it is built: no file of the machine,
 * written for another OpenSSL, changes that, or costs 1.5 million instructions. */
void kon_http_tls_begin(void);

struct kon_http_answer {
	/* 0: the server answered, status says what.  Else
	 *   KON_STORE    the request was certainly not sent: no address, connection refused, TLS not agreed
	 *   KON_UNKNOWN  it may have arrived: broken off, or too late; a stream: it broke off, or was silent too long
	 *   KON_CONFIG   not sent, nor can it be as configured: the server's certificate is not trusted (the sentence
	 *                says which check failed), ours or its key is unreadable or not taken, the URL is malformed,
	 *                the proxy refuses
	 *   KON_TOO_BIG  the answer is longer than max_bytes
	 * and err has the sentence, which never holds what headers or the proxy's password say. */
	int code;
	int status;               /* 100-599; 0: no head came.  With a code, the body is what there was of it */
	int64_t date_s;           /* the server's clock: its Date header, seconds since 1970; 0: none */
	int64_t retry_after_ms;   /* -1: none.  Only the form in seconds, as API servers send it */
	const char *content_type; /* "" when there is none */
	const char *body;         /* NUL-terminated behind size.  Of a stream: only what was not handed out as pieces */
	size_t size;
	struct kon_err err;
};

struct kon_http_request {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end; NULL: none */
	const char *body;           /* NULL: none */
	size_t size;
	int64_t timeout_ms; /* > 0: of the whole request; of a stream: until its head */
	int64_t idle_ms;    /* a stream: longest silence; 0: any */
	size_t max_bytes;   /* of a body that is given to done; pieces are not counted */
	bool fresh;         /* over a connection that is not proven yet: the ones there are may be dead */
	/* A stream: each piece of a body with status 200, as it comes.  NULL: the whole body is given to done. */
	void (*piece)(void *data, const char *bytes, size_t size);
	void (*done)(void *data, const struct kon_http_answer *answer);
	void *data;
};

int kon_http_new(struct kon_http **out, struct kon_loop *loop, const struct kon_http_options *options,
                 struct kon_err *err);

/* Cancels what is under way.  NULL is fine. */
void kon_http_free(struct kon_http *http);

/* Another certificate and key from the next connection on; existing connections serve what they carry to its end. */
int kon_http_identity(struct kon_http *http, const char *cert_pem, const char *key_pem, struct kon_err *err);

/*
 * Everything in request is copied.  Never fails: what is wrong is told by done, from the loop.
 *
 * After a call that took too long, new calls go over new connections, and so they do after one with `fresh`; those
 * there are serve what they carry to its end.  Over a connection that the server closed before it answered anything,
 * a request is sent again by libcurl, whatever its method: a write must be such that a second copy does no harm.
 */
struct kon_http_call *kon_http_start(struct kon_http *http, const struct kon_http_request *request);

/* No callback of this call comes any more, also when called within one; not after done was called, but within it is
 * fine, and so is NULL.  A request that was sent may still be applied. */
void kon_http_cancel(struct kon_http_call *call);

#endif
