/*
 * konductor: sets up loop, Lua and watchdog, and runs konductor.cli.main as the first task.
 *
 * Shutdown order: the command line closes what must be closed in order (the store, when nothing of ours
 * is left in it) and the main task returns the exit code; the loop stops; the process ends, and children
 * still alive are killed by their guards, whose sockets end.  Sanitizer builds tear everything down.
 */
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proc.h"
#include "task.h"
#include "vm.h"
#include "watchdog.h"

#define STUCK_AFTER_MS 10000

static struct kon_watchdog dog;

/* A program started with 0, 1 or 2 closed would find a database or a socket in their place. */
static void open_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR); /* no close-on-exec: the child inherits them */
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* The tests of the watchdog cannot wait ten seconds each. */
static int64_t stuck_limit_ms(void)
{
	const char *text = getenv("KONDUCTOR_STUCK_MS");
	char *end;
	long value = text != NULL ? strtol(text, &end, 10) : 0;
	return value > 0 ? value : STUCK_AFTER_MS;
}

/* [-0, +2]: konductor.cli.main's main function and the table of arguments, argv[0] at index 0. */
static int push_main(lua_State *L, int argc, char **argv)
{
	lua_getglobal(L, "require");
	lua_pushliteral(L, "konductor.cli.main");
	if (lua_pcall(L, 1, 1, 0) != 0) {
		fprintf(stderr, "konductor: %s\n", lua_tostring(L, -1));
		return kon_err_exit(KON_STUCK);
	}
	lua_getfield(L, -1, "main");
	lua_remove(L, -2);
	lua_createtable(L, argc, 0);
	for (int i = 0; i < argc; i++) {
		lua_pushstring(L, argv[i]);
		lua_rawseti(L, -2, i);
	}
	return 0;
}

static int run(struct kon_loop *loop, struct kon_sched *sched, lua_State *L, int argc, char **argv)
{
	int code = push_main(L, argc, argv);
	if (code != 0)
		return code;
	kon_sched_main(sched, L, 1);
	kon_loop_run(loop);
	return kon_sched_exit_code(sched);
}

int main(int argc, char **argv)
{
	struct kon_err err;
	struct kon_loop *loop = NULL;
	struct kon_sched *sched = NULL;
	lua_State *L = NULL;
	int code;

	kon_proc_save_signals();
	signal(SIGPIPE, SIG_IGN);
	open_standard_descriptors();
	if (kon_loop_new(&loop, &err) != 0 || kon_watchdog_init(&dog, stuck_limit_ms(), &err) != 0 ||
	    kon_vm_new(&L, &err) != 0 || kon_sched_new(&sched, L, loop, &dog, &err) != 0) {
		fprintf(stderr, "konductor: %s\n", err.detail);
		code = kon_err_exit(err.code);
	} else {
		/* As PID 1 of a container, whatever loses its parent falls to us. */
		if (getpid() == 1)
			kon_proc_reap_strays(loop, true);
		code = run(loop, sched, L, argc, argv);
		kon_watchdog_done(&dog);
	}
#ifdef KON_TEARDOWN
	/* Taking the handlers down must not make a late signal deadly. */
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	kon_vm_free(L);
	kon_sched_free(sched);
	if (loop != NULL)
		kon_proc_reap_strays(loop, false);
	kon_loop_free(loop);
#endif
	/* Otherwise the kernel takes it all back, faster than we could; and what is left of us makes way for those
	 * who wait for this processor, perhaps because the same event woke them. */
	setpriority(PRIO_PROCESS, 0, 19);
	return code;
}
