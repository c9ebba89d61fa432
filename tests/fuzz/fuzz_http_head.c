/*
 * Any bytes to the probe endpoint, over a real connection: it answers with a status that it knows, closes, or waits for
 * more, and the kubelet is answered afterwards.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kon_probe *probe;

/* libFuzzer's own alarm interrupts. */
static bool wait_readable(int fd, int patience_ms)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	int result;
	do
		result = poll(&readable, 1, patience_ms);
	while (result < 0 && errno == EINTR);
	return result == 1;
}

/* Of a connect that the alarm interrupted: it goes on by itself. */
static bool ends_well(int fd)
{
	int problem = 0;
	socklen_t size = sizeof(problem);
	struct pollfd writable = {.fd = fd, .events = POLLOUT};
	while (poll(&writable, 1, -1) < 0 && errno == EINTR)
		;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) == 0 && problem == 0;
}

static int connect_to_probe(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((in_port_t)kon_probe_port(probe))};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && (errno != EINTR || !ends_well(fd))))
		abort();
	return fd;
}

/* Reads until the server closes, or says nothing for patience_ms: a head without an end waits for more. */
static size_t hear(int fd, char *answer, size_t room, int patience_ms)
{
	size_t got = 0;
	ssize_t part = 1;
	while (part > 0 && got < room && wait_readable(fd, patience_ms)) {
		part = recv(fd, answer + got, room - got, 0);
		got += part > 0 ? (size_t)part : 0;
	}
	return got;
}

/* The status of the answer, 0 when there was none. */
static int exchange(const void *data, size_t size, int patience_ms)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	char answer[16384];
	int fd = connect_to_probe();
	/* Fails when the server has refused already. */
	ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
	(void)sent;
	size_t got = hear(fd, answer, sizeof(answer) - 1, patience_ms);
	/* Nothing is left behind in the kernel, however many inputs there are. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	answer[got] = '\0';
	if (got == 0)
		return 0;
	if (strncmp(answer, "HTTP/1.", 7) != 0 || strlen(answer) < 12)
		abort();
	return (int)strtol(answer + 9, NULL, 10);
}

static bool is_known(int status)
{
	/* 0: no answer. From 400 on, those besides 404, 405 and 503 are libmicrohttpd's own. */
	static const int known[] = {0, 100, 200, 400, 404, 405, 411, 413, 414, 431, 500, 501, 503, 505};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (status == known[i])
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char livez[] = "GET /livez HTTP/1.1\r\nHost: pod\r\n\r\n";
	const struct kon_probe_options options = {.listen = "127.0.0.1:0"};
	if (probe == NULL && kon_probe_start(&probe, &options, NULL) != 0)
		abort();
	if (!is_known(exchange(data, size, 2)) || exchange(livez, sizeof(livez) - 1, 10000) != 200)
		abort();
	return 0;
}
