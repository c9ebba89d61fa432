/* Connections: shared while they are good, left when they may be dead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/tcp.h>

#include "test_http.h"

#define BURST 20

static void is_fine(const char *where)
{
	struct seen seen = {0};
	assert_string_equal(get(&seen, where), "ok");
	forget(&seen);
}

static void start_fresh(struct seen *seen, const char *where)
{
	struct kon_http_request request = request_of(seen, where);
	request.fresh = true;
	start(seen, &request);
}

static void burst(const char *server, bool fresh)
{
	struct seen seen[BURST] = {0};
	for (int i = 0; i < BURST; i++) {
		if (fresh)
			start_fresh(&seen[i], url(server, "/html"));
		else
			start_get(&seen[i], url(server, "/html"));
	}
	for (int i = 0; i < BURST; i++) {
		assert_string_equal(outcome(&seen[i]), "ok");
		assert_int_equal(seen[i].answer.size, 37);
		forget(&seen[i]);
	}
}

/* ---- sharing ---- */

static void streams_and_requests_share_one_connection_of_http2(void **state)
{
	(void)state;
	struct seen one = {0};
	struct seen two = {0};
	start_stream(&one, url("h2", "/later?shared"));
	start_stream(&two, url("h2", "/later?shared"));
	burst("h2", false);
	burst("h2", false);
	release("shared");
	assert_string_equal(outcome(&one), "ok");
	assert_string_equal(outcome(&two), "ok");
	assert_int_equal(said("request h2"), 2 + 2 * BURST);
	assert_int_equal(said("connect h2"), 1);
	forget(&one);
	forget(&two);
}

static void requests_share_one_connection_of_http1_one_after_the_other(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls"};
	for (int i = 0; i < 2; i++) {
		for (int j = 0; j < 5; j++)
			is_fine(url(servers[i], "/html"));
		char words[32];
		snprintf(words, sizeof(words), "connect %s", servers[i]);
		assert_int_equal(said(words), 1);
	}
}

static void a_request_does_not_wait_for_a_stream_of_http1(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls"};
	for (int i = 0; i < 2; i++) {
		struct seen stream = {0};
		start_stream(&stream, url(servers[i], "/silent"));
		burst(servers[i], false);
		assert_int_equal(stream.done, 0);
		kon_http_cancel(stream.call);
		forget(&stream);
	}
}

static void http1_only_means_no_http2(void **state)
{
	(void)state;
	kon_http_free(http);
	struct kon_http_options options = {.ca_pem = ca_pem, .http1_only = true};
	http = new_http(&options);
	struct seen seen = {0};
	assert_string_equal(get(&seen, url("h2", "/echo")), "ok");
	assert_non_null(strstr(seen.answer.body, "[\"host\", ")); /* HTTP/2 has :authority */
	forget(&seen);
}

/* ---- connections that end ---- */

static void a_connection_that_the_server_closed_while_idle_is_not_noticed(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls"};
	static const char *const paths[] = {"/last?last0", "/last?last1"};
	for (int i = 0; i < 2; i++) {
		is_fine(url(servers[i], paths[i]));
		release(strchr(paths[i], '?') + 1);
		wait_said("gone", i + 1);
		struct seen seen = {0};
		struct kon_http_request request = request_of(&seen, url(servers[i], "/echo"));
		request.method = "PUT";
		request.body = "x";
		request.size = 1;
		start(&seen, &request);
		assert_string_equal(outcome(&seen), "ok");
		forget(&seen);
		assert_int_equal(said("connect"), 2 * i + 2);
	}
	assert_int_equal(said("request plain PUT /echo"), 1);
}

static void a_request_on_a_used_connection_that_breaks_is_sent_a_second_time(void **state)
{
	(void)state;
	is_fine(url("plain", "/html"));
	struct seen seen = {0};
	struct kon_http_request request = request_of(&seen, url("plain", "/vanish"));
	request.method = "PUT";
	request.body = "x";
	request.size = 1;
	start(&seen, &request);
	assert_string_equal(outcome(&seen), "unknown");
	assert_int_equal(said("request plain PUT /vanish"), 2); /* the second one over a new connection, and no third */
	assert_int_equal(said("connect plain"), 2);
	forget(&seen);
}

static void a_server_that_says_goodbye_gets_no_new_requests_over_that_connection(void **state)
{
	(void)state;
	struct seen stream = {0};
	start_stream(&stream, url("h2", "/later?goodbye"));
	wait_said("request h2 GET /later?goodbye", 1);
	is_fine(url("h2", "/goaway"));
	is_fine(url("h2", "/html"));
	burst("h2", false);
	assert_int_equal(said("connect h2"), 2);
	release("goodbye");
	assert_string_equal(outcome(&stream), "ok");
	assert_int_equal(stream.streamed.size, 4);
	forget(&stream);
}

static void a_burst_after_a_goodbye_arrives_whole_and_once(void **state)
{
	(void)state;
	struct seen stream = {0};
	start_stream(&stream, url("h2", "/later?whole"));
	wait_said("request h2 GET /later?whole", 1);
	is_fine(url("h2", "/goaway"));
	burst("h2", false);
	assert_int_equal(said("request h2 GET /html"), BURST);
	release("whole");
	assert_string_equal(outcome(&stream), "ok");
	forget(&stream);
}

static void a_connection_that_breaks_ends_all_its_streams(void **state)
{
	(void)state;
	struct seen one = {0};
	struct seen two = {0};
	start_stream(&one, url("h2", "/half"));
	wait_streamed(&one, 5);
	start_get(&two, url("h2", "/cut"));
	assert_string_equal(outcome(&two), "unknown");
	assert_string_equal(outcome(&one), "unknown");
	assert_int_equal(one.streamed.size, 5);
	is_fine(url("h2", "/html"));
	forget(&one);
	forget(&two);
}

static void a_stream_of_http2_that_is_reset_leaves_the_others_alone(void **state)
{
	(void)state;
	struct seen one = {0};
	struct seen two = {0};
	start_stream(&one, url("h2", "/later?alone"));
	wait_said("request h2 GET /later?alone", 1);
	assert_string_equal(get(&two, url("h2", "/torn")), "unknown");
	release("alone");
	assert_string_equal(outcome(&one), "ok");
	is_fine(url("h2", "/html"));
	assert_int_equal(said("connect h2"), 1);
	forget(&one);
	forget(&two);
}

/* ---- connections that may be dead ---- */

static void late(const char *where)
{
	struct seen seen = {0};
	struct kon_http_request request = request_of(&seen, where);
	request.timeout_ms = SOON_MS;
	start(&seen, &request);
	assert_string_equal(outcome(&seen), "unknown");
	forget(&seen);
}

static void after_a_late_call_new_ones_go_over_a_new_connection(void **state)
{
	(void)state;
	struct seen stream = {0};
	start_stream(&stream, url("h2", "/later?suspect"));
	wait_said("request h2 GET /later?suspect", 1);
	late(url("h2", "/never"));
	burst("h2", false);
	burst("h2", false);
	assert_int_equal(said("connect h2"), 2);
	assert_int_equal(stream.done, 0);
	assert_int_equal(said("gone h2"), 0);
	release("suspect"); /* it was alive after all: what it carries is served to its end, and then it goes */
	assert_string_equal(outcome(&stream), "ok");
	wait_said("gone h2", 1);
	is_fine(url("h2", "/html"));
	assert_int_equal(said("connect h2"), 2);
	forget(&stream);
}

static void a_late_call_alone_takes_its_connection_with_it(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		is_fine(url(servers[i], "/html"));
		late(url(servers[i], "/never"));
		is_fine(url(servers[i], "/html"));
		char words[32];
		snprintf(words, sizeof(words), "connect %s", servers[i]);
		assert_int_equal(said(words), 2);
	}
	wait_said("gone h2", 1); /* the others wait for their answer to go before they see it */
}

static void a_silent_stream_takes_the_new_calls_off_its_connection(void **state)
{
	(void)state;
	struct seen stream = {0};
	struct kon_http_request request = request_of(&stream, url("h2", "/silent"));
	request.piece = see_piece;
	request.idle_ms = SOON_MS;
	start(&stream, &request);
	assert_string_equal(outcome(&stream), "unknown");
	is_fine(url("h2", "/html"));
	assert_int_equal(said("connect h2"), 2);
	forget(&stream);
}

static void fresh_calls_share_one_new_connection(void **state)
{
	(void)state;
	is_fine(url("h2", "/html"));
	burst("h2", true);
	assert_int_equal(said("connect h2"), 2);
	burst("h2", false);
	assert_int_equal(said("connect h2"), 2);
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);
	assert_int_equal(getsockopt(fd, level, option, &value, &size), 0);
	return value;
}

static void a_connection_is_set_to_notice_a_dead_peer_within_30_s(void **state)
{
	(void)state;
	is_fine(url("h2", "/html"));
	int fd = socket_to("h2");
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	int idle_s = option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	int interval_s = option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	int count = option_of(fd, IPPROTO_TCP, TCP_KEEPCNT);
	assert_true(idle_s > 0 && interval_s > 0 && count > 0 && idle_s + interval_s * count <= 30);
	int unsent_ms = option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
	assert_true(unsent_ms > 0 && unsent_ms <= 30000);
	assert_true(option_of(fd, IPPROTO_TCP, TCP_NODELAY));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(streams_and_requests_share_one_connection_of_http2),
		t(requests_share_one_connection_of_http1_one_after_the_other),
		t(a_request_does_not_wait_for_a_stream_of_http1),
		t(http1_only_means_no_http2),
		t(a_connection_that_the_server_closed_while_idle_is_not_noticed),
		t(a_request_on_a_used_connection_that_breaks_is_sent_a_second_time),
		t(a_server_that_says_goodbye_gets_no_new_requests_over_that_connection),
		t(a_burst_after_a_goodbye_arrives_whole_and_once),
		t(a_connection_that_breaks_ends_all_its_streams),
		t(a_stream_of_http2_that_is_reset_leaves_the_others_alone),
		t(after_a_late_call_new_ones_go_over_a_new_connection),
		t(a_late_call_alone_takes_its_connection_with_it),
		t(a_silent_stream_takes_the_new_calls_off_its_connection),
		t(fresh_calls_share_one_new_connection),
		t(a_connection_is_set_to_notice_a_dead_peer_within_30_s),
	};
	return cmocka_run_group_tests_name("http: connections", tests, start_peer, stop_peer);
}
