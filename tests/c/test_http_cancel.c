/* A call may be cancelled, and the client freed, at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_http.h"

/* The loop goes on for a whole exchange with the server, so that a callback that must not come had its chance. */
static void exchange(const char *server)
{
	struct seen seen = {0};
	assert_string_equal(get(&seen, url(server, "/nothing")), "ok");
	forget(&seen);
}

static void cancel(struct seen *seen)
{
	kon_http_cancel(seen->call);
	seen->call = NULL;
}

static void a_call_that_was_just_started(void **state)
{
	(void)state;
	struct seen seen = {0};
	start_get(&seen, url("plain", "/echo"));
	cancel(&seen);
	exchange("plain");
	assert_int_equal(seen.done, 0);
	assert_int_equal(said("request plain GET /echo"), 0);
	forget(&seen);
}

static void a_call_that_resolves_its_host(void **state)
{
	(void)state;
	struct seen seen = {0};
	start_get(&seen, "http://host.example.invalid/");
	exchange("plain"); /* the name is being asked for by now, or the answer has come */
	int done = seen.done;
	cancel(&seen);
	exchange("plain");
	assert_int_equal(seen.done, done);
	forget(&seen);
}

static void a_call_in_the_middle_of_tls(void **state)
{
	(void)state;
	struct seen seen = {0};
	start_get(&seen, url("silent", "/"));
	wait_said("connect silent", 1);
	cancel(&seen);
	exchange("plain");
	assert_int_equal(seen.done, 0);
	forget(&seen);
}

static void a_call_that_waits_for_another_ones_connection(void **state)
{
	(void)state;
	struct seen first = {0};
	struct seen second = {0};
	start_get(&first, url("h2", "/echo"));
	start_get(&second, url("h2", "/html"));
	cancel(&first);
	assert_string_equal(outcome(&second), "ok");
	assert_int_equal(first.done, 0);
	forget(&first);
	forget(&second);
}

static void a_call_that_was_sent(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {0};
		start_get(&seen, url(servers[i], "/never"));
		wait_said("request", 2 * i + 1);
		cancel(&seen);
		exchange(servers[i]);
		assert_int_equal(seen.done, 0);
		forget(&seen);
	}
}

static void a_call_with_half_its_body(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {0};
		struct kon_http_request request = request_of(&seen, url(servers[i], "/half"));
		request.piece = see_piece;
		start(&seen, &request);
		wait_streamed(&seen, 5);
		cancel(&seen);
		exchange(servers[i]);
		assert_int_equal(seen.done, 0);
		forget(&seen);
	}
}

static void a_stream_of_http2_while_others_go_on(void **state)
{
	(void)state;
	struct seen one = {0};
	struct seen two = {0};
	start_stream(&one, url("h2", "/half"));
	start_stream(&two, url("h2", "/later?two"));
	wait_streamed(&one, 5);
	cancel(&one);
	exchange("h2"); /* libcurl 7.88 tells the server of it with whatever it sends next */
	wait_said("cancelled h2", 1);
	release("two");
	assert_string_equal(outcome(&two), "ok");
	assert_int_equal(said("accept h2"), 1);
	forget(&one);
	forget(&two);
}

/* ---- within callbacks ---- */

static void cancel_own(struct seen *seen)
{
	kon_http_cancel(seen->call);
}

static void cancel_other(struct seen *seen)
{
	cancel(seen->data);
}

static void free_client(struct seen *seen)
{
	(void)seen;
	kon_http_free(http);
	http = NULL;
	kon_loop_stop(loop);
}

static void a_stream_by_its_piece(void **state)
{
	(void)state;
	static const char *const servers[] = {"plain", "tls", "h2"};
	for (int i = 0; i < 3; i++) {
		struct seen seen = {.on_piece = cancel_own};
		start_stream(&seen, url(servers[i], "/split?100"));
		wait_streamed(&seen, 1);
		exchange(servers[i]);
		assert_int_equal(seen.pieces, 1);
		assert_int_equal(seen.done, 0);
		forget(&seen);
	}
}

static void a_call_by_its_own_end(void **state)
{
	(void)state;
	struct seen seen = {.on_done = cancel_own};
	assert_string_equal(get(&seen, url("h2", "/html")), "ok");
	assert_string_equal(seen.answer.body, "<!DOCTYPE html><title>Sign in</title>");
	exchange("h2");
	forget(&seen);
}

/* Both have something to tell in the same turn: they failed within kon_http_start(), or came over one connection. */
static void a_call_by_the_end_of_another(void **state)
{
	(void)state;
	struct seen other = {0};
	struct seen seen = {.on_done = cancel_other, .data = &other};
	start_get(&seen, "http://[");
	start_get(&other, "http://[");
	assert_string_equal(outcome(&seen), "config");
	exchange("plain");
	assert_int_equal(other.done, 0);
	forget(&seen);
	forget(&other);
}

static void a_stream_by_the_piece_of_another(void **state)
{
	(void)state;
	struct seen other = {0};
	struct seen seen = {.on_piece = cancel_other, .data = &other};
	start_stream(&other, url("h2", "/later?both"));
	start_stream(&seen, url("h2", "/later?both"));
	wait_said("request h2 GET /later?both", 2);
	release("both");
	finish(&seen);
	exchange("h2");
	assert_int_equal(other.done, other.pieces); /* it was earlier, or it never came */
	forget(&seen);
	forget(&other);
}

static void start_next(struct seen *seen)
{
	start_get(seen->data, url("tls", "/html"));
}

static void nothing_when_an_end_starts_the_next_call(void **state)
{
	(void)state;
	struct seen next = {0};
	struct seen first = {.on_done = start_next, .data = &next};
	assert_string_equal(get(&first, url("tls", "/html")), "ok");
	assert_string_equal(outcome(&next), "ok");
	assert_int_equal(said("accept tls"), 1);
	forget(&first);
	forget(&next);
}

/* ---- the client ---- */

static void a_client_with_calls_in_every_state(void **state)
{
	(void)state;
	struct seen seen[6] = {0};
	start_get(&seen[0], url("silent", "/"));
	start_get(&seen[1], url("plain", "/never"));
	start_stream(&seen[2], url("h2", "/half"));
	start_get(&seen[3], url("h2", "/never"));
	wait_said("connect silent", 1);
	wait_said("request plain", 1);
	wait_streamed(&seen[2], 5);
	start_get(&seen[4], url("tls", "/echo"));
	start_get(&seen[5], "http://[");
	kon_http_free(http);
	http = NULL;
	wait_said("gone h2", 1);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(seen[i].done, 0);
		forget(&seen[i]);
	}
}

static void a_client_by_a_piece(void **state)
{
	(void)state;
	struct seen seen = {.on_piece = free_client};
	struct seen other = {0};
	start_get(&other, url("h2", "/never"));
	start_stream(&seen, url("h2", "/half"));
	assert_true(run_loop(loop, PATIENCE_MS));
	wait_said("gone h2", 1);
	assert_int_equal(seen.pieces, 1);
	assert_int_equal(seen.done + other.done, 0);
	forget(&seen);
	forget(&other);
}

static void a_client_by_an_end(void **state)
{
	(void)state;
	struct seen seen = {.on_done = free_client};
	struct seen other = {0};
	start_get(&seen, "http://[");
	start_get(&other, "http://[");
	assert_true(run_loop(loop, PATIENCE_MS));
	assert_int_equal(seen.done, 1);
	assert_int_equal(other.done, 0);
	forget(&seen);
	forget(&other);
}

static void a_client_by_the_end_of_a_late_call(void **state)
{
	(void)state;
	struct seen seen = {.on_done = free_client};
	struct kon_http_request request = request_of(&seen, url("h2", "/never"));
	request.timeout_ms = SOON_MS;
	start(&seen, &request);
	assert_true(run_loop(loop, PATIENCE_MS));
	assert_int_equal(seen.done, 1);
	forget(&seen);
}

static void nothing_at_all(void **state)
{
	(void)state;
	kon_http_cancel(NULL);
	kon_http_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(a_call_that_was_just_started),
		t(a_call_that_resolves_its_host),
		t(a_call_in_the_middle_of_tls),
		t(a_call_that_waits_for_another_ones_connection),
		t(a_call_that_was_sent),
		t(a_call_with_half_its_body),
		t(a_stream_of_http2_while_others_go_on),
		t(a_stream_by_its_piece),
		t(a_call_by_its_own_end),
		t(a_call_by_the_end_of_another),
		t(a_stream_by_the_piece_of_another),
		t(nothing_when_an_end_starts_the_next_call),
		t(a_client_with_calls_in_every_state),
		t(a_client_by_a_piece),
		t(a_client_by_an_end),
		t(a_client_by_the_end_of_a_late_call),
		t(nothing_at_all),
	};
	return cmocka_run_group_tests_name("http: cancel", tests, start_peer, stop_peer);
}
