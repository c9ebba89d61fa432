/* The probe's client, against the real endpoint. */
#include "probe_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "probe.h"

#define PATIENCE_MS 120000L

static struct kon_probe *probe;
static char url[128];

static int set_up(void **state)
{
	(void)state;
	struct kon_err err;
	struct kon_probe_options options = {.listen = "127.0.0.1:0", .connection_ms = PATIENCE_MS};
	return kon_probe_start(&probe, &options, &err);
}

static int tear_down(void **state)
{
	(void)state;
	kon_probe_free(probe);
	probe = NULL;
	return 0;
}

static const char *url_of(int port, const char *path)
{
	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
	return url;
}

static void an_answer_is_its_status_whatever_it_says(void **state)
{
	(void)state;
	int status = 0;
	struct kon_err err;
	assert_int_equal(kon_probe_get(url_of(kon_probe_port(probe), "/livez"), PATIENCE_MS, &status, &err), 0);
	assert_int_equal(status, 200);
	assert_int_equal(kon_probe_get(url_of(kon_probe_port(probe), "/readyz"), PATIENCE_MS, &status, &err), 0);
	assert_int_equal(status, 503);
	assert_int_equal(kon_probe_get(url_of(kon_probe_port(probe), ""), PATIENCE_MS, &status, &err), 0);
	assert_int_equal(status, 404);
}

static void a_proxy_in_the_environment_is_not_asked(void **state)
{
	(void)state;
	int status = 0;
	struct kon_err err;
	setenv("http_proxy", "http://127.0.0.1:9", 1);
	setenv("all_proxy", "http://127.0.0.1:9", 1);
	int result = kon_probe_get(url_of(kon_probe_port(probe), "/livez"), PATIENCE_MS, &status, &err);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	assert_int_equal(result, 0);
	assert_int_equal(status, 200);
}

static void nobody_there_is_told_with_the_url(void **state)
{
	(void)state;
	int status = -1;
	struct kon_err err;
	int port = kon_probe_port(probe);
	kon_probe_free(probe);
	probe = NULL;
	assert_int_equal(kon_probe_get(url_of(port, "/livez"), PATIENCE_MS, &status, &err), KON_SYSTEM);
	assert_non_null(strstr(err.detail, url));
	assert_int_equal(status, -1);
}

static void what_is_no_http_url_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"", "http://", "ftp://127.0.0.1/", "file:///etc/passwd", "https://127.0.0.1/", "http://[::"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int status;
		struct kon_err err;
		assert_int_equal(kon_probe_get(wrong[i], PATIENCE_MS, &status, &err), KON_CONFIG);
	}
}

static void a_server_that_says_nothing_ends_in_a_timeout(void **state)
{
	(void)state;
	int status;
	struct kon_err err;
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	int64_t began_ms = kon_clock_boot_ms();
	assert_int_equal(kon_probe_get(url_of(ntohs(address.sin_port), "/"), 200, &status, &err), KON_TIMEOUT);
	assert_true(kon_clock_boot_ms() - began_ms >= 199);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_answer_is_its_status_whatever_it_says),
		T(a_proxy_in_the_environment_is_not_asked),
		T(nobody_there_is_told_with_the_url),
		T(what_is_no_http_url_is_refused),
		T(a_server_that_says_nothing_ends_in_a_timeout),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
