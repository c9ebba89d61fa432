/*
 * core.tls_check{cert?, key?}: whether the identity that a kubeconfig or plugin gives can be used at all, told before the
 * first request, by the names that people know from the file.  CA certificates are read once, by who needs them: a
 * damaged one is told of by the first request.
 */
#include <lauxlib.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "http.h"
#include "lua_core.h"

static BIO *open_pem(const char *pem)
{
	return BIO_new_mem_buf(pem, -1);
}

/* The first certificate of the text, or NULL; the caller frees it.  A damaged one behind it makes it NULL too. */
static X509 *read_certificates(const char *pem)
{
	BIO *bio = open_pem(pem);
	if (bio == NULL)
		return NULL;
	X509 *first = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	X509 *more = first;
	for (int i = 0; more != NULL; i++) {
		if (i > 0)
			X509_free(more);
		more = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	}
	unsigned long error = ERR_peek_last_error();
	if (first != NULL && ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
		X509_free(first);
		first = NULL;
	}
	ERR_clear_error();
	BIO_free(bio);
	return first;
}

/* Nobody is asked for a password: a key that wants one is refused. */
static int refuse_password(char *buf, int size, int is_writing, void *data)
{
	(void)buf;
	(void)size;
	(void)is_writing;
	*(bool *)data = true;
	return -1;
}

/* What is wrong with the pair, or NULL. */
static const char *check_pair(X509 *cert, const char *key_pem)
{
	bool wants_password = false;
	BIO *bio = open_pem(key_pem);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, refuse_password, &wants_password) : NULL;
	const char *fault = NULL;
	if (wants_password)
		fault = "client-key is encrypted, and nobody can be asked for its password";
	else if (key == NULL)
		fault = "client-key is damaged: it cannot be read as a private key";
	else if (X509_check_private_key(cert, key) != 1)
		fault = "client-key does not belong to client-certificate";
	ERR_clear_error();
	EVP_PKEY_free(key);
	BIO_free(bio);
	return fault;
}

/* Pushes when the certificate ends, if that is in the past; else nil. */
static void push_ended(lua_State *L, const X509 *cert)
{
	struct tm end;
	char text[32];
	const ASN1_TIME *at = X509_get0_notAfter(cert);
	if (X509_cmp_current_time(at) >= 0 || ASN1_TIME_to_tm(at, &end) != 1) {
		lua_pushnil(L);
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &end);
	lua_pushstring(L, text);
}

static const char *field(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	return luaL_optstring(L, -1, NULL); /* stays on the stack */
}

static int fail(lua_State *L, const char *fault)
{
	struct kon_err err;
	kon_err_set(&err, KON_CONFIG, "%s", fault);
	return kon_lua_fail(L, &err);
}

/* -> true, when the client's certificate has ended | nil, word, sentence */
static int core_tls_check(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	kon_http_tls_begin();
	const char *cert_pem = field(L, "cert");
	const char *key_pem = field(L, "key");
	lua_pushboolean(L, 1);
	if (cert_pem == NULL || key_pem == NULL)
		return 1;
	X509 *cert = read_certificates(cert_pem);
	if (cert == NULL)
		return fail(L, "client-certificate is damaged: it cannot be read as a certificate");
	const char *fault = check_pair(cert, key_pem);
	push_ended(L, cert);
	X509_free(cert);
	return fault != NULL ? fail(L, fault) : 2;
}

void kon_lua_add_tls(lua_State *L)
{
	lua_pushcfunction(L, core_tls_check);
	lua_setfield(L, -2, "tls_check");
}
