/* The probe endpoint over real sockets: what it answers, its thread, and the addresses it takes. */
#include "probe_peer.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "clock.h"

/* --- answers --- */

static void livez_holds_from_the_start_and_fails_while_one_step_lasts_too_long(void **state)
{
	(void)state;
	assert_int_equal(get("/livez"), 200);
	busy_for_ms = 5000;
	assert_int_equal(get("/livez"), 200);
	busy_for_ms = 5001;
	const char *answer = ask("GET", "/livez");
	assert_int_equal(status_of(answer), 503);
	assert_non_null(strstr(answer, "5001 ms"));
	busy_for_ms = 0;
	assert_int_equal(get("/livez"), 200);
}

static void readyz_waits_for_init_and_ends_with_stopping(void **state)
{
	(void)state;
	assert_int_equal(get("/readyz"), 503);
	kon_probe_set(probe, KON_PROBE_INIT_DONE, true);
	assert_int_equal(get("/readyz"), 200);
	kon_probe_set(probe, KON_PROBE_STOPPING, true);
	assert_int_equal(get("/readyz"), 503);
	assert_int_equal(get("/livez"), 200);
}

static void standby_counts_as_ready_unless_told_otherwise(void **state)
{
	(void)state;
	kon_probe_set(probe, KON_PROBE_INIT_DONE, true);
	kon_probe_set(probe, KON_PROBE_STANDBY, true);
	assert_int_equal(get("/readyz"), 200);
	kon_probe_set(probe, KON_PROBE_STANDBY_READY, false);
	assert_int_equal(get("/readyz"), 503);
	kon_probe_set(probe, KON_PROBE_STANDBY, false);
	assert_int_equal(get("/readyz"), 200);
}

static void leaderz_holds_only_while_holding(void **state)
{
	(void)state;
	assert_int_equal(get("/leaderz"), 503);
	kon_probe_set(probe, KON_PROBE_LEADER, true);
	assert_int_equal(get("/leaderz"), 200);
	kon_probe_set(probe, KON_PROBE_LEADER, false);
	assert_int_equal(get("/leaderz"), 503);
}

static void check_health(int status, const char *body)
{
	static const char *const paths[] = {"/", "/healthcheck"};
	for (size_t i = 0; i < 2; i++) {
		const char *answer = ask("GET", paths[i]);
		assert_int_equal(status_of(answer), status);
		assert_non_null(strstr(answer, "\r\nContent-Type: application/json\r\n"));
		assert_string_equal(body_of(answer), body);
	}
}

static void the_health_check_answers_as_just_one_init_does(void **state)
{
	(void)state;
	check_health(404, "{\"status\":\"ok\",\"state\":\"BecameFollower\"}");
	kon_probe_set(probe, KON_PROBE_LEADER, true);
	check_health(200, "{\"status\":\"ok\",\"state\":\"BecameLeader\"}");
	kon_probe_set(probe, KON_PROBE_STOPPING, true);
	check_health(503, "{\"status\":\"error\",\"state\":\"BeganShutdown\"}");
}

static void metrics_are_the_text_that_was_given_last(void **state)
{
	(void)state;
	assert_string_equal(body_of(ask("GET", "/metrics")), "");
	kon_probe_metrics(probe, "konductor_leader 0\n");
	kon_probe_metrics(probe, "konductor_leader 1\n");
	const char *answer = ask("GET", "/metrics");
	assert_int_equal(status_of(answer), 200);
	assert_non_null(strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_string_equal(body_of(answer), "konductor_leader 1\n");
}

static void metrics_larger_than_a_connections_memory_arrive_whole(void **state)
{
	(void)state;
	static char text[40001];
	memset(text, '#', sizeof(text) - 1);
	kon_probe_metrics(probe, text);
	assert_string_equal(body_of(ask("GET", "/metrics")), text);
}

static void a_query_does_not_change_the_path(void **state)
{
	(void)state;
	assert_int_equal(get("/livez?verbose=1"), 200);
}

static void head_gets_the_status_without_a_body(void **state)
{
	(void)state;
	const char *answer = ask("HEAD", "/readyz");
	assert_int_equal(status_of(answer), 503);
	assert_string_equal(body_of(answer), "");
}

static void other_methods_are_refused_with_the_allowed_ones(void **state)
{
	(void)state;
	static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		const char *answer = ask(methods[i], "/livez");
		assert_int_equal(status_of(answer), 405);
		assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
	}
}

static void an_unknown_path_is_told_the_known_ones(void **state)
{
	(void)state;
	const char *answer = ask("GET", "/healthz");
	assert_int_equal(status_of(answer), 404);
	assert_non_null(strstr(answer, "\"/livez\",\"/readyz\",\"/leaderz\",\"/metrics\",\"/\",\"/healthcheck\""));
}

static void a_connection_gets_one_answer(void **state)
{
	(void)state;
	int fd = connect_to(probe);
	say(fd, "GET /livez HTTP/1.1\r\nHost: pod\r\n\r\nGET /readyz HTTP/1.1\r\nHost: pod\r\n\r\n");
	const char *answer = hear(fd);
	assert_int_equal(status_of(answer), 200);
	assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
	assert_null(strstr(answer + 1, "HTTP/1.1"));
}

/* --- the thread --- */

/* The first line of a file of the probe's thread in /proc that contains word; "" when there is none. */
static const char *thread_line(const char *file, const char *word)
{
	static char line[512];
	line[0] = '\0';
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
		char path[512];
		char name[64] = "";
		snprintf(path, sizeof(path), "/proc/self/task/%.32s/comm", task->d_name);
		FILE *in = fopen(path, "re");
		if (in == NULL)
			continue;
		bool ours = fgets(name, sizeof(name), in) != NULL && strcmp(name, "kon-probe\n") == 0;
		fclose(in);
		snprintf(path, sizeof(path), "/proc/self/task/%.32s/%s", task->d_name, file);
		if (!ours || (in = fopen(path, "re")) == NULL)
			continue;
		bool found = false;
		while (!found && fgets(line, sizeof(line), in) != NULL)
			found = strstr(line, word) != NULL;
		if (!found)
			line[0] = '\0';
		fclose(in);
	}
	closedir(tasks);
	return line;
}

static bool waits_for_ever(void)
{
	long number = -1;
	unsigned long long fds;
	unsigned long long count;
	unsigned long long timeout = 0;
	sscanf(thread_line("syscall", ""), "%ld %llx %llx %llx", &number, &fds, &count, &timeout);
	return number == SYS_poll && (int)timeout == -1;
}

static void nothing_wakes_the_thread_while_nobody_is_connected(void **state)
{
	(void)state;
#ifdef SYS_poll
	if (thread_line("syscall", "")[0] == '\0')
		skip(); /* this kernel does not show it */
	assert_int_equal(get("/livez"), 200);
	int64_t began_ms = kon_clock_boot_ms();
	while (!waits_for_ever())
		assert_true(kon_clock_boot_ms() - began_ms < PATIENCE_S * 1000);
#else
	skip();
#endif
}

static atomic_int unblocked_signals;

/* Runs on the probe's thread. */
static int64_t count_unblocked(void *data)
{
	(void)data;
	sigset_t blocked;
	int count = 0;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	for (int number = 1; number <= SIGRTMAX; number++)
		/* Two cannot be blocked, and those below SIGRTMIN are libc's own. */
		if (number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN))
			count += sigismember(&blocked, number) != 1;
	unblocked_signals = count;
	return 0;
}

static void signals_are_left_to_the_main_thread(void **state)
{
	(void)state;
	struct kon_err err;
	struct kon_probe_options options = {
		.listen = "127.0.0.1:0", .busy_ms = count_unblocked, .connection_ms = connection_ms};
	kon_probe_free(probe);
	assert_int_equal(kon_probe_start(&probe, &options, &err), 0);
	unblocked_signals = -1;
	assert_int_equal(get("/livez"), 200);
	assert_int_equal(unblocked_signals, 0);
}

static void freeing_closes_what_is_connected_and_leaves_the_port(void **state)
{
	(void)state;
	struct kon_err err;
	char listen[32];
	int fd = connect_to(probe);
	say(fd, "GET /livez HT");
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", kon_probe_port(probe));
	kon_probe_free(probe);
	assert_string_equal(hear(fd), "");
	assert_int_equal(start(listen, true, &probe, &err), 0);
	assert_int_equal(get("/livez"), 200);
}

static void a_probe_that_is_off_takes_everything(void **state)
{
	(void)state;
	kon_probe_set(NULL, KON_PROBE_LEADER, true);
	kon_probe_metrics(NULL, "x 1\n");
	assert_int_equal(kon_probe_port(NULL), 0);
	kon_probe_free(NULL);
}

/* --- addresses --- */

static void an_address_that_is_taken_is_an_error_only_when_asked_for(void **state)
{
	(void)state;
	struct kon_probe *second = probe;
	struct kon_err err = {0};
	char listen[32];
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", kon_probe_port(probe));
	assert_int_equal(start(listen, true, &second, &err), KON_CONFIG);
	assert_null(second);
	assert_non_null(strstr(err.detail, listen));
	assert_non_null(strstr(err.detail, "another process does"));

	err.code = 0;
	second = probe;
	assert_int_equal(start(listen, false, &second, &err), 0);
	assert_null(second);
	assert_int_equal(err.code, KON_CONFIG);
}

static void what_is_no_address_is_refused_with_examples(void **state)
{
	(void)state;
	static const char *const wrong[] = {"",
	                                    "5047",
	                                    "localhost:80",
	                                    "127.0.0.1",
	                                    "127.0.0.1:",
	                                    "1.2.3:80",
	                                    "[::]",
	                                    "[::]:65536",
	                                    "[::]:-1",
	                                    "[::]: 80",
	                                    "::1:5047x",
	                                    "[1.2.3.4]:1",
	                                    "[::1:80",
	                                    "[]:80",
	                                    ":0x50",
	                                    ":99999999999999999999",
	                                    "[fe80::1%lo]:80",
	                                    "::1]:80",
	                                    "off "};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct kon_probe *none = probe;
		struct kon_err err = {0};
		assert_int_equal(start(wrong[i], true, &none, &err), KON_USAGE);
		assert_null(none);
		assert_non_null(strstr(err.detail, "[::]:5047"));
	}
}

static void an_address_of_another_host_is_refused(void **state)
{
	(void)state;
	struct kon_probe *none = probe;
	struct kon_err err = {0};
	assert_int_equal(start("192.0.2.1:0", true, &none, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "no such address"));
}

static void every_address_takes_ipv4_too(void **state)
{
	(void)state;
	struct kon_err err = {0};
	kon_probe_free(probe);
	assert_int_equal(start(":0", true, &probe, &err), 0);
	assert_int_equal(get("/livez"), 200);
	kon_probe_free(probe);
	assert_int_equal(start("[::]:0", true, &probe, &err), 0);
	assert_int_equal(get("/livez"), 200);
}

/* From here on this process cannot make sockets of IPv6, as on a host whose kernel has none. */
static bool forbid_ipv6(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(rules) / sizeof(rules[0]), .filter = rules};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 && socket(AF_INET6, SOCK_STREAM, 0) < 0 &&
	       errno == EAFNOSUPPORT;
}

static void every_address_works_on_a_host_without_ipv6(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		struct kon_err err = {0};
		if (!forbid_ipv6())
			_exit(2);
		struct kon_probe *before = probe;
		if (start("[::]:0", true, &probe, &err) != 0) {
			fprintf(stderr, "%s\n", err.detail);
			_exit(3);
		}
		int status = get("/livez");
		kon_probe_free(probe);
		probe = before;
		_exit(status == 200 ? 0 : 4);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(livez_holds_from_the_start_and_fails_while_one_step_lasts_too_long),
		T(readyz_waits_for_init_and_ends_with_stopping),
		T(standby_counts_as_ready_unless_told_otherwise),
		T(leaderz_holds_only_while_holding),
		T(the_health_check_answers_as_just_one_init_does),
		T(metrics_are_the_text_that_was_given_last),
		T(metrics_larger_than_a_connections_memory_arrive_whole),
		T(a_query_does_not_change_the_path),
		T(head_gets_the_status_without_a_body),
		T(other_methods_are_refused_with_the_allowed_ones),
		T(an_unknown_path_is_told_the_known_ones),
		T(a_connection_gets_one_answer),
		T(nothing_wakes_the_thread_while_nobody_is_connected),
		T(signals_are_left_to_the_main_thread),
		T(freeing_closes_what_is_connected_and_leaves_the_port),
		T(a_probe_that_is_off_takes_everything),
		T(an_address_that_is_taken_is_an_error_only_when_asked_for),
		T(what_is_no_address_is_refused_with_examples),
		T(an_address_of_another_host_is_refused),
		T(every_address_takes_ipv4_too),
		T(every_address_works_on_a_host_without_ipv6),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
