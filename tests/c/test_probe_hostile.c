/* What hostile clients of the probe endpoint can not do: row 55 of the fault table, one limit a test. */
#include "probe_peer.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>

#include "clock.h"
#include "valgrind.h"

#define PLACES 64
#define LIFE_MS 5000

static void restart(int64_t life_ms)
{
	struct kon_err err;
	kon_probe_free(probe);
	connection_ms = life_ms;
	assert_int_equal(start("127.0.0.1:0", true, &probe, &err), 0);
}

/* After the tests that wait for the end of a connection's time: a machine may let one of ours pass, but not each. */
static void expect_an_answer(void)
{
	int tries = 1;
	while (get("/livez") != 200)
		assert_true(tries++ < 20);
}

static void a_head_of_a_mebibyte_is_refused(void **state)
{
	(void)state;
	char block[1024];
	memset(block, 'x', sizeof(block));
	int fd = connect_to(probe);
	say(fd, "GET /livez HTTP/1.1\r\nHost: pod\r\nX: ");
	int sent = 0;
	while (sent < 1024 && send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
		sent++;
	int status = status_of(hear(fd));
	/* The answer may be lost with the reset that follows it. */
	assert_true(status == 0 || status == 431 || status == 413);
	assert_int_equal(get("/livez"), 200);
}

static void nonsense_does_no_harm(void **state)
{
	(void)state;
	restart(0); /* some are waited with for as long as a connection may last */
	static const char *const heads[] = {
		"\r\n\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET /livez\r\n\r\n",
		"\x16\x03\x01\x02\r\n\r\n",
		"GET /%00%ff%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /livez HTTP/9.9\r\nContent-Length: -1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"};
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		int fd = connect_to(probe);
		say(fd, heads[i]);
		shutdown(fd, SHUT_WR);
		hear(fd);
	}
	expect_an_answer();
}

/* True when the server has closed within limit_ms. */
static bool closes_within(int fd, int limit_ms)
{
	struct pollfd ended = {.fd = fd, .events = POLLIN | POLLRDHUP};
	char byte;
	return poll(&ended, 1, limit_ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void dripping_does_not_keep_a_connection_longer_than_its_five_seconds(void **state)
{
	(void)state;
	restart(0);
	int64_t began_ms = kon_clock_boot_ms();
	int fd = connect_to(probe);
	say(fd, "GET /livez HTTP/1.1\r\nX: ");
	while (!closes_within(fd, 100)) {
		assert_true(kon_clock_boot_ms() - began_ms < PATIENCE_S * 1000);
		send(fd, "x", 1, MSG_NOSIGNAL);
	}
	assert_true(kon_clock_boot_ms() - began_ms >= LIFE_MS);
	close(fd);
}

static void a_newcomer_gets_the_place_of_the_oldest_at_once(void **state)
{
	(void)state;
	int idle[PLACES];
	for (int i = 0; i < PLACES; i++) {
		idle[i] = connect_to(probe);
		say(idle[i], "GET /livez HT");
	}
	assert_int_equal(get("/livez"), 200);
	assert_true(closes_within(idle[0], PATIENCE_S * 1000)); /* long before its own time is over */
	/* The others keep theirs. */
	for (int i = 1; i < PLACES; i++)
		say(idle[i], "TP/1.1\r\nHost: pod\r\n\r\n");
	for (int i = 1; i < PLACES; i++)
		assert_int_equal(status_of(hear(idle[i])), 200);
	close(idle[0]);
}

static void a_flood_from_one_address_does_not_touch_another_ones_connection(void **state)
{
	(void)state;
	int kubelet = connect_from("127.0.0.2", kon_probe_port(probe));
	say(kubelet, "GET /livez HTTP/1.1\r\n");
	static int flood[10 * PLACES];
	for (int i = 0; i < 10 * PLACES; i++)
		flood[i] = connect_to(probe);
	for (int i = 0; i < 10 * PLACES; i++)
		send(flood[i], "GET", 3, MSG_NOSIGNAL); /* some are closed by then */
	say(kubelet, "Host: pod\r\n\r\n");
	assert_int_equal(status_of(hear(kubelet)), 200);
	for (int i = 0; i < 10 * PLACES; i++)
		close(flood[i]);
}

/* Nor may the kernel hand over a silent one because its time is over; that there is a time is what is expected. */
static void make_the_kernel_patient(void)
{
	int patience_s = PATIENCE_S;
	int listening = 0;
	for (int fd = 3; fd < 256 && !listening; fd++) {
		int defer_s = 0;
		socklen_t size = sizeof(int);
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
			continue;
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer_s, &size), 0);
		assert_true(defer_s > 0);
		assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &patience_s, sizeof(int)), 0);
	}
	assert_true(listening);
}

static void silent_connections_take_no_place(void **state)
{
	(void)state;
	static int silent[10 * PLACES];
	int half[PLACES];
	make_the_kernel_patient();
	for (int i = 0; i < PLACES; i++) {
		half[i] = connect_to(probe);
		say(half[i], "GET /livez HT");
	}
	for (int i = 0; i < 10 * PLACES; i++)
		silent[i] = connect_to(probe);
	for (int i = 0; i < PLACES; i++)
		say(half[i], "TP/1.1\r\nHost: pod\r\n\r\n");
	for (int i = 0; i < PLACES; i++)
		assert_int_equal(status_of(hear(half[i])), 200);
	for (int i = 0; i < 10 * PLACES; i++)
		close(silent[i]);
}

/* The probe's end of a connection of ours; -1 as long as it has not been accepted. */
static int other_end_of(int client)
{
	struct sockaddr_in mine = {0};
	socklen_t size = sizeof(mine);
	assert_int_equal(getsockname(client, (struct sockaddr *)&mine, &size), 0);
	for (int fd = 0; fd < 256; fd++) {
		struct sockaddr_storage peer = {0};
		socklen_t peer_size = sizeof(peer);
		in_port_t port = 0;
		if (fd == client || getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0)
			continue;
		if (peer.ss_family == AF_INET)
			port = ((struct sockaddr_in *)&peer)->sin_port;
		else if (peer.ss_family == AF_INET6)
			port = ((struct sockaddr_in6 *)&peer)->sin6_port;
		if (port == mine.sin_port)
			return fd;
	}
	return -1;
}

/* Takes every number below the limit; those that the thread's accept holds for the moment that it finds nobody come
 * back, so only a number of refusals in a row means that there are none. */
static void take_all(int fillers[256])
{
	int count = 0;
	for (int refused = 0; refused < 1000; refused++) {
		int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
		if (fd >= 0) {
			fillers[count++] = fd;
			refused = 0;
		}
		sched_yield();
	}
	fillers[count] = -1;
}

static void without_descriptors_the_oldest_connection_makes_room(void **state)
{
	(void)state;
	if (in_valgrind())
		skip(); /* valgrind keeps the limit itself, and otherwise than the kernel */
	struct rlimit before;
	int fillers[256];
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	int oldest = connect_to(probe);
	say(oldest, "GET /livez HT");
	int accepted;
	for (int64_t began_ms = kon_clock_boot_ms(); (accepted = other_end_of(oldest)) < 0;)
		assert_true(kon_clock_boot_ms() - began_ms < PATIENCE_S * 1000);
	int newcomer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = PATIENCE_S};
	setsockopt(newcomer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((in_port_t)kon_probe_port(probe))};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* From now on the only number that can become free is that of the oldest connection. */
	struct rlimit none_left = {.rlim_cur = (rlim_t)accepted + 1, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
	take_all(fillers);
	int connected = connect(newcomer, (struct sockaddr *)&to, sizeof(to));
	say(newcomer, "GET /livez HTTP/1.1\r\nHost: pod\r\n\r\n");
	bool dropped = closes_within(oldest, PATIENCE_S * 1000); /* long before its own time is over */
	int status = status_of(hear(newcomer));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (int i = 0; fillers[i] >= 0; i++)
		close(fillers[i]);
	close(oldest);
	assert_int_equal(connected, 0);
	assert_true(dropped);
	assert_int_equal(status, 200);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_head_of_a_mebibyte_is_refused),
		T(nonsense_does_no_harm),
		T(dripping_does_not_keep_a_connection_longer_than_its_five_seconds),
		T(a_newcomer_gets_the_place_of_the_oldest_at_once),
		T(a_flood_from_one_address_does_not_touch_another_ones_connection),
		T(silent_connections_take_no_place),
		T(without_descriptors_the_oldest_connection_makes_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
