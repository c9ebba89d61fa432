/*
 * One thread runs everything: it polls the listening socket and libmicrohttpd's epoll
 * descriptor, and libmicrohttpd parses and answers (probe_answer.c) without its own.
 * Accepting ourselves is what lets a newcomer take the place of the oldest connection,
 * and gives each a deadline from accept: libmicrohttpd's own time limit counts silence,
 * which one byte a second defeats, and its own limit of connections shuts everybody out.
 */
#include "probe.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "probe_answer.h"
#include "probe_listen.h"

enum {
	PLACES = 64,
	CONNECTION_MEMORY = 8192, /* bytes: head, and answer */
	CONNECTION_MS = 5000,
	ACCEPTS_A_TURN = 16,     /* then those who are connected get their turn */
	NO_DESCRIPTORS_MS = 100, /* before accept is tried again when the process has none left */
	BUSY_LIMIT_MS = 5000,
	STACK_SIZE = 256 * 1024, /* bytes, touched only as far as used; AddressSanitizer needs about half */
};

struct place {
	int fd; /* libmicrohttpd owns it; -1: free */
	int64_t deadline_ms;
	uint64_t order; /* of arrival */
	struct in6_addr from;
};

struct kon_probe {
	struct MHD_Daemon *daemon;
	int listen_fd;
	int wake_fd; /* readable: the thread is to end */
	int mhd_fd;  /* libmicrohttpd's */
	int port;
	int64_t connection_ms;
	pthread_t thread;

	struct kon_probe_state state;

	/* The thread's own. */
	struct place places[PLACES];
	struct place *entering; /* the place of the connection that is being handed to libmicrohttpd */
	uint64_t arrivals;
	int64_t accept_after_ms;
};

/* --- connections --- */

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
	(void)connection;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = ((struct kon_probe *)data)->entering;
	} else {
		struct place *place = *context;
		place->fd = -1;
	}
}

/* libmicrohttpd sees the end on its next run and closes; the place is free then. */
static void drop(struct place *place)
{
	/* Reset instead of a polite end: thousands of dropped ones would otherwise linger in the kernel. */
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	setsockopt(place->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	shutdown(place->fd, SHUT_RDWR);
}

/* from NULL: any address. */
static struct place *oldest(struct kon_probe *probe, const struct in6_addr *from, int *count)
{
	struct place *found = NULL;
	*count = 0;
	for (struct place *place = probe->places; place < probe->places + PLACES; place++) {
		if (place->fd < 0 || (from != NULL && memcmp(&place->from, from, sizeof(*from)) != 0))
			continue;
		++*count;
		if (found == NULL || place->order < found->order)
			found = place;
	}
	return found;
}

static struct place *free_place(struct kon_probe *probe)
{
	for (struct place *place = probe->places; place < probe->places + PLACES; place++)
		if (place->fd < 0)
			return place;
	return NULL;
}

/*
 * When all places are taken: an address that has a quarter of them pays for its own newcomers, so a flood from one
 * address never reaches the kubelet's connection; otherwise the oldest of all goes.
 */
static struct place *make_room(struct kon_probe *probe, const struct in6_addr *from)
{
	int count;
	struct place *place = oldest(probe, from, &count);
	if (place == NULL || count < PLACES / 4)
		place = oldest(probe, NULL, &count);
	drop(place);
	MHD_run(probe->daemon);
	return free_place(probe);
}

static struct in6_addr address_of(const struct sockaddr_storage *peer)
{
	struct in6_addr out = {0};
	if (peer->ss_family == AF_INET6)
		out = ((const struct sockaddr_in6 *)peer)->sin6_addr;
	else
		memcpy(&out, &((const struct sockaddr_in *)peer)->sin_addr, sizeof(struct in_addr));
	return out;
}

static void enter(struct kon_probe *probe, int fd, const struct sockaddr_storage *peer, socklen_t peer_size)
{
	struct in6_addr from = address_of(peer);
	struct place *place = free_place(probe);
	if (place == NULL)
		place = make_room(probe, &from);
	if (place == NULL) {
		close(fd);
		return;
	}
	place->fd = fd;
	place->from = from;
	place->order = probe->arrivals++;
	place->deadline_ms = kon_clock_boot_ms() + probe->connection_ms;
	probe->entering = place;
	if (MHD_add_connection(probe->daemon, fd, (const struct sockaddr *)peer, peer_size) != MHD_YES)
		place->fd = -1; /* it has closed fd */
}

static void out_of_descriptors(struct kon_probe *probe)
{
	/* The kernel says so too when nobody is waiting to be accepted, and then nobody needs to go. */
	struct pollfd waiting = {.fd = probe->listen_fd, .events = POLLIN};
	if (poll(&waiting, 1, 0) != 1)
		return;
	int count;
	struct place *place = oldest(probe, NULL, &count);
	if (place != NULL)
		drop(place);
	else
		probe->accept_after_ms = kon_clock_boot_ms() + NO_DESCRIPTORS_MS;
}

static void accept_some(struct kon_probe *probe)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer;
		socklen_t size = sizeof(peer);
		int fd = accept4(probe->listen_fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			enter(probe, fd, &peer, size);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			out_of_descriptors(probe);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

/* --- the thread --- */

static int64_t expire(struct kon_probe *probe, int64_t now_ms)
{
	int64_t next_ms = INT64_MAX;
	for (struct place *place = probe->places; place < probe->places + PLACES; place++) {
		if (place->fd < 0)
			continue;
		if (place->deadline_ms <= now_ms)
			drop(place);
		else if (place->deadline_ms < next_ms)
			next_ms = place->deadline_ms;
	}
	return next_ms;
}

static int wait_ms(struct kon_probe *probe, int64_t now_ms, int64_t next_ms)
{
	MHD_UNSIGNED_LONG_LONG pending_ms;
	if (probe->accept_after_ms > now_ms && probe->accept_after_ms < next_ms)
		next_ms = probe->accept_after_ms;
	int64_t wait = next_ms == INT64_MAX ? -1 : next_ms - now_ms;
	if (MHD_get_timeout(probe->daemon, &pending_ms) == MHD_YES && (wait < 0 || pending_ms < (uint64_t)wait))
		wait = pending_ms < INT_MAX ? (int64_t)pending_ms : INT_MAX;
	return (int)wait;
}

static void *serve(void *data)
{
	struct kon_probe *probe = data;
	int64_t next_ms = INT64_MAX;
	for (;;) {
		int64_t now_ms = kon_clock_boot_ms();
		bool paused = probe->accept_after_ms > now_ms;
		struct pollfd fds[] = {
			{.fd = probe->wake_fd, .events = POLLIN},
			{.fd = probe->mhd_fd, .events = POLLIN},
			{.fd = paused ? -1 : probe->listen_fd, .events = POLLIN},
		};
		(void)poll(fds, sizeof(fds) / sizeof(fds[0]), wait_ms(probe, now_ms, next_ms));
		if (fds[0].revents != 0)
			return NULL;
		if (fds[2].revents != 0)
			accept_some(probe);
		MHD_run(probe->daemon);
		next_ms = expire(probe, kon_clock_boot_ms());
	}
}

static int start_thread(struct kon_probe *probe, struct kon_err *err)
{
	sigset_t all;
	sigset_t before;
	pthread_attr_t attributes;
	int result = pthread_attr_init(&attributes);
	if (result != 0)
		return kon_err_errno(err, KON_SYSTEM, result, "cannot start the probe endpoint's thread");
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	/* A heap of its own for the thread would keep what a flood of connections took. */
	mallopt(M_ARENA_MAX, 1);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&probe->thread, &attributes, serve, probe);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (result != 0)
		return kon_err_errno(err, KON_SYSTEM, result, "cannot start the probe endpoint's thread");
	pthread_setname_np(probe->thread, "kon-probe");
	return 0;
}

/* --- what the main thread calls --- */

static int start_daemon(struct kon_probe *probe, struct kon_err *err)
{
	probe->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, kon_probe_answer,
	                                 &probe->state, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
	                                 MHD_OPTION_CONNECTION_LIMIT, (unsigned)PLACES, MHD_OPTION_NOTIFY_CONNECTION,
	                                 on_connection, probe, MHD_OPTION_END);
	if (probe->daemon == NULL)
		return kon_err_set(err, KON_SYSTEM, "the HTTP server of the probe endpoint does not start");
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(probe->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return kon_err_set(err, KON_SYSTEM, "libmicrohttpd was built without epoll");
	probe->mhd_fd = info->epoll_fd;
	return 0;
}

static struct kon_probe *new_probe(const struct kon_probe_options *options)
{
	struct kon_probe *probe = calloc(1, sizeof(*probe));
	if (probe == NULL)
		return NULL;
	probe->listen_fd = -1;
	probe->wake_fd = -1;
	probe->state.busy_ms = options->busy_ms;
	probe->state.busy_data = options->busy_data;
	probe->state.busy_limit_ms = options->busy_limit_ms > 0 ? options->busy_limit_ms : BUSY_LIMIT_MS;
	probe->connection_ms = options->connection_ms > 0 ? options->connection_ms : CONNECTION_MS;
	atomic_init(&probe->state.flags, KON_PROBE_STANDBY_READY);
	pthread_mutex_init(&probe->state.metrics_lock, NULL);
	for (struct place *place = probe->places; place < probe->places + PLACES; place++)
		place->fd = -1;
	return probe;
}

/* All but the thread; accepts a half-made probe. */
static void free_probe(struct kon_probe *probe)
{
	if (probe->daemon != NULL)
		MHD_stop_daemon(probe->daemon);
	if (probe->listen_fd >= 0)
		close(probe->listen_fd);
	if (probe->wake_fd >= 0)
		close(probe->wake_fd);
	pthread_mutex_destroy(&probe->state.metrics_lock);
	free(probe->state.metrics);
	free(probe);
}

int kon_probe_start(struct kon_probe **out, const struct kon_probe_options *options, struct kon_err *err)
{
	*out = NULL;
	struct kon_probe *probe = new_probe(options);
	if (probe == NULL)
		return kon_err_set(err, KON_SYSTEM, "no memory for the probe endpoint");

	int result = kon_probe_listen(options->listen, &probe->port, err);
	if (result >= 0) {
		probe->listen_fd = result;
		probe->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		result = probe->wake_fd < 0 ? kon_err_errno(err, KON_SYSTEM, errno, "cannot make an eventfd") : 0;
	}
	if (result == 0)
		result = start_daemon(probe, err);
	if (result == 0)
		result = start_thread(probe, err);
	if (result == 0) {
		*out = probe;
		return 0;
	}
	free_probe(probe);
	if (result != KON_EXISTS)
		return result;
	if (err != NULL)
		err->code = KON_CONFIG;
	return options->explicit_listen ? KON_CONFIG : 0;
}

void kon_probe_free(struct kon_probe *probe)
{
	if (probe == NULL)
		return;
	const uint64_t one = 1;
	/* An eventfd takes eight bytes unless its counter is full, which one write cannot make it. */
	ssize_t ignored = write(probe->wake_fd, &one, sizeof(one));
	(void)ignored;
	pthread_join(probe->thread, NULL);
	free_probe(probe);
}

int kon_probe_port(const struct kon_probe *probe)
{
	return probe == NULL ? 0 : probe->port;
}

void kon_probe_set(struct kon_probe *probe, enum kon_probe_flag flag, bool on)
{
	if (probe == NULL)
		return;
	if (on)
		atomic_fetch_or(&probe->state.flags, flag);
	else
		atomic_fetch_and(&probe->state.flags, ~(unsigned)flag);
}

void kon_probe_metrics(struct kon_probe *probe, const char *text)
{
	if (probe == NULL)
		return;
	char *copy = strdup(text);
	if (copy == NULL)
		return;
	pthread_mutex_lock(&probe->state.metrics_lock);
	char *old = probe->state.metrics;
	probe->state.metrics = copy;
	pthread_mutex_unlock(&probe->state.metrics_lock);
	free(old);
}
