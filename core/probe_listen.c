#include "probe_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool parse_port(const char *text, in_port_t *out)
{
	unsigned port = 0;
	const char *at = text;
	for (; *at >= '0' && *at <= '9' && port <= UINT16_MAX; at++)
		port = port * 10 + (unsigned)(*at - '0');
	if (at == text || *at != '\0' || port > UINT16_MAX)
		return false;
	*out = htons((in_port_t)port);
	return true;
}

static bool parse_address(const char *text, union address *out)
{
	char host[INET6_ADDRSTRLEN];
	in_port_t port;
	const char *colon = strrchr(text, ':');
	if (colon == NULL || !parse_port(colon + 1, &port))
		return false;

	size_t size = (size_t)(colon - text);
	bool brackets = size >= 2 && text[0] == '[' && text[size - 1] == ']';
	if (brackets) {
		text++;
		size -= 2;
	}
	if (size >= sizeof(host))
		return false;
	memcpy(host, text, size);
	host[size] = '\0';

	memset(out, 0, sizeof(*out));
	if (brackets || size == 0) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = port;
		return inet_pton(AF_INET6, brackets ? host : "::", &out->v6.sin6_addr) == 1;
	}
	out->v4.sin_family = AF_INET;
	out->v4.sin_port = port;
	return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1;
}

static socklen_t address_size(const union address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

/*
 * The kernel keeps connections to itself until they have sent something: the silent ones take no place of ours, and a
 * request is there when its connection is accepted, so that it is answered in the same turn.  Without it (not every
 * sandbox has it) all works, but a flood may displace a client between its connect and its request.
 */
static void accept_with_data_only(int fd)
{
	const int patience_s = 5;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &patience_s, sizeof(patience_s));
}

/* The descriptor, or -errno. */
static int open_listening(const union address *address)
{
	const int on = 1;
	const int off = 0;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	bool v6 = address->any.sa_family == AF_INET6;
	accept_with_data_only(fd);
	/* Reuse: a restarted pod finds its own closed connections in TIME_WAIT. A living listener still refuses us. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
	    bind(fd, &address->any, address_size(address)) != 0 || listen(fd, SOMAXCONN) != 0) {
		int saved = errno;
		close(fd);
		return -saved;
	}
	return fd;
}

static bool is_v6_any(const union address *address)
{
	return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

static int port_of(int fd)
{
	union address address;
	socklen_t size = sizeof(address);
	if (getsockname(fd, &address.any, &size) != 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static int explain(const char *text, int errnum, struct kon_err *err)
{
	switch (errnum) {
	case EADDRINUSE:
		return kon_err_set(err, KON_EXISTS, "the probe endpoint cannot listen on %s: another process does",
		                   text);
	case EACCES:
		return kon_err_set(err, KON_CONFIG,
		                   "the probe endpoint may not listen on %s: ports below 1024 need a right; "
		                   "choose a higher one",
		                   text);
	case EADDRNOTAVAIL:
		return kon_err_set(err, KON_CONFIG,
		                   "the probe endpoint cannot listen on %s: this host has no such address", text);
	default:
		return kon_err_errno(err, KON_CONFIG, errnum, "the probe endpoint cannot listen on %s", text);
	}
}

int kon_probe_listen(const char *text, int *port, struct kon_err *err)
{
	union address address;
	if (!parse_address(text, &address))
		return kon_err_set(err, KON_USAGE,
		                   "the probe endpoint takes a numeric address and a port, such as [::]:5047, "
		                   "127.0.0.1:8080 or :5047, or the word off; got \"%.80s\"",
		                   text);

	int fd = open_listening(&address);
	if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && is_v6_any(&address)) {
		in_port_t same_port = address.v6.sin6_port;
		memset(&address, 0, sizeof(address));
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = same_port;
		fd = open_listening(&address);
	}
	if (fd < 0)
		return explain(text, -fd, err);
	*port = port_of(fd);
	return fd;
}
