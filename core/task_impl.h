/*
 * What task.c and inbox.c know of each other, and nobody else: a task waits on an inbox, an
 * inbox makes its waiter ready.  The interface is task.h.
 */
#ifndef KON_TASK_IMPL_H
#define KON_TASK_IMPL_H

#include <lauxlib.h>

#include "task.h"

/* Why a waiting task was made ready. */
enum wake { WAKE_START, WAKE_EVENT, WAKE_TIMEOUT, WAKE_CANCEL };

struct kon_task {
	struct kon_sched *sched;
	struct kon_task *next_ready;
	struct kon_task *next_live; /* all that have not ended, for teardown */
	struct kon_task **live_link;
	lua_State *co;              /* anchored in the registry under its own address; NULL when it has ended */
	struct kon_inbox *waits_on; /* counted while waiting */
	struct kon_inbox *done;     /* counted; gets the "done" event; NULL: an error ends the process */
	struct kon_timer deadline;
	enum wake wake;
	int start_args;
	int refs; /* the scheduler's, until it ends, and the userdata's */
	int id;
	bool ready;
	bool cancel_pending;
};

struct kon_inbox {
	struct kon_sched *sched;
	struct kon_event *first;
	struct kon_event **last;
	struct kon_task *waiter;
	int refs;
	bool closed;
};

struct kon_sched {
	lua_State *L;
	struct kon_loop *loop;
	struct kon_watchdog *dog;
	struct kon_task *running;
	struct kon_task *first_ready;
	struct kon_task **last_ready;
	struct kon_task *main;
	struct kon_task *live;
	int next_id;
	int exit_code;
	bool settled; /* the program has waited for something */
	bool over;    /* the exit code is decided: no task runs any more */
};

/* Ends the task's wait, unless it has ended already: it runs again on the next turn. */
void kon_task_ready(struct kon_task *task, enum wake wake);

/* [-0, +1]: the table of the oldest event.  Precondition: the queue is not empty. */
void kon_inbox_push_first(lua_State *L, struct kon_inbox *inbox);

/* Posts the table on top of L's stack and pops it. */
void kon_inbox_post_table(lua_State *L, struct kon_inbox *inbox);

/* Registers the metatable of inboxes. */
void kon_inbox_register(lua_State *L);

#endif
