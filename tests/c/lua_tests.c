/*
 * Runs a Lua file as the main task of a konductor process, so that busted tests can use the
 * core: lua_tests FILE ARG...  A test body may wait; whatever it waits for goes through the
 * real loop.
 */
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>

#include "proc.h"
#include "task.h"
#include "vm.h"
#include "watchdog.h"

#define STUCK_AFTER_MS 120000 /* under valgrind a whole spec file may be one turn */

static struct kon_watchdog dog;

int main(int argc, char **argv)
{
	struct kon_err err;
	struct kon_loop *loop;
	struct kon_sched *sched;
	lua_State *L;

	kon_proc_save_signals();
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2 || kon_loop_new(&loop, &err) != 0 || kon_watchdog_init(&dog, STUCK_AFTER_MS, &err) != 0 ||
	    kon_vm_new(&L, &err) != 0 || kon_sched_new(&sched, L, loop, &dog, &err) != 0)
		return 2;
	lua_createtable(L, argc, 0);
	for (int i = 1; i < argc; i++) {
		lua_pushstring(L, argv[i]);
		lua_rawseti(L, -2, i - 1);
	}
	lua_setglobal(L, "arg");
	if (luaL_loadfile(L, argv[1]) != 0) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		return 2;
	}
	kon_sched_main(sched, L, 0);
	kon_loop_run(loop);
	int code = kon_sched_exit_code(sched);
	kon_vm_free(L);
	kon_sched_free(sched);
	kon_loop_free(loop);
	return code;
}
