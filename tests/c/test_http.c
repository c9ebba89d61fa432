/* Requests, streams, their deadlines and their ends, against real servers (test_http_server.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_http.h"

/* ---- requests ---- */

static void a_get_gives_status_type_body_and_the_servers_clock(void **state)
{
	(void)state;
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("plain", "/echo?a=b")), "ok");
	assert_int_equal(seen.answer.status, 200);
	assert_string_equal(seen.answer.content_type, "application/json");
	assert_int_equal(seen.answer.date_s, 784887151); /* Tue, 15 Nov 1994 08:12:31 GMT */
	assert_int_equal(seen.answer.retry_after_ms, -1);
	assert_int_equal(seen.answer.size, strlen(seen.answer.body));
	assert_non_null(strstr(seen.answer.body, "\"path\": \"/echo?a=b\""));
	assert_non_null(strstr(seen.answer.body, "[\"user-agent\", \"konductor/"));
	assert_null(strstr(seen.answer.body, "accept-encoding"));
	assert_null(strstr(seen.answer.body, "content-"));
	forget(&seen);
}

static void a_put_arrives_with_its_headers_and_body(void **state)
{
	(void)state;
	static const char *const headers[] = {"Content-Type: application/json", "Accept: application/json",
	                                      "Authorization: Bearer secret", NULL};
	char *body = malloc(MANY + 1);
	assert_non_null(body);
	memset(body, 'b', MANY); /* large enough that libcurl would ask whether to go on */
	struct seen seen = {0};
	struct kon_http_request request = request_of(&seen, url("tls", "/echo"));
	request.method = "PUT";
	request.headers = headers;
	request.body = body;
	request.size = MANY;
	request.max_bytes = 2 * MANY;
	start(&seen, &request);
	memset(body, 'x', MANY); /* it was copied */
	assert_string_equal(outcome(&seen), "ok");
	assert_non_null(strstr(seen.answer.body, "\"method\": \"PUT\""));
	assert_non_null(strstr(seen.answer.body, "[\"content-type\", \"application/json\"]"));
	assert_non_null(strstr(seen.answer.body, "[\"content-length\", \"1048576\"]"));
	assert_non_null(strstr(seen.answer.body, "[\"authorization\", \"Bearer secret\"]"));
	assert_non_null(strstr(seen.answer.body, "\"bbbbbbbb"));
	assert_null(strstr(seen.answer.body, "expect"));
	assert_null(strstr(seen.answer.body, "urlencoded"));
	assert_null(strchr(strstr(seen.answer.body, "\"bbbb"), 'x'));
	free(body);
	forget(&seen);
}

static void a_post_without_a_body_says_that_it_has_none(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct kon_http_request request = request_of(&seen, url("plain", "/echo"));
	request.method = "POST";
	start(&seen, &request);
	assert_string_equal(outcome(&seen), "ok");
	assert_non_null(strstr(seen.answer.body, "[\"content-length\", \"0\"]"));
	assert_null(strstr(seen.answer.body, "content-type"));
	forget(&seen);
}

static void a_delete_carries_a_body(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct kon_http_request request = request_of(&seen, url("h2", "/echo"));
	request.method = "DELETE";
	request.body = "{\"a\":1}";
	request.size = 7;
	start(&seen, &request);
	assert_string_equal(outcome(&seen), "ok");
	assert_non_null(strstr(seen.answer.body, "\"method\": \"DELETE\""));
	assert_non_null(strstr(seen.answer.body, "\"body\": \"{\\\"a\\\":1}\""));
	forget(&seen);
}

static void a_head_request_does_not_wait_for_a_body(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct kon_http_request request = request_of(&seen, url("plain", "/nothing"));
	request.method = "HEAD";
	start(&seen, &request);
	assert_string_equal(outcome(&seen), "ok");
	assert_int_equal(seen.answer.status, 204);
	forget(&seen);
}

static void retry_after_is_read_in_seconds_only(void **state)
{
	(void)state;
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("plain", "/limited")), "ok");
	assert_int_equal(seen.answer.status, 429);
	assert_int_equal(seen.answer.retry_after_ms, 7000);
	forget(&seen);
	assert_string_equal(get(&seen, url("plain", "/dated")), "ok");
	assert_int_equal(seen.answer.retry_after_ms, -1);
	forget(&seen);
}

static void a_page_for_people_is_told_by_its_type(void **state)
{
	(void)state;
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("h2", "/html")), "ok");
	assert_string_equal(seen.answer.content_type, "text/html; charset=utf-8");
	forget(&seen);
}

static void a_redirect_is_not_followed(void **state)
{
	(void)state;
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("plain", "/elsewhere")), "ok");
	assert_int_equal(seen.answer.status, 302);
	assert_int_equal(said("request plain"), 1);
	forget(&seen);
}

static void a_proxy_of_the_environment_is_not_used(void **state)
{
	(void)state;
	char proxy[64];
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", port_of("proxy"));
	setenv("http_proxy", proxy, 1);
	setenv("https_proxy", proxy, 1);
	setenv("ALL_PROXY", proxy, 1);
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("plain", "/nothing")), "ok");
	forget(&seen);
	assert_string_equal(get(&seen, url("tls", "/nothing")), "ok");
	forget(&seen);
	assert_int_equal(said("connect proxy"), 0);
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("ALL_PROXY");
}

static void an_answer_may_be_as_long_as_allowed_and_no_longer(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {0};
		struct kon_http_request request = request_of(&seen, url(servers[i], "/big?20000"));
		request.max_bytes = 20000;
		start(&seen, &request);
		assert_string_equal(outcome(&seen), "ok");
		assert_int_equal(seen.answer.size, 20000);
		forget(&seen);
		request = request_of(&seen, url(servers[i], "/big?20001"));
		request.max_bytes = 20000;
		start(&seen, &request);
		assert_string_equal(outcome(&seen), "too_big");
		assert_says(&seen, "longer than 20000 bytes");
		forget(&seen);
	}
}

/* ---- streams ---- */

static void a_stream_is_whole_however_it_was_split(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	static const char *const splits[] = {"/split?10000", "/split?1,1,4096,17", "/split?7,1000"};
	for (int i = 0; i < 9; i++) {
		struct seen seen = {0};
		start_stream(&seen, url(servers[i / 3], splits[i % 3]));
		assert_string_equal(outcome(&seen), "ok");
		assert_int_equal(seen.answer.status, 200);
		assert_int_equal(seen.answer.size, 0);
		assert_int_equal(seen.streamed.size, 10000);
		for (size_t at = 0; at < 10000; at++)
			assert_int_equal(seen.streamed.data[at], '0' + at % 10);
		forget(&seen);
	}
}

static void a_piece_comes_before_the_next_one_is_written(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {0};
		char path[64];
		snprintf(path, sizeof(path), "/lines?%d", 2 + 2 * i); /* earlier ones were released by earlier turns */
		start_stream(&seen, url(servers[i], path));
		for (int line = 2 * i; line < 2 + 2 * i; line++) {
			wait_streamed(&seen, (size_t)(11 * line));
			assert_int_equal(seen.streamed.size, 11 * line);
			assert_int_equal(seen.done, 0);
			snprintf(path, sizeof(path), "l%d", line);
			release(path);
		}
		assert_string_equal(outcome(&seen), "ok");
		assert_int_equal(seen.streamed.size, 11 * (2 + 2 * i));
		forget(&seen);
	}
}

static void a_stream_is_not_limited_in_bytes(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {0};
		struct kon_http_request request = request_of(&seen, url(servers[i], "/endless"));
		request.piece = see_piece;
		request.max_bytes = 1000;
		start(&seen, &request);
		assert_string_equal(outcome(&seen), "ok");
		assert_int_equal(seen.streamed.size, 64 * 16384);
		forget(&seen);
	}
}

static void a_stream_that_is_refused_gives_its_body_to_done(void **state)
{
	(void)state;
	struct seen seen = {0};
	start_stream(&seen, url("h2", "/denied"));
	assert_string_equal(outcome(&seen), "ok");
	assert_int_equal(seen.answer.status, 403);
	assert_string_equal(seen.answer.body, "{\"message\":\"no\"}");
	assert_int_equal(seen.pieces, 0);
	forget(&seen);
}

/* ---- deadlines ---- */

static void start_late(struct seen *seen, const char *where, bool stream, int64_t idle_ms)
{
	struct kon_http_request request = request_of(seen, where);
	request.timeout_ms = SOON_MS;
	request.idle_ms = idle_ms;
	request.piece = stream ? see_piece : NULL;
	start(seen, &request);
}

static void no_answer_in_time_means_unknown(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 6; i++) {
		struct seen seen = {0};
		int64_t from_ms = kon_clock_boot_ms();
		struct kon_http_request request = request_of(&seen, url(servers[i / 2], "/never"));
		request.timeout_ms = 500; /* enough for TLS under valgrind */
		request.piece = i % 2 ? see_piece : NULL;
		start(&seen, &request);
		wait_said("request", i + 1);
		assert_string_equal(outcome(&seen), "unknown");
		assert_true(kon_clock_boot_ms() - from_ms >= 500);
		assert_int_equal(seen.answer.status, 0);
		assert_says(&seen, "not answered within 500 ms");
		forget(&seen);
	}
}

static void half_an_answer_in_time_means_unknown(void **state)
{
	(void)state;
	struct seen seen = {0};
	start_late(&seen, url("plain", "/half"), false, 0);
	assert_string_equal(outcome(&seen), "unknown");
	forget(&seen);
}

static void no_connection_in_time_means_not_sent(void **state)
{
	(void)state;
	struct seen seen = {0};
	start_late(&seen, url("silent", "/"), false, 0);
	wait_said("connect silent", 1);
	assert_string_equal(outcome(&seen), "store");
	assert_says(&seen, "no connection within 100 ms");
	forget(&seen);
}

static void a_stream_has_its_deadline_until_its_head_only(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct seen late = {0};
	struct kon_http_request request = request_of(&seen, url("plain", "/lines?20"));
	request.timeout_ms = 500;
	request.piece = see_piece;
	start(&seen, &request);
	wait_said("request plain GET /lines?20", 1);
	start_late(&late, url("silent", "/"), false, 0);
	for (int i = 0; i < 6; i++) { /* as many deadlines as fit into the stream's, and one more */
		assert_string_equal(outcome(&late), "store");
		forget(&late);
		start_late(&late, url("silent", "/"), false, 0);
	}
	assert_int_equal(seen.done, 0);
	kon_http_cancel(late.call);
	kon_http_cancel(seen.call);
	forget(&late);
	forget(&seen);
}

static void a_silent_stream_ends_as_unknown(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {0};
		struct kon_http_request request = request_of(&seen, url(servers[i], "/silent"));
		request.idle_ms = 50;
		request.piece = see_piece;
		start(&seen, &request);
		assert_string_equal(outcome(&seen), "unknown");
		assert_int_equal(seen.answer.status, 200);
		assert_says(&seen, "silent for 50 ms");
		forget(&seen);
	}
}

static void silence_is_counted_from_the_last_piece(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct kon_http_request request = request_of(&seen, url("tls", "/lines?40"));
	request.idle_ms = 300;
	request.piece = see_piece;
	start(&seen, &request);
	int64_t last_ms = 0;
	for (int line = 6; line < 10; line++) { /* those before were released by an earlier test */
		wait_streamed(&seen, (size_t)(11 * line));
		while (kon_clock_boot_ms() < last_ms + 150) /* each is late for the one before the last */
			poll(NULL, 0, 1);
		last_ms = kon_clock_boot_ms();
		char token[16];
		snprintf(token, sizeof(token), "l%d", line);
		release(token);
	}
	wait_streamed(&seen, 110);
	assert_string_equal(outcome(&seen), "unknown");
	assert_int_equal(seen.streamed.size, 110);
	assert_true(kon_clock_boot_ms() - last_ms >= 300);
	forget(&seen);
}

static void an_answer_that_waits_in_the_kernel_is_not_late(void **state)
{
	(void)state;
	struct seen seen = {0};
	int64_t late_ms = kon_clock_boot_ms() + SOON_MS + 1;
	start_late(&seen, url("plain", "/later?held"), false, 0);
	wait_said("request plain GET /later?held", 1);
	release("held");
	/* From here the loop stands still, as when the process is stopped, until both are there. */
	struct pollfd answered = {.fd = socket_to("plain"), .events = POLLIN};
	assert_int_equal(poll(&answered, 1, PATIENCE_MS), 1);
	while (kon_clock_boot_ms() <= late_ms)
		poll(NULL, 0, 1);
	assert_string_equal(outcome(&seen), "ok");
	assert_string_equal(seen.answer.body, "late");
	forget(&seen);
}

/* ---- what goes wrong ---- */

static void nobody_listens_means_not_sent(void **state)
{
	(void)state;
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("closed", "/secret?token=abc")), "store");
	assert_says(&seen, "GET http://127.0.0.1:");
	assert_says(&seen, "/secret: not sent: ");
	assert_null(strstr(seen.answer.err.detail, "token"));
	forget(&seen);
}

static void a_name_that_does_not_resolve_means_not_sent(void **state)
{
	(void)state;
	struct seen seen = {0};
	assert_string_equal(get(&seen, "https://no-such-host.invalid/"), "store");
	assert_says(&seen, "no-such-host.invalid");
	forget(&seen);
}

static void what_is_no_url_is_configuration(void **state)
{
	(void)state;
	static const char *const urls[] = {
		"", "http://", "http://[::", "ftp://127.0.0.1/", "file:///etc/passwd", "http://ada:secret@127.0.0.1/"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct seen seen = {0};
		assert_string_equal(get(&seen, urls[i]), "config");
		assert_null(strstr(seen.answer.err.detail, "secret"));
		forget(&seen);
	}
}

static void a_connection_that_breaks_before_the_answer_means_unknown(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	static const char *const paths[] = {"/reset", "/vanish"};
	for (int i = 0; i < 6; i++) {
		struct seen seen = {0};
		struct kon_http_request request = request_of(&seen, url(servers[i / 2], paths[i % 2]));
		request.method = "PUT";
		request.body = "x";
		request.size = 1;
		request.fresh = true;
		start(&seen, &request);
		assert_string_equal(outcome(&seen), "unknown");
		assert_int_equal(seen.answer.status, 0);
		assert_says(&seen, "broken off after it was sent");
		forget(&seen);
	}
}

static void a_body_that_breaks_off_means_unknown(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	static const char *const paths[] = {"/cut", "/torn", "/truncated"};
	for (int i = 0; i < 9; i++) {
		struct seen seen = {0};
		assert_string_equal(get(&seen, url(servers[i / 3], paths[i % 3])), "unknown");
		assert_int_equal(seen.answer.status, 200);
		forget(&seen);
	}
}

static void a_stream_that_breaks_off_gives_first_what_came(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {0};
		start_stream(&seen, url(servers[i], "/truncated"));
		assert_string_equal(outcome(&seen), "unknown");
		assert_true(seen.streamed.size >= 10);
		assert_memory_equal(seen.streamed.data, "0123456789", 10);
		forget(&seen);
	}
}

static void a_failure_at_once_is_told_later(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct seen cancelled = {0};
	start_get(&seen, "http://[");
	start_get(&cancelled, "http://[");
	kon_http_cancel(cancelled.call);
	assert_string_equal(outcome(&seen), "config");
	assert_int_equal(cancelled.done, 0);
	forget(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(a_get_gives_status_type_body_and_the_servers_clock),
		t(a_put_arrives_with_its_headers_and_body),
		t(a_post_without_a_body_says_that_it_has_none),
		t(a_delete_carries_a_body),
		t(a_head_request_does_not_wait_for_a_body),
		t(retry_after_is_read_in_seconds_only),
		t(a_page_for_people_is_told_by_its_type),
		t(a_redirect_is_not_followed),
		t(a_proxy_of_the_environment_is_not_used),
		t(an_answer_may_be_as_long_as_allowed_and_no_longer),
		t(a_stream_is_whole_however_it_was_split),
		t(a_piece_comes_before_the_next_one_is_written),
		t(a_stream_is_not_limited_in_bytes),
		t(a_stream_that_is_refused_gives_its_body_to_done),
		t(no_answer_in_time_means_unknown),
		t(half_an_answer_in_time_means_unknown),
		t(no_connection_in_time_means_not_sent),
		t(a_stream_has_its_deadline_until_its_head_only),
		t(a_silent_stream_ends_as_unknown),
		t(silence_is_counted_from_the_last_piece),
		t(an_answer_that_waits_in_the_kernel_is_not_late),
		t(nobody_listens_means_not_sent),
		t(a_name_that_does_not_resolve_means_not_sent),
		t(what_is_no_url_is_configuration),
		t(a_connection_that_breaks_before_the_answer_means_unknown),
		t(a_body_that_breaks_off_means_unknown),
		t(a_stream_that_breaks_off_gives_first_what_came),
		t(a_failure_at_once_is_told_later),
	};
	return cmocka_run_group_tests_name("http", tests, start_peer, stop_peer);
}
