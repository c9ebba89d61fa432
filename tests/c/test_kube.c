/* Requests to an API server as one user: how long they are waited for. */
#include "kube.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "world.h"

/* A server that takes connections and never answers. */
static int silent_server(char *url, size_t size)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
	snprintf(url, size, "http://127.0.0.1:%d", ntohs(at.sin_port));
	return fd;
}

struct asked {
	struct kon_loop *loop;
	int code; /* 1: not answered */
};

static void on_done(void *data, const struct kon_http_answer *answer)
{
	struct asked *asked = data;
	asked->code = answer->code;
	kon_loop_stop(asked->loop);
}

static void ask(struct kon_kube *kube, struct asked *asked, int64_t limit_ms)
{
	struct kon_kube_request request = {
		.method = "GET", .path = "/version", .limit_ms = limit_ms, .done = on_done, .data = asked};
	kon_kube_start(kube, &request);
}

static void one_who_waits_for_ever_outlasts_one_who_does_not(void **state)
{
	char url[64];
	struct kon_err err;
	struct kon_kube *kube;
	struct asked patient = {.code = 1}, hasty = {.code = 1};
	(void)state;
	int fd = silent_server(url, sizeof(url));
	assert_int_equal(kon_loop_new(&patient.loop, NULL), 0);
	hasty.loop = patient.loop;
	assert_int_equal(kon_kube_new(&kube, hasty.loop, &(struct kon_kube_options){.server = url}, &err), 0);
	ask(kube, &patient, INT64_MAX);
	ask(kube, &hasty, 200);
	kon_loop_run(hasty.loop);
	assert_true(hasty.code == KON_UNKNOWN || hasty.code == KON_STORE);
	assert_int_equal(patient.code, 1);
	kon_kube_free(kube);
	kon_loop_free(hasty.loop);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_who_waits_for_ever_outlasts_one_who_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
