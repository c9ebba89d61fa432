/* Commands of a shell under a guard: what the tests of the guard's two halves share.  Each includes it once. */
#ifndef GUARD_FIXTURE_H
#define GUARD_FIXTURE_H

#include "proc_fixture.h"

#define NEVER_MS (2 * (int64_t)DEADLINE_MS) /* longer than any test waits */
#define TRIES 20 /* of what a machine that does not run us for a second makes come out otherwise */

/* Leaves a daemon: a session of its own, parented away, deaf to TERM and HUP; it prints its pid. */
#define DAEMON "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$; while :; do sleep 0.05; done' &) ; "

static struct kon_proc_spec shell_spec(const char **argv, const char *script, int out_fd)
{
	argv[0] = "sh";
	argv[1] = "-c";
	argv[2] = script;
	argv[3] = NULL;
	struct kon_proc_spec spec = spec_of(argv);
	spec.fd[1] = out_fd;
	return spec;
}

/*
 * Starts script with a pipe as standard output; returns the reading end, which ends when the tree does.  A deadline
 * is set later, by arm_in, once the script has said that it is ready for it: how long that takes nobody knows.
 */
UNUSED static int start_shell(struct run *run, const char *script)
{
	int out[2];
	const char *argv[4];
	open_pipe(out);
	struct kon_proc_spec spec = shell_spec(argv, script, out[1]);
	run_start(run, &spec);
	close(out[1]);
	return out[0];
}

/* Sets the deadman; returns the moment of KILL. */
UNUSED static int64_t arm_in(struct run *run, int64_t term_in_ms, int64_t kill_in_ms)
{
	int64_t now_ms = kon_clock_boot_ms();
	kon_proc_arm(run->proc, now_ms + term_in_ms, now_ms + kill_in_ms);
	return now_ms + kill_in_ms;
}

UNUSED static void expect_line(int fd, const char *expected)
{
	char line[64];
	assert_string_equal(read_line(fd, line, sizeof(line)), expected);
}

#endif
