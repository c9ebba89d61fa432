/* Certificates: what OpenSSL found wrong with the server's, said so that it can be put right. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "http_impl.h"

void kon_http_tls_begin(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

/* ---- what a certificate says ---- */

static void format_time(const struct tm *at, char *out, size_t size)
{
	if (strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", at) == 0)
		out[0] = '\0';
}

static void read_time(const ASN1_TIME *from, char *out, size_t size)
{
	struct tm at;
	out[0] = '\0';
	if (ASN1_TIME_to_tm(from, &at) == 1)
		format_time(&at, out, size);
}

static void read_name(X509_NAME *name, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	out[0] = '\0';
	if (bio == NULL)
		return;
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
		long length = BIO_get_mem_data(bio, &text);
		snprintf(out, size, "%.*s", (int)length, text);
	}
	BIO_free(bio);
}

static void add_text(char *out, size_t size, const char *text, int length)
{
	size_t used = strlen(out);
	if (used + (size_t)length + 3 <= size)
		snprintf(out + used, size - used, "%s%.*s", used > 0 ? ", " : "", length, text);
}

static void add_alternative(const GENERAL_NAME *name, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	if (name->type == GEN_DNS) {
		add_text(out, size, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
		         ASN1_STRING_length(name->d.dNSName));
	} else if (name->type == GEN_IPADD) {
		int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
		if (family == AF_INET6 && ASN1_STRING_length(name->d.iPAddress) != 16)
			return;
		if (inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof(text)) != NULL)
			add_text(out, size, text, (int)strlen(text));
	}
}

/* As many of the names as there is room for. */
static void read_alternatives(X509 *cert, char *out, size_t size)
{
	out[0] = '\0';
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		add_alternative(sk_GENERAL_NAME_value(names, i), out, size);
	GENERAL_NAMES_free(names);
	if (out[0] == '\0')
		read_name(X509_get_subject_name(cert), out, size);
}

/* ---- the handshake ---- */

/* OpenSSL's own verification; what it found is noted on the way.  The client outlives its connections. */
static int verify(X509_STORE_CTX *store, void *data)
{
	struct kon_http_peer *peer = &((struct kon_http *)data)->peer;
	*peer = (struct kon_http_peer){0};
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	if (leaf != NULL)
		read_alternatives(leaf, peer->names, sizeof(peer->names));
	int good = X509_verify_cert(store);
	if (good == 1)
		return 1;
	peer->error = X509_STORE_CTX_get_error(store);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	if (cert == NULL)
		cert = leaf;
	if (cert != NULL) {
		read_name(X509_get_subject_name(cert), peer->subject, sizeof(peer->subject));
		read_name(X509_get_issuer_name(cert), peer->issuer, sizeof(peer->issuer));
		read_time(X509_get0_notBefore(cert), peer->from, sizeof(peer->from));
		read_time(X509_get0_notAfter(cert), peer->until, sizeof(peer->until));
	}
	return good;
}

CURLcode kon_http_on_ssl_ctx(CURL *easy, void *ssl_ctx, void *data)
{
	(void)easy;
	const struct kon_http *http = data;
	SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS); /* 32 KiB for each connection that is idle */
	if (!http->insecure)
		SSL_CTX_set_cert_verify_callback(ssl_ctx, verify, data);
	return CURLE_OK;
}

/* ---- sentences ---- */

static void explain_time(const struct kon_http_peer *peer, bool early, char *out, size_t size)
{
	char now[32];
	struct tm utc;
	time_t seconds = (time_t)(kon_clock_wall_ms() / 1000);
	gmtime_r(&seconds, &utc);
	format_time(&utc, now, sizeof(now));
	snprintf(out, size, "the certificate of %s %s %s; this machine's clock says %s: one of them is wrong",
	         peer->subject, early ? "is not valid before" : "expired at", early ? peer->from : peer->until, now);
}

static void explain_signer(const struct kon_http *http, char *out, size_t size)
{
	const struct kon_http_peer *peer = &http->peer;
	const char *judges = "the CA certificates that were given do not vouch for it";
	if (http->ca_pem == NULL)
		judges = http->ca_file != NULL ? "this system's CA certificates do not vouch for it"
		                               : "this system has no file of CA certificates, and none was given";
	if (strcmp(peer->subject, peer->issuer) == 0)
		snprintf(out, size, "the certificate of %s is signed by itself, and %s", peer->subject, judges);
	else
		snprintf(out, size, "the certificate of %s is signed by %s, and %s", peer->subject, peer->issuer,
		         judges);
}

void kon_http_tls_explain(const struct kon_http *http, const char *why, char *out, size_t size)
{
	const struct kon_http_peer *peer = &http->peer;
	switch (peer->error) {
	case X509_V_OK: /* the chain is good: libcurl did not find the name */
		snprintf(out, size, "%s; the server's certificate is for %s", why, peer->names);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		explain_time(peer, true, out, size);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		explain_time(peer, false, out, size);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		explain_signer(http, out, size);
		break;
	default:
		snprintf(out, size, "the certificate of %s is not good: %s", peer->subject,
		         X509_verify_cert_error_string(peer->error));
	}
}
