/*
 * What the tests of core/http.c share: the other side (test_http_server.py), a loop, and calls with what they told.
 * Include after cmocka.h.
 */
#ifndef KON_TEST_HTTP_H
#define KON_TEST_HTTP_H

#include <ev.h>
#include <libgen.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "buf.h"
#include "http.h"
#include "world.h"

#define PYTHON "/usr/bin/python3" /* Debian's, which python3-h2 belongs to */
#define MANY (1 << 20)
#define SOON_MS 100 /* for calls that shall be late */

struct peer {
	pid_t pid;
	int says;
	int hears;
	char *dir;
	char *lines[4096]; /* what it said */
	int count;
	char partial[512];
	size_t partial_size;
	int from; /* the first line of this test */
};

static struct peer peer;
static struct kon_loop *loop;
static struct kon_http *http;
static char *ca_pem;
static ev_io peer_io;

/* ---- the other side ---- */

static inline void note_line(void)
{
	assert_true(peer.count < (int)(sizeof(peer.lines) / sizeof(peer.lines[0])));
	peer.partial[peer.partial_size] = '\0';
	peer.lines[peer.count] = strdup(peer.partial);
	assert_non_null(peer.lines[peer.count++]);
	peer.partial_size = 0;
}

static inline void on_peer(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	(void)io;
	(void)revents;
	char bytes[4096];
	ssize_t size = read(peer.says, bytes, sizeof(bytes));
	assert_true(size > 0);
	for (ssize_t i = 0; i < size; i++) {
		if (bytes[i] == '\n') {
			note_line();
		} else {
			assert_true(peer.partial_size + 1 < sizeof(peer.partial));
			peer.partial[peer.partial_size++] = bytes[i];
		}
	}
}

/* How many lines of this test begin with these words.  It says a thing before it answers: what led to an answer that
 * we have is in the pipe. */
static inline int said(const char *words)
{
	int count = 0;
	for (struct pollfd pipe = {.fd = peer.says, .events = POLLIN}; poll(&pipe, 1, 0) == 1 && pipe.revents & POLLIN;)
		on_peer(NULL, NULL, 0);
	size_t size = strlen(words);
	for (int i = peer.from; i < peer.count; i++)
		if (strncmp(peer.lines[i], words, size) == 0 &&
		    (peer.lines[i][size] == '\0' || peer.lines[i][size] == ' '))
			count++;
	return count;
}

static inline void release(const char *token)
{
	dprintf(peer.hears, "release %s\n", token);
}

static inline int port_of(const char *server)
{
	char words[64];
	int size = snprintf(words, sizeof(words), "port %s ", server);
	for (int i = 0; i < peer.count; i++)
		if (strncmp(peer.lines[i], words, (size_t)size) == 0)
			return (int)strtol(peer.lines[i] + size, NULL, 10);
	fail_msg("there is no server '%s'", server);
	return 0;
}

/* Our socket to a server; there must be exactly one. */
static inline int socket_to(const char *server)
{
	int found = -1;
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_in at;
		socklen_t size = sizeof(at);
		if (getpeername(fd, (struct sockaddr *)&at, &size) != 0 || at.sin_family != AF_INET ||
		    ntohs(at.sin_port) != port_of(server))
			continue;
		assert_int_equal(found, -1);
		found = fd;
	}
	assert_true(found >= 0);
	return found;
}

static inline char *file_text(const char *authority, const char *leaf)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s/%s", peer.dir, authority, leaf);
	char *text = calloc(1, 8192);
	assert_non_null(text);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && read(fd, text, 8191) > 0);
	close(fd);
	return text;
}

static inline int start_peer(void **state)
{
	(void)state;
	char script[4096];
	char here[] = __FILE__;
	snprintf(script, sizeof(script), "%s/test_http_server.py", dirname(here));
	int says[2];
	int hears[2];
	assert_int_equal(pipe2(says, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hears, O_CLOEXEC), 0);
	signal(SIGPIPE, SIG_IGN); /* as konductor does */
	peer.dir = temp_dir();
	peer.pid = fork();
	assert_true(peer.pid >= 0);
	if (peer.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(hears[0], STDIN_FILENO);
		dup2(says[1], STDOUT_FILENO);
		execl(PYTHON, PYTHON, script, peer.dir, (char *)NULL);
		_exit(127);
	}
	close(says[1]);
	close(hears[0]);
	peer.says = says[0];
	peer.hears = hears[1];
	struct pollfd pipe = {.fd = peer.says, .events = POLLIN};
	while (said("ready") == 0)
		assert_int_equal(poll(&pipe, 1, PATIENCE_MS), 1);
	ca_pem = file_text("ours", "ca.pem");
	return 0;
}

static inline int stop_peer(void **state)
{
	(void)state;
	close(peer.hears);
	int status;
	assert_int_equal(waitpid(peer.pid, &status, 0), peer.pid);
	assert_int_equal(status, 0);
	close(peer.says);
	for (int i = 0; i < peer.count; i++)
		free(peer.lines[i]);
	free(ca_pem);
	remove_dir(peer.dir);
	return 0;
}

/* ---- the loop, until something is true ---- */

struct until {
	bool (*is)(const void *data);
	const void *data;
};

static inline void check_until(void *data)
{
	struct until *until = data;
	if (until->is(until->data))
		kon_loop_stop(loop);
}

static inline bool becomes(bool (*is)(const void *data), const void *data)
{
	struct until until = {is, data};
	if (is(data))
		return true;
	kon_loop_on_turn(loop, check_until, &until);
	bool became = run_loop(loop, PATIENCE_MS);
	kon_loop_on_turn(loop, NULL, NULL);
	return became;
}

struct words {
	const char *words;
	int count;
};

static inline bool was_said(const void *data)
{
	const struct words *words = data;
	return said(words->words) >= words->count;
}

static inline void wait_said(const char *words, int count)
{
	struct words wanted = {words, count};
	if (!becomes(was_said, &wanted))
		fail_msg("'%s' was said %d times instead of %d", words, said(words), count);
}

/* ---- one test ---- */

static inline struct kon_http *new_http(const struct kon_http_options *options)
{
	struct kon_err err = {0};
	struct kon_http *made = NULL;
	if (kon_http_new(&made, loop, options, &err) != 0)
		fail_msg("%s", err.detail);
	return made;
}

static inline int set_up(void **state)
{
	(void)state;
	struct kon_err err;
	assert_int_equal(kon_loop_new(&loop, &err), 0);
	ev_io_init(&peer_io, on_peer, peer.says, EV_READ);
	ev_io_start(kon_loop_ev(loop), &peer_io);
	struct kon_http_options options = {.ca_pem = ca_pem};
	http = new_http(&options);
	peer.from = peer.count;
	return 0;
}

/* The servers that notice it, have: what one test leaves behind must not be counted by the next. */
static inline bool left_nothing(const void *data)
{
	(void)data;
	return said("connect h2") == said("gone h2") && said("connect mutual") == said("gone mutual");
}

static inline int tear_down(void **state)
{
	(void)state;
	kon_http_free(http);
	assert_true(becomes(left_nothing, NULL));
	ev_io_stop(kon_loop_ev(loop), &peer_io);
	kon_loop_free(loop);
	return 0;
}

/* ---- a call ---- */

struct seen {
	struct kon_http_call *call;
	int done; /* how often */
	int pieces;
	struct kon_buf streamed;
	struct kon_http_answer answer; /* with texts of its own */
	char *type;
	char *body;
	void (*on_piece)(struct seen *seen);
	void (*on_done)(struct seen *seen);
	void *data;
};

static inline void see_piece(void *data, const char *bytes, size_t size)
{
	struct seen *seen = data;
	assert_int_equal(seen->done, 0);
	assert_true(size > 0);
	seen->pieces++;
	assert_true(kon_buf_add(&seen->streamed, bytes, size));
	if (seen->on_piece != NULL)
		seen->on_piece(seen);
}

static inline void see_done(void *data, const struct kon_http_answer *answer)
{
	struct seen *seen = data;
	assert_int_equal(seen->done++, 0);
	assert_int_equal(answer->code, answer->err.code);
	assert_int_equal(answer->body[answer->size], '\0');
	seen->answer = *answer;
	seen->answer.content_type = seen->type = strdup(answer->content_type);
	seen->answer.body = seen->body = strdup(answer->body);
	if (seen->on_done != NULL)
		seen->on_done(seen);
	seen->call = NULL;
}

static inline void forget(struct seen *seen)
{
	free(seen->type);
	free(seen->body);
	kon_buf_done(&seen->streamed);
	*seen = (struct seen){0};
}

static inline const char *url(const char *server, const char *path)
{
	static char urls[8][512];
	static int next;
	char *text = urls[next++ % 8];
	bool plain = strcmp(server, "plain") == 0 || strcmp(server, "closed") == 0;
	snprintf(text, sizeof(urls[0]), "%s://127.0.0.1:%d%s", plain ? "http" : "https", port_of(server), path);
	return text;
}

static inline struct kon_http_request request_of(struct seen *seen, const char *where)
{
	*seen = (struct seen){.on_piece = seen->on_piece, .on_done = seen->on_done, .data = seen->data};
	kon_buf_init(&seen->streamed, 64 * MANY);
	return (struct kon_http_request){.method = "GET",
	                                 .url = where,
	                                 .timeout_ms = PATIENCE_MS,
	                                 .max_bytes = MANY,
	                                 .done = see_done,
	                                 .data = seen};
}

static inline void start(struct seen *seen, const struct kon_http_request *request)
{
	seen->call = kon_http_start(http, request);
	assert_non_null(seen->call);
	assert_int_equal(seen->done, 0);
}

static inline void start_get(struct seen *seen, const char *where)
{
	struct kon_http_request request = request_of(seen, where);
	start(seen, &request);
}

static inline void start_stream(struct seen *seen, const char *where)
{
	struct kon_http_request request = request_of(seen, where);
	request.piece = see_piece;
	start(seen, &request);
}

static inline bool is_done(const void *data)
{
	return ((const struct seen *)data)->done > 0;
}

static inline void finish(struct seen *seen)
{
	assert_true(becomes(is_done, seen));
}

/* Its code as a word, when it is done. */
static inline const char *outcome(struct seen *seen)
{
	finish(seen);
	return kon_err_word(seen->answer.code);
}

static inline const char *get(struct seen *seen, const char *where)
{
	start_get(seen, where);
	return outcome(seen);
}

static inline bool has_streamed(const void *data)
{
	const struct seen *seen = data;
	return seen->streamed.size >= *(const size_t *)seen->data;
}

/* Waits until so many bytes have come in pieces. */
static inline void wait_streamed(struct seen *seen, size_t size)
{
	void *before = seen->data;
	seen->data = &size;
	bool came = becomes(has_streamed, seen);
	seen->data = before;
	assert_true(came);
}

static inline void assert_says(const struct seen *seen, const char *words)
{
	if (strstr(seen->answer.err.detail, words) == NULL)
		fail_msg("'%s' does not say '%s'", seen->answer.err.detail, words);
}

#define t(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
