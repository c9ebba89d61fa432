/* What a failure of libcurl means: not sent, perhaps arrived, or to be configured otherwise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_impl.h"

/* The reason within OpenSSL's "error:0A00045C:SSL routines::..."; 0: none. */
static unsigned long openssl_reason(const char *why)
{
	const char *at = strstr(why, "error:");
	return at != NULL ? strtoul(at + strlen("error:"), NULL, 16) & 0x7FFFFF : 0;
}

/* The alerts of RFC 8446 that say that it was our certificate: from then on nothing that we sent was looked at. */
static bool refuses_us(unsigned long reason)
{
	switch (reason) {
	case 1042: /* bad_certificate; OpenSSL adds 1000 */
	case 1043: /* unsupported_certificate */
	case 1044: /* certificate_revoked */
	case 1045: /* certificate_expired */
	case 1046: /* certificate_unknown */
	case 1048: /* unknown_ca */
	case 1116: /* certificate_required */
		return true;
	default:
		return false;
	}
}

static bool is_new_connection(const struct kon_http_call *call)
{
	long connects = 0;
	curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
	return connects > 0;
}

static long proxy_status(const struct kon_http_call *call)
{
	long status = 0;
	curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return status;
}

/* The server's words get into sentences by way of certificates. */
static void clean(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == '\x7f')
			*text = '?';
}

static int fail(struct kon_http_call *call, int code, const char *what, const char *why)
{
	struct kon_err *err = &call->answer.err;
	kon_err_set(err, code, "%s: %s%s%s", call->place, what, *what != '\0' && *why != '\0' ? ": " : "", why);
	clean(err->detail);
	return code;
}

/* Not of this request: the sentence names where the CA certificates were given. */
static int fail_for_ca(struct kon_http_call *call)
{
	const struct kon_http *http = call->http;
	struct kon_err *err = &call->answer.err;
	if (http->ca_pem == NULL)
		return fail(call, KON_CONFIG, "this system's CA certificates cannot be read", http->ca_file);
	kon_err_set(err, KON_CONFIG, "%s: certificate-authority is damaged: it cannot be read as certificates",
	            http->origin != NULL ? http->origin : call->place);
	clean(err->detail);
	return KON_CONFIG;
}

static int fail_to_connect(struct kon_http_call *call, CURLcode result, const char *why)
{
	char text[400];
	long status = proxy_status(call);
	switch (result) {
	case CURLE_PEER_FAILED_VERIFICATION:
		kon_http_tls_explain(call->http, why, text, sizeof(text));
		return fail(call, KON_CONFIG, text, "");
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return fail(call, KON_CONFIG, "not a URL of http or https", why);
	case CURLE_LOGIN_DENIED:
		return fail(call, KON_CONFIG, "a URL with a user name is not taken", "");
	case CURLE_SSL_CACERT_BADFILE:
		return fail_for_ca(call);
	case CURLE_SSL_CERTPROBLEM:
		return fail(call, KON_CONFIG, "the client certificate or its key cannot be used", why);
	default:
		break;
	}
	if (status == 401 || status == 403 || status == 407)
		return fail(call, KON_CONFIG, "the proxy refuses", why);
	return fail(call, KON_STORE, "not sent", why);
}

void kon_http_explain(struct kon_http_call *call, CURLcode result)
{
	const char *why = call->why[0] != '\0' ? call->why : curl_easy_strerror(result);
	char text[96];
	int code;
	if (call->too_big) {
		snprintf(text, sizeof(text), "the answer is longer than %zu bytes", call->in.cap);
		code = fail(call, KON_TOO_BIG, text, "");
	} else if (refuses_us(openssl_reason(why)) && is_new_connection(call)) {
		code = fail(call, KON_CONFIG, "the server does not take the client certificate", why);
	} else if (!call->sent) {
		code = fail_to_connect(call, result, why);
	} else if (call->no_memory) {
		code = fail(call, KON_UNKNOWN, "out of memory for the answer", "");
	} else {
		code = fail(call, KON_UNKNOWN, "broken off after it was sent", why);
	}
	call->answer.code = code;
}

void kon_http_explain_late(struct kon_http_call *call)
{
	char text[96];
	int code = call->sent ? KON_UNKNOWN : KON_STORE;
	if (call->streaming)
		snprintf(text, sizeof(text), "the stream was silent for %lld ms", (long long)call->idle_ms);
	else if (call->sent)
		snprintf(text, sizeof(text), "sent, but not answered within %lld ms", (long long)call->timeout_ms);
	else
		snprintf(text, sizeof(text), "not sent: no connection within %lld ms", (long long)call->timeout_ms);
	call->answer.code = fail(call, code, text, "");
}
