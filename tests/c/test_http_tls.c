/* Whom a client believes, who it is, and what it says when that does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_http.h"

static void use(const struct kon_http_options *options)
{
	kon_http_free(http);
	http = new_http(options);
}

static void use_identity(const char *authority, const char *name)
{
	char leaf[64];
	snprintf(leaf, sizeof(leaf), "%s.pem", name);
	char *cert = file_text(authority, leaf);
	snprintf(leaf, sizeof(leaf), "%s.key", name);
	char *key = file_text(authority, leaf);
	struct kon_http_options options = {.ca_pem = ca_pem, .cert_pem = cert, .key_pem = key};
	use(&options);
	free(cert);
	free(key);
}

static void refused(const char *server, const char *sentence)
{
	struct seen seen = {0};
	char words[64];
	/* A path of its own: what the server says of earlier requests may still be on its way. */
	snprintf(words, sizeof(words), "request %s GET /refused", server);
	get(&seen, url(server, "/refused"));
	assert_says(&seen, sentence);
	assert_string_equal(kon_err_word(seen.answer.code), "config");
	assert_int_equal(said(words), 0);
	forget(&seen);
}

/* ---- the server ---- */

static void a_server_that_the_ca_vouches_for_is_believed(void **state)
{
	(void)state;
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("tls", "/nothing")), "ok");
	forget(&seen);
	assert_string_equal(get(&seen, url("h2", "/nothing")), "ok");
	forget(&seen);
}

static void a_server_of_another_ca_is_refused(void **state)
{
	(void)state;
	refused("foreign",
	        "the certificate of CN=foreign is signed by CN=theirs, and the CA certificates that were given");
}

static void a_server_with_a_certificate_of_its_own_making_is_refused(void **state)
{
	(void)state;
	refused("selfmade", "the certificate of CN=theirs is signed by itself");
}

static void a_server_of_another_name_is_refused_with_both_names(void **state)
{
	(void)state;
	refused("other", "127.0.0.1");
	refused("other", "the server's certificate is for other.example, *.other.example, 10.1.2.3");
}

static void a_certificate_that_has_expired_is_refused_with_its_date_and_ours(void **state)
{
	(void)state;
	char today[16];
	char now[32];
	kon_clock_wall(now, sizeof(now));
	snprintf(today, sizeof(today), "%.10s", now);
	refused("expired", "CN=expired expired at 2020-02-01T00:00:00Z; this machine's clock says ");
	refused("expired", today);
}

static void a_certificate_of_the_future_is_refused_and_the_clock_suspected(void **state)
{
	(void)state;
	refused("early", "CN=early is not valid before 2098-01-01T00:00:00Z; this machine's clock says ");
}

static void insecure_means_that_anybody_is_believed(void **state)
{
	(void)state;
	struct kon_http_options options = {.insecure = true};
	use(&options);
	static const char *const servers[] = {"foreign", "selfmade", "other", "expired", "early"};
	for (int i = 0; i < 5; i++) {
		struct seen seen = {0};
		assert_string_equal(get(&seen, url(servers[i], "/nothing")), "ok");
		forget(&seen);
	}
}

static void a_server_is_believed_by_the_name_that_was_asked_for(void **state)
{
	(void)state;
	struct kon_http_options options = {.ca_pem = ca_pem, .tls_server_name = "a.other.example"};
	use(&options);
	struct seen seen = {0};
	char host[64];
	snprintf(host, sizeof(host), "[\"host\", \"127.0.0.1:%d\"]", port_of("other"));
	assert_string_equal(get(&seen, url("other", "/echo?a=b#c")), "ok");
	assert_non_null(strstr(seen.answer.body, host));
	assert_non_null(strstr(seen.answer.body, "\"path\": \"/echo?a=b\""));
	forget(&seen);
	assert_string_equal(get(&seen, url("tls", "/nothing")), "config");
	assert_says(&seen, "a.other.example");
	assert_says(&seen, "certificate is for localhost, 127.0.0.1");
	forget(&seen);
}

static void a_server_that_does_not_speak_tls_was_not_sent_anything(void **state)
{
	(void)state;
	struct seen seen = {0};
	char where[64];
	snprintf(where, sizeof(where), "https://127.0.0.1:%d/", port_of("plain"));
	assert_string_equal(get(&seen, where), "store");
	forget(&seen);
}

static void without_a_ca_the_systems_is_used(void **state)
{
	(void)state;
	char path[512];
	snprintf(path, sizeof(path), "%s/ours/ca.pem", peer.dir);
	setenv("SSL_CERT_FILE", path, 1);
	struct kon_http_options options = {0};
	use(&options);
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("tls", "/nothing")), "ok");
	forget(&seen);
	refused("foreign", "and this system's CA certificates do not vouch for it");
	setenv("SSL_CERT_FILE", "/no/such/file", 1);
	use(&options);
	refused("tls", "/no/such/file");
	unsetenv("SSL_CERT_FILE");
}

/* ---- who we are ---- */

static void a_client_certificate_is_shown(void **state)
{
	(void)state;
	use_identity("ours", "ada");
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("mutual", "/nothing")), "ok");
	wait_said("accept mutual full ada", 1);
	forget(&seen);
}

static void no_client_certificate_where_one_is_needed_is_configuration(void **state)
{
	(void)state;
	refused("mutual", "the server does not take the client certificate");
}

static void a_client_certificate_of_another_ca_is_configuration(void **state)
{
	(void)state;
	use_identity("theirs", "eve");
	refused("mutual", "the server does not take the client certificate");
}

static void a_new_identity_is_shown_from_the_next_call_on(void **state)
{
	(void)state;
	struct kon_err err;
	struct seen old = {0};
	struct seen seen = {0};
	use_identity("ours", "ada");
	start_stream(&old, url("mutual", "/later?changed"));
	wait_said("request mutual GET /later?changed", 1);
	char *cert = file_text("ours", "bob.pem");
	char *key = file_text("ours", "bob.key");
	assert_int_equal(kon_http_identity(http, cert, key, &err), 0);
	free(cert);
	free(key);
	assert_string_equal(get(&seen, url("mutual", "/nothing")), "ok");
	wait_said("accept mutual full bob", 1);
	forget(&seen);
	release("changed"); /* the old one goes on */
	assert_string_equal(outcome(&old), "ok");
	assert_int_equal(old.streamed.size, 4);
	forget(&old);
}

static void what_is_no_pem_is_configuration(void **state)
{
	(void)state;
	char *cert = file_text("ours", "ada.pem");
	char *key = file_text("ours", "ada.key");
	char *other_key = file_text("ours", "bob.key");
	const struct {
		struct kon_http_options options;
		const char *sentence;
	} wrong[] = {
		{{.ca_pem = "nonsense"}, "certificate-authority is damaged"},
		{{.ca_pem = "", .origin = "context x"}, "context x: certificate-authority is damaged"},
		{{.ca_pem = ca_pem, .cert_pem = "nonsense", .key_pem = key}, "the client certificate or its key"},
		{{.ca_pem = ca_pem, .cert_pem = cert, .key_pem = "nonsense"}, "the client certificate or its key"},
		{{.ca_pem = ca_pem, .cert_pem = cert, .key_pem = other_key}, "the client certificate or its key"},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		use(&wrong[i].options);
		refused("mutual", wrong[i].sentence);
	}
	free(cert);
	free(key);
	free(other_key);
}

static void a_certificate_without_its_key_is_configuration(void **state)
{
	(void)state;
	struct kon_err err;
	struct kon_http *none = NULL;
	struct kon_http_options options = {.cert_pem = "x"};
	assert_int_equal(kon_http_new(&none, loop, &options, &err), KON_CONFIG);
	assert_int_equal(kon_http_identity(http, NULL, "x", &err), KON_CONFIG);
	assert_null(none);
}

static void a_connection_is_resumed_with_the_session_of_the_last_one(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct seen seen = {0};
		struct kon_http_request request = request_of(&seen, url("tls", "/html"));
		request.fresh = true;
		start(&seen, &request);
		assert_string_equal(outcome(&seen), "ok");
		forget(&seen);
	}
	wait_said("accept tls", 2);
	assert_int_equal(said("accept tls full"), 1);
	assert_int_equal(said("accept tls resumed"), 1);
}

/* ---- proxies ---- */

static void use_proxy(const char *begin, int port)
{
	char proxy[128];
	snprintf(proxy, sizeof(proxy), "%s:%d", begin, port);
	struct kon_http_options options = {.ca_pem = ca_pem, .proxy = proxy};
	use(&options);
}

static void a_proxy_is_asked_with_its_password(void **state)
{
	(void)state;
	use_proxy("http://ada:pass%20word@127.0.0.1", port_of("proxy"));
	static const char *const servers[] = {"tls", "h2"};
	for (int i = 0; i < 2; i++) {
		struct seen seen = {0};
		assert_string_equal(get(&seen, url(servers[i], "/echo")), "ok");
		assert_int_equal(seen.answer.status, 200);
		assert_null(strstr(seen.answer.body, "proxy-authorization"));
		forget(&seen);
	}
	wait_said("request proxy CONNECT", 2);
}

static void a_proxy_that_refuses_is_configuration(void **state)
{
	(void)state;
	use_proxy("http://ada:hunter2@127.0.0.1", port_of("proxy"));
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("tls", "/echo")), "config");
	assert_int_equal(seen.answer.status, 0);
	assert_says(&seen, "the proxy refuses");
	assert_says(&seen, "407");
	assert_null(strstr(seen.answer.err.detail, "hunter2"));
	assert_int_equal(said("accept tls"), 0);
	forget(&seen);
}

static void a_proxy_that_reaches_nobody_sent_nothing(void **state)
{
	(void)state;
	use_proxy("http://ada:pass%20word@127.0.0.1", port_of("proxy"));
	struct seen seen = {0};
	assert_string_equal(get(&seen, "https://127.0.0.1:1/"), "store");
	assert_int_equal(seen.answer.status, 0);
	assert_says(&seen, "502");
	forget(&seen);
}

static void a_proxy_that_is_away_sent_nothing(void **state)
{
	(void)state;
	static const char *const proxies[] = {"http://ada:hunter2@127.0.0.1", "https://ada:hunter2@127.0.0.1",
	                                      "socks5://ada:hunter2@127.0.0.1"};
	for (int i = 0; i < 3; i++) {
		use_proxy(proxies[i], port_of("closed"));
		struct seen seen = {0};
		assert_string_equal(get(&seen, url("tls", "/echo")), "store");
		assert_null(strstr(seen.answer.err.detail, "hunter2"));
		forget(&seen);
	}
	use_proxy("http://ada:hunter2@no-such-proxy.invalid", 1);
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("tls", "/echo")), "store");
	assert_says(&seen, "no-such-proxy.invalid");
	assert_null(strstr(seen.answer.err.detail, "hunter2"));
	forget(&seen);
}

static void an_address_of_a_proxy_that_cannot_be_is_refused_without_telling_its_password(void **state)
{
	(void)state;
	static const char *const wrong[] = {"ftp://ada:hunter2@proxy:1", "ada:hunter2@proxy:1", "http://ada:hunter2@",
	                                    "http://ada:hunter2@proxy:99999", "http://ada:hunter2@[::"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct kon_err err = {0};
		struct kon_http *none = NULL;
		struct kon_http_options options = {.proxy = wrong[i]};
		assert_int_equal(kon_http_new(&none, loop, &options, &err), KON_CONFIG);
		assert_non_null(strstr(err.detail, "proxy"));
		assert_null(strstr(err.detail, "hunter2"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(a_server_that_the_ca_vouches_for_is_believed),
		t(a_server_of_another_ca_is_refused),
		t(a_server_with_a_certificate_of_its_own_making_is_refused),
		t(a_server_of_another_name_is_refused_with_both_names),
		t(a_certificate_that_has_expired_is_refused_with_its_date_and_ours),
		t(a_certificate_of_the_future_is_refused_and_the_clock_suspected),
		t(insecure_means_that_anybody_is_believed),
		t(a_server_is_believed_by_the_name_that_was_asked_for),
		t(a_server_that_does_not_speak_tls_was_not_sent_anything),
		t(without_a_ca_the_systems_is_used),
		t(a_client_certificate_is_shown),
		t(no_client_certificate_where_one_is_needed_is_configuration),
		t(a_client_certificate_of_another_ca_is_configuration),
		t(a_new_identity_is_shown_from_the_next_call_on),
		t(what_is_no_pem_is_configuration),
		t(a_certificate_without_its_key_is_configuration),
		t(a_connection_is_resumed_with_the_session_of_the_last_one),
		t(a_proxy_is_asked_with_its_password),
		t(a_proxy_that_refuses_is_configuration),
		t(a_proxy_that_reaches_nobody_sent_nothing),
		t(a_proxy_that_is_away_sent_nothing),
		t(an_address_of_a_proxy_that_cannot_be_is_refused_without_telling_its_password),
	};
	return cmocka_run_group_tests_name("http: tls", tests, start_peer, stop_peer);
}
