/* A probe endpoint for one test and a client of it, for the tests of both halves: answers and hostile clients. */
#ifndef PROBE_PEER_H
#define PROBE_PEER_H

#include "probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static _Atomic int64_t busy_for_ms;
static struct kon_probe *probe;

static int64_t busy_ms(void *data)
{
	(void)data;
	return busy_for_ms;
}

#define PATIENCE_S 120 /* to tell a hang from a slow machine */

/* 0: as it is by default.  Tests of anything but that time give so much that no slowness can use it up. */
static int64_t connection_ms;

static int start(const char *listen, bool explicit_listen, struct kon_probe **out, struct kon_err *err)
{
	struct kon_probe_options options = {.listen = listen,
	                                    .explicit_listen = explicit_listen,
	                                    .busy_ms = busy_ms,
	                                    .connection_ms = connection_ms};
	return kon_probe_start(out, &options, err);
}

static int set_up(void **state)
{
	(void)state;
	struct kon_err err;
	busy_for_ms = 0;
	connection_ms = 10 * PATIENCE_S * 1000;
	return start("127.0.0.1:0", true, &probe, &err);
}

static int tear_down(void **state)
{
	(void)state;
	kon_probe_free(probe);
	probe = NULL;
	return 0;
}

/* --- a client --- */

static int connect_from(const char *source, int port)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
	struct timeval patience = {.tv_sec = PATIENCE_S};
	inet_pton(AF_INET, source, &from.sin_addr);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int connect_to(const struct kon_probe *to)
{
	return connect_from("127.0.0.1", kon_probe_port(to));
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything until the server closes, which ends fd; what came is NUL-terminated. */
static const char *hear(int fd)
{
	static char answer[65536];
	size_t size = 0;
	ssize_t got;
	while (size < sizeof(answer) - 1 && (got = recv(fd, answer + size, sizeof(answer) - 1 - size, 0)) > 0)
		size += (size_t)got;
	answer[size] = '\0';
	close(fd);
	return answer;
}

static const char *ask(const char *method, const char *path)
{
	char head[256];
	snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: pod\r\n\r\n", method, path);
	int fd = connect_to(probe);
	say(fd, head);
	return hear(fd);
}

static int status_of(const char *answer)
{
	return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

static int get(const char *path)
{
	return status_of(ask("GET", path));
}

static inline const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	return end == NULL ? "" : end + 4;
}

#endif
