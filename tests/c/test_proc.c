/* Supervised commands: how they are started, what they inherit, and how their ends are reported. */
#include "proc_fixture.h"

#include <sys/stat.h>

static void every_exit_code_is_reported(void **state)
{
	(void)state;
	for (int code = 0; code < 256; code += 15) {
		struct run run;
		char script[32];
		snprintf(script, sizeof(script), "exit %d", code);
		run_shell(&run, script);
		assert_string_equal(run.order, "seg");
		assert_true(WIFEXITED(run.status));
		assert_int_equal(WEXITSTATUS(run.status), code);
		assert_int_equal(run.end, KON_PROC_OWN);
		assert_true(run.sure);
		assert_int_equal(run.killed_us, 0);
	}
}

static void the_signal_that_ended_a_command_is_reported(void **state)
{
	(void)state;
	const int signals[] = {SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGPIPE, SIGRTMAX};
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct run run;
		char script[32];
		snprintf(script, sizeof(script), "kill -%d $$; sleep 100", signals[i]);
		run_shell(&run, script);
		assert_true(WIFSIGNALED(run.status));
		assert_int_equal(WTERMSIG(run.status), signals[i]);
		assert_int_equal(run.end, KON_PROC_OWN);
	}
}

static void expect_failure(const char *const *argv, const char *cwd, int code, const char *words)
{
	struct run run;
	struct kon_proc_spec spec = spec_of(argv);
	spec.cwd = cwd;
	run_start(&run, &spec);
	run_done(&run);
	assert_string_equal(run.order, "fg");
	assert_string_equal(kon_err_word(run.err.code), kon_err_word(code));
	if (strstr(run.err.detail, words) == NULL)
		fail_msg("'%s' does not say '%s'", run.err.detail, words);
	assert_true(run.sure);
}

static void a_command_that_does_not_exist_is_not_found(void **state)
{
	(void)state;
	expect_failure((const char *[]){"no-such-command", NULL}, NULL, KON_NOT_FOUND, "no such command in PATH");
	expect_failure((const char *[]){"/no/such/command", NULL}, NULL, KON_NOT_FOUND, "no such file");
	expect_failure((const char *[]){"", NULL}, NULL, KON_NOT_FOUND, "no such command");
}

static char place[] = "/tmp/test_proc.XXXXXX";

static const char *file_in_place(const char *name, const char *text, mode_t mode)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", place, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static void a_file_that_cannot_be_executed_says_why(void **state)
{
	(void)state;
	const char *path = file_in_place("data", "words", 0644);
	expect_failure((const char *[]){path, NULL}, NULL, KON_NOT_EXECUTABLE, "Permission denied");
	expect_failure((const char *[]){place, NULL}, NULL, KON_NOT_EXECUTABLE, place);
	expect_failure((const char *[]){"/dev/null/x", NULL}, NULL, KON_NOT_EXECUTABLE, "Not a directory");
}

static void a_missing_directory_is_named(void **state)
{
	(void)state;
	expect_failure((const char *[]){"true", NULL}, "/no/such/place", KON_SYSTEM, "/no/such/place");
}

/* Runs argv with envp, returns its standard output. */
static const char *output_of(const char *const *argv, const char *const *envp, const char *cwd)
{
	static char text[8192];
	int out[2];
	struct run run;
	struct kon_proc_spec spec = spec_of(argv);
	open_pipe(out);
	spec.fd[1] = out[1];
	spec.cwd = cwd;
	if (envp != NULL)
		spec.envp = envp;
	run_start(&run, &spec);
	close(out[1]);
	read_to_end(out[0], text, sizeof(text));
	close(out[0]);
	run_done(&run);
	assert_string_equal(run.err.detail, "");
	assert_int_equal(run.status, 0);
	return text;
}

static void a_file_without_interpreter_is_run_by_the_shell(void **state)
{
	(void)state;
	const char *path = file_in_place("plain", "echo $1-$2-$#\n", 0755);
	assert_string_equal(output_of((const char *[]){path, "a", "b", NULL}, NULL, NULL), "a-b-2\n");
	assert_string_equal(output_of((const char *[]){path, NULL}, NULL, NULL), "--0\n");
}

static void the_path_of_the_childs_own_environment_is_searched(void **state)
{
	(void)state;
	char path[256], blocked[256];
	file_in_place("tool", "#!/bin/sh\necho mine\n", 0755);
	/* A directory and a file that is not executable, both called tool, come first. */
	snprintf(blocked, sizeof(blocked), "%s/dir/tool", place);
	snprintf(path, sizeof(path), "%s/dir", place);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(mkdir(blocked, 0755), 0);
	snprintf(path, sizeof(path), "%s/blocked", place);
	assert_int_equal(mkdir(path, 0755), 0);
	file_in_place("blocked/tool", "no", 0644);
	snprintf(path, sizeof(path), "PATH=/nowhere:%s/dir:%s/blocked:%s", place, place, place);
	const char *envp[] = {"A=1", path, NULL};
	assert_string_equal(output_of((const char *[]){"tool", NULL}, envp, NULL), "mine\n");
	/* An empty element is the working directory, which is the child's. */
	const char *here[] = {"PATH=", NULL};
	assert_string_equal(output_of((const char *[]){"tool", NULL}, here, place), "mine\n");
}

static void without_path_the_usual_places_are_searched(void **state)
{
	(void)state;
	const char *envp[] = {"ONLY=this", NULL};
	assert_string_equal(output_of((const char *[]){"env", NULL}, envp, NULL), "ONLY=this\n");
}

static void the_working_directory_is_the_one_asked_for(void **state)
{
	(void)state;
	char expected[128];
	snprintf(expected, sizeof(expected), "%s\n", place);
	assert_string_equal(output_of((const char *[]){"pwd", NULL}, NULL, place), expected);
}

static void a_long_list_of_arguments_arrives(void **state)
{
	(void)state;
	static const char *argv[20004];
	argv[0] = "sh";
	argv[1] = "-c";
	argv[2] = "echo $#";
	for (int i = 3; i < 20003; i++)
		argv[i] = "argument";
	assert_string_equal(output_of(argv, NULL, NULL), "19999\n");
}

static void no_descriptor_but_the_standard_ones_is_inherited(void **state)
{
	(void)state;
	int leaks[4];
	for (int i = 0; i < 4; i++) /* without close-on-exec, scattered */
		assert_true((leaks[i] = fcntl(1, F_DUPFD, 3 + i * 50)) >= 3);
	const char *list = output_of((const char *[]){"sh", "-c", "exec ls /proc/self/fd", NULL}, NULL, NULL);
	assert_string_equal(list, "0\n1\n2\n3\n"); /* 3 is what ls reads the directory by */
	for (int i = 0; i < 4; i++)
		close(leaks[i]);
}

static void standard_streams_are_the_ones_given(void **state)
{
	(void)state;
	int in[2], out[2], err[2];
	char text[64];
	struct run run;
	const char *argv[] = {"sh", "-c", "read word; echo out-$word; echo err-$word >&2", NULL};
	struct kon_proc_spec spec = spec_of(argv);
	open_pipe(in);
	open_pipe(out);
	open_pipe(err);
	assert_int_equal(write(in[1], "hello\n", 6), 6);
	spec.fd[0] = in[0];
	spec.fd[1] = out[1];
	spec.fd[2] = err[1];
	run_start(&run, &spec);
	close(in[0]);
	close(in[1]);
	close(out[1]);
	close(err[1]);
	read_to_end(out[0], text, sizeof(text));
	assert_string_equal(text, "out-hello\n");
	read_to_end(err[0], text, sizeof(text));
	assert_string_equal(text, "err-hello\n");
	close(out[0]);
	close(err[0]);
	run_done(&run);
}

static void a_standard_stream_that_is_not_open_is_a_failure(void **state)
{
	(void)state;
	struct run run;
	struct kon_proc_spec spec = spec_of((const char *[]){"true", NULL});
	spec.fd[1] = 999;
	run_start(&run, &spec);
	run_done(&run);
	assert_string_equal(run.order, "fg");
	assert_int_equal(run.err.code, KON_SYSTEM);
}

static void mask_and_ignored_signals_are_those_saved_at_start(void **state)
{
	(void)state;
	sigset_t blocked, before;
	/* A shell that started this in the background has ignored some. */
	for (int number = 1; number <= SIGRTMAX; number++)
		signal(number, SIG_DFL);
	/* As started: SIGUSR2 blocked and SIGHUP ignored. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_SETMASK, &blocked, &before);
	signal(SIGHUP, SIG_IGN);
	kon_proc_save_signals();
	/* Changed since: SIGPIPE ignored, SIGUSR1 blocked. */
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* grep itself was given the same; sh -c would change nothing but SIGCHLD. */
	const char *lines =
		output_of((const char *[]){"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL}, NULL, NULL);
	char expected[128];
	snprintf(expected, sizeof(expected), "SigBlk:\t%016llx\nSigIgn:\t%016llx\n", 1ULL << (SIGUSR2 - 1),
	         1ULL << (SIGHUP - 1));
	assert_string_equal(lines, expected);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	kon_proc_save_signals();
}

static void a_signal_reaches_the_whole_group_also_after_the_first_process(void **state)
{
	(void)state;
	int out[2];
	char line[32];
	struct run run;
	/* The first process leaves a second one behind, in its group. */
	const char *argv[] = {"sh", "-c",
	                      "sh -c 'trap \"echo hup; exit\" HUP; echo up; while :; do sleep 0.01; done' &", NULL};
	struct kon_proc_spec spec = spec_of(argv);
	open_pipe(out);
	spec.fd[1] = out[1];
	run_start(&run, &spec);
	close(out[1]);
	assert_string_equal(read_line(out[0], line, sizeof(line)), "up");
	run_until(&run, is_exited);
	assert_false(run.gone);
	kon_proc_signal(run.proc, SIGHUP);
	assert_string_equal(read_line(out[0], line, sizeof(line)), "hup");
	run_done(&run);
	expect_end_of_file(out[0]);
}

static void a_stopped_command_is_reported_and_continues(void **state)
{
	(void)state;
	struct run run;
	struct kon_proc_spec spec = spec_of((const char *[]){"sh", "-c", "kill -STOP $$; exit 5", NULL});
	run_start(&run, &spec);
	run_until(&run, is_stopped);
	assert_int_equal(run.stop_signal, SIGSTOP);
	kon_proc_signal(run.proc, SIGCONT);
	run_done(&run);
	assert_string_equal(run.order, "steg");
	assert_int_equal(WEXITSTATUS(run.status), 5);
}

static void foreground_without_a_terminal_is_no_error(void **state)
{
	(void)state;
	struct run run;
	struct kon_proc_spec spec = spec_of((const char *[]){"true", NULL});
	spec.foreground = true;
	run_start(&run, &spec);
	run_done(&run);
	assert_string_equal(run.order, "seg");
}

static void a_command_is_not_started_when_its_deadline_has_passed(void **state)
{
	(void)state;
	struct run run;
	struct kon_err err = {0};
	struct kon_proc_spec spec = spec_of((const char *[]){"true", NULL});
	spec.term_at_ms = spec.kill_at_ms = kon_clock_boot_ms() - 1;
	assert_int_equal(run_try(&run, &spec, &err), KON_LOST);
	kon_loop_free(run.loop);
}

static int make_place(void **state)
{
	(void)state;
	return mkdtemp(place) != NULL ? 0 : -1;
}

static int remove_place(void **state)
{
	(void)state;
	struct run run;
	const char *argv[] = {"rm", "-r", place, NULL};
	struct kon_proc_spec spec = spec_of(argv);
	run_start(&run, &spec);
	run_done(&run);
	return run.status;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_exit_code_is_reported),
		cmocka_unit_test(the_signal_that_ended_a_command_is_reported),
		cmocka_unit_test(a_command_that_does_not_exist_is_not_found),
		cmocka_unit_test(a_file_that_cannot_be_executed_says_why),
		cmocka_unit_test(a_missing_directory_is_named),
		cmocka_unit_test(a_file_without_interpreter_is_run_by_the_shell),
		cmocka_unit_test(the_path_of_the_childs_own_environment_is_searched),
		cmocka_unit_test(without_path_the_usual_places_are_searched),
		cmocka_unit_test(the_working_directory_is_the_one_asked_for),
		cmocka_unit_test(a_long_list_of_arguments_arrives),
		cmocka_unit_test(no_descriptor_but_the_standard_ones_is_inherited),
		cmocka_unit_test(standard_streams_are_the_ones_given),
		cmocka_unit_test(a_standard_stream_that_is_not_open_is_a_failure),
		cmocka_unit_test(mask_and_ignored_signals_are_those_saved_at_start),
		cmocka_unit_test(a_signal_reaches_the_whole_group_also_after_the_first_process),
		cmocka_unit_test(a_stopped_command_is_reported_and_continues),
		cmocka_unit_test(foreground_without_a_terminal_is_no_error),
		cmocka_unit_test(a_command_is_not_started_when_its_deadline_has_passed),
	};
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
