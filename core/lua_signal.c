/* core.signals(inbox, {"TERM", ...}): each signal becomes an event {type="signal", signal=15}. */
#include <ev.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lua_core.h"
#include "lua_type.h"
#include "task.h"

#define SIGNALS_TYPE "konductor.signals"
#define MAX_SIGNALS 64

struct signals {
	struct ev_loop *ev;
	struct kon_inbox *inbox; /* counted; NULL when closed */
	int count;
	ev_signal watchers[MAX_SIGNALS];
};

struct signal_event {
	struct kon_event base;
	int number;
};

/* Without SYS, by which the watchdog is called. */
static const struct {
	const char *name;
	int number;
} names[] = {
	{"TERM", SIGTERM},     {"INT", SIGINT},       {"HUP", SIGHUP},   {"QUIT", SIGQUIT}, {"USR1", SIGUSR1},
	{"USR2", SIGUSR2},     {"WINCH", SIGWINCH},   {"CONT", SIGCONT}, {"ALRM", SIGALRM}, {"TSTP", SIGTSTP},
	{"TTIN", SIGTTIN},     {"TTOU", SIGTTOU},     {"URG", SIGURG},   {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
	{"VTALRM", SIGVTALRM}, {"PROF", SIGPROF},     {"IO", SIGIO},     {"PWR", SIGPWR},   {"ABRT", SIGABRT},
	{"TRAP", SIGTRAP},     {"STKFLT", SIGSTKFLT},
};

static void push_signal(lua_State *L, struct kon_event *event)
{
	lua_createtable(L, 0, 2);
	kon_lua_set_text(L, "type", "signal");
	kon_lua_set_number(L, "signal", ((struct signal_event *)event)->number);
}

static void free_event(struct kon_event *event)
{
	free(event);
}

static void on_signal(struct ev_loop *ev, ev_signal *watcher, int revents)
{
	(void)ev;
	(void)revents;
	struct signals *signals = watcher->data;
	struct signal_event *event = calloc(1, sizeof(*event));
	if (event == NULL)
		abort();
	event->base.push = push_signal;
	event->base.free = free_event;
	event->number = watcher->signum;
	kon_inbox_post(signals->inbox, &event->base);
}

static int signals_close(lua_State *L)
{
	struct signals *signals = luaL_checkudata(L, 1, SIGNALS_TYPE);
	if (signals->inbox == NULL)
		return 0;
	for (int i = 0; i < signals->count; i++)
		ev_signal_stop(signals->ev, &signals->watchers[i]);
	kon_inbox_release(signals->inbox);
	signals->inbox = NULL;
	return 0;
}

/* A name, or "RT1" and up for the real-time signals, whose numbers only the C library knows. */
static int signal_number(lua_State *L, const char *name)
{
	if (strncmp(name, "RT", 2) == 0) {
		long place = strtol(name + 2, NULL, 10);
		if (place >= 1 && place <= SIGRTMAX - SIGRTMIN + 1)
			return SIGRTMIN + (int)place - 1;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].number;
	return luaL_error(L, "unknown signal %s", name);
}

static int core_signals(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TTABLE);
	int count = (int)lua_objlen(L, 2);
	luaL_argcheck(L, count <= MAX_SIGNALS, 2, "too many signals");
	struct signals *signals = lua_newuserdata(L, sizeof(*signals));
	memset(signals, 0, sizeof(*signals));
	signals->ev = kon_loop_ev(kon_sched_loop(kon_sched_of(L)));
	luaL_getmetatable(L, SIGNALS_TYPE);
	lua_setmetatable(L, -2);
	signals->inbox = kon_inbox_acquire(L, 1);
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, 2, i + 1);
		ev_signal_init(&signals->watchers[i], on_signal, signal_number(L, luaL_checkstring(L, -1)));
		lua_pop(L, 1);
		signals->watchers[i].data = signals;
		ev_signal_start(signals->ev, &signals->watchers[i]);
		signals->count = i + 1;
	}
	kon_inbox_anchor(L, 1, -1);
	return 1;
}

void kon_lua_add_signal(lua_State *L)
{
	static const luaL_Reg methods[] = {{"close", signals_close}, {"__gc", signals_close}, {NULL, NULL}};
	kon_lua_make_type(L, SIGNALS_TYPE, methods, NULL);
	lua_pushcfunction(L, core_signals);
	lua_setfield(L, -2, "signals");
}
