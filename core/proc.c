#include "proc.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "guard.h"
#include "reaper.h"

enum {
	OVERDUE_MS = 100,    /* after a deadline that the guard has not spoken of: continue it */
	UNANSWERED_MS = 1000 /* after that: kill it */
};

struct kon_proc {
	struct kon_loop *loop;
	struct kon_proc_events events;
	void *data;
	struct kon_ward ward;
	int sock; /* -1 when the guard has ended */
	bool foreground;
	bool over;             /* failed or exited was called */
	bool gone;             /* the guard said so */
	bool prodded;          /* it was overdue and has been continued */
	enum kon_proc_end end; /* what ended the command, if the guard cannot tell */
	int64_t kill_at_ms;    /* as told to the guard; 0 = none */
	int64_t stop_kill_at_ms;
	int64_t killed_us;
	int64_t ended_us;
	struct kon_timer overdue;
	ev_io sock_io;
	char *command;
	char *cwd;
};

/* As this process was started.  There is one start, so there is one of these. */
static struct {
	sigset_t mask;
	sigset_t ignored;
} inherited;

void kon_proc_save_signals(void)
{
	sigprocmask(SIG_SETMASK, NULL, &inherited.mask);
	sigemptyset(&inherited.ignored);
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			sigaddset(&inherited.ignored, number);
	}
}

void kon_proc_reap_strays(struct kon_loop *loop, bool on)
{
	kon_reaper_strays(loop, on);
}

/* ---- telling the guard ---- */

static void tell(struct kon_proc *proc, struct kon_guard_msg msg)
{
	/* A guard that does not read is stopped, and one that is gone is on its way to on_guard: both are seen to. */
	if (proc->sock >= 0)
		(void)!send(proc->sock, &msg, sizeof(msg), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The guard watches konductor; this is how konductor watches the guard. */
static void watch_guard(struct kon_proc *proc)
{
	int64_t due_ms = kon_earlier_ms(proc->kill_at_ms, proc->stop_kill_at_ms);
	proc->prodded = false;
	if (due_ms == 0 || proc->killed_us != 0 || proc->sock < 0)
		kon_timer_stop(proc->loop, &proc->overdue);
	else
		kon_timer_start(proc->loop, &proc->overdue, kon_clock_add(due_ms, OVERDUE_MS));
}

void kon_proc_arm(struct kon_proc *proc, int64_t term_at_ms, int64_t kill_at_ms)
{
	proc->kill_at_ms = kill_at_ms;
	tell(proc, (struct kon_guard_msg){.kind = KON_GUARD_ARM, .first_ms = term_at_ms, .second_ms = kill_at_ms});
	watch_guard(proc);
}

void kon_proc_signal(struct kon_proc *proc, int signal)
{
	tell(proc, (struct kon_guard_msg){.kind = KON_GUARD_SIGNAL, .number = signal});
}

void kon_proc_stop(struct kon_proc *proc, int64_t grace_ms)
{
	proc->stop_kill_at_ms = kon_earlier_ms(proc->stop_kill_at_ms, kon_clock_add(kon_clock_boot_ms(), grace_ms));
	tell(proc, (struct kon_guard_msg){.kind = KON_GUARD_STOP, .first_ms = grace_ms});
	watch_guard(proc);
}

pid_t kon_proc_pid(const struct kon_proc *proc)
{
	return proc->ward.child;
}

int64_t kon_proc_killed_us(const struct kon_proc *proc)
{
	return proc->killed_us;
}

int64_t kon_proc_ended_us(const struct kon_proc *proc)
{
	return proc->ended_us;
}

/* ---- job control ---- */

/* Whether nobody would ever continue our process group if the terminal stopped it. */
static bool is_orphaned(void)
{
	pid_t parent = getppid();
	return parent == 0 || getsid(parent) != getsid(0) || getpgid(parent) == getpgrp();
}

/*
 * The terminal stopped the child's group; it would have stopped ours if we had not lent the terminal.  Does
 * not return before somebody continues us, unless nobody would.  A child that was stopped for using the
 * terminal from the background would stop again at once, so that one waits for a SIGCONT from outside.
 */
static void stop_with_child(struct kon_proc *proc, int number)
{
	struct sigaction by_default = {.sa_handler = SIG_DFL}, before;
	if (number != SIGTSTP && number != SIGTTIN && number != SIGTTOU)
		return;
	bool orphaned = is_orphaned();
	if (!orphaned) {
		sigaction(number, &by_default, &before);
		kill(0, number);
		sigaction(number, &before, NULL);
	}
	if (!orphaned || number == SIGTSTP)
		kon_proc_signal(proc, SIGCONT);
}

/* ---- a guard that was killed ---- */

static void on_lost_ended(struct kon_ward *ward, bool sure)
{
	struct kon_proc *proc = (struct kon_proc *)((char *)ward - offsetof(struct kon_proc, ward));
	/* Not failed, even if the guard did not tell of a start: it may have been killed between the start and its word,
	 * and who is told "failed" may count on it that nothing ran. */
	if (!proc->over)
		proc->events.exited(proc->data, ward->child_status, proc->end);
	proc->ended_us = kon_clock_boot_us();
	proc->events.gone(proc->data, sure); /* may free proc */
}

/* ---- what the guard says ---- */

static int too_late(const char *command, struct kon_err *err)
{
	return kon_err_set(err, KON_LOST, "%s was not started: its deadline has already passed", command);
}

static int failure(const struct kon_proc *proc, const struct kon_guard_msg *msg, struct kon_err *err)
{
	const char *command = proc->command;
	switch ((enum kon_child_step)msg->step) {
	case KON_CHILD_DIRECTORY:
		return kon_err_errno(err, KON_SYSTEM, msg->number, "cannot run %s in the directory %s", command,
		                     proc->cwd);
	case KON_CHILD_INTERPRETER:
		return kon_err_set(err, KON_NOT_EXECUTABLE,
		                   "cannot run %s: it exists, but the interpreter or loader that it names does not",
		                   command);
	case KON_CHILD_EXEC:
		if (msg->number == ENOENT)
			return kon_err_set(err, KON_NOT_FOUND, "cannot run %s: %s", command,
			                   strchr(command, '/') != NULL ? "no such file" : "no such command in PATH");
		return kon_err_errno(err, KON_NOT_EXECUTABLE, msg->number, "cannot run %s", command);
	case KON_CHILD_LATE:
		return too_late(command, err);
	case KON_CHILD_PREPARE:
		break;
	}
	return kon_err_errno(err, KON_SYSTEM, msg->number, "cannot prepare to run %s", command);
}

static void on_message(struct kon_proc *proc, const struct kon_guard_msg *msg)
{
	struct kon_err err;
	switch (msg->kind) {
	case KON_GUARD_STARTED:
		proc->ward.child = msg->number;
		proc->events.started(proc->data, proc->ward.child);
		break;
	case KON_GUARD_FAILED:
		proc->over = true;
		failure(proc, msg, &err);
		proc->events.failed(proc->data, &err);
		break;
	case KON_GUARD_STOPPED:
		proc->events.stopped(proc->data, msg->number);
		if (proc->foreground)
			stop_with_child(proc, msg->number);
		break;
	case KON_GUARD_KILLING:
		proc->killed_us = msg->at_us;
		watch_guard(proc);
		break;
	case KON_GUARD_EXITED:
		proc->over = true;
		proc->events.exited(proc->data, msg->number, (enum kon_proc_end)msg->step);
		break;
	case KON_GUARD_GONE:
		proc->gone = true;
		proc->ended_us = msg->at_us;
		break;
	default:
		break;
	}
}

static void on_guard_ended(struct kon_proc *proc)
{
	ev_io_stop(kon_loop_ev(proc->loop), &proc->sock_io);
	close(proc->sock);
	proc->sock = -1;
	kon_timer_stop(proc->loop, &proc->overdue);
	kon_reaper_collect(&proc->ward);
	if (!proc->gone) {
		kon_reaper_lose(&proc->ward);
		return;
	}
	kon_reaper_remove(&proc->ward);
	proc->events.gone(proc->data, true); /* may free proc */
}

static void on_guard(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	(void)revents;
	struct kon_proc *proc = io->data;
	for (;;) {
		struct kon_guard_msg msg;
		ssize_t got = recv(proc->sock, &msg, sizeof(msg), MSG_DONTWAIT);
		if (got == (ssize_t)sizeof(msg)) {
			on_message(proc, &msg);
		} else if (got < 0 && errno == EAGAIN) {
			return;
		} else if (got >= 0 || (errno != EINTR && errno != ECONNRESET)) {
			/* A reset only says that the guard left words of ours unread; its own last ones follow. */
			on_guard_ended(proc);
			return;
		}
	}
}

static void on_overdue(struct kon_timer *timer, void *data)
{
	(void)timer;
	struct kon_proc *proc = data;
	if (proc->ward.guard_reaped)
		return;
	kill(proc->ward.guard, proc->prodded ? SIGKILL : SIGCONT);
	if (proc->prodded) /* what was asked of it ends the command now, from here */
		proc->end = proc->stop_kill_at_ms != 0 ? KON_PROC_STOPPED : KON_PROC_DEADMAN;
	else
		kon_timer_start(proc->loop, &proc->overdue, kon_clock_add(kon_clock_boot_ms(), UNANSWERED_MS));
	proc->prodded = true;
}

/* ---- starting and ending ---- */

void kon_proc_free(struct kon_proc *proc)
{
	if (proc == NULL)
		return;
	if (proc->loop != NULL) {
		kon_timer_stop(proc->loop, &proc->overdue);
		kon_reaper_remove(&proc->ward);
	}
	if (proc->sock >= 0) {
		ev_io_stop(kon_loop_ev(proc->loop), &proc->sock_io);
		close(proc->sock);
	}
	free(proc->command);
	free(proc->cwd);
	free(proc);
}

static struct kon_proc *new_proc(const struct kon_proc_spec *spec, const struct kon_proc_events *events, void *data)
{
	struct kon_proc *proc = calloc(1, sizeof(*proc));
	if (proc == NULL)
		return NULL;
	proc->events = *events;
	proc->data = data;
	proc->sock = -1;
	proc->foreground = spec->foreground;
	proc->kill_at_ms = spec->kill_at_ms;
	proc->ward.ended = on_lost_ended;
	proc->overdue.fire = on_overdue;
	proc->overdue.data = proc;
	proc->command = strdup(spec->argv[0]);
	proc->cwd = strdup(spec->cwd != NULL ? spec->cwd : ".");
	if (proc->command == NULL || proc->cwd == NULL) {
		kon_proc_free(proc);
		return NULL;
	}
	return proc;
}

/* The room that the child needs between fork and exec, where nothing can be allocated. */
static size_t count_words(const char *const *list, size_t *bytes)
{
	size_t words = 0;
	for (; list[words] != NULL; words++)
		*bytes += strlen(list[words]) + 1;
	return words;
}

static const char *copy_word(const char *word, char **free_at)
{
	size_t size = strlen(word) + 1;
	const char *copy = memcpy(*free_at, word, size);
	*free_at += size;
	return copy;
}

/* Returns the list's end, behind its NULL. */
static const char **copy_list(const char *const *list, const char **to, char **free_at)
{
	for (; *list != NULL; list++)
		*to++ = copy_word(*list, free_at);
	*to++ = NULL;
	return to;
}

/* Moves all words of the specification into one block of its own, to be freed: where they are now may be memory that a
 * fork leaves behind, as Lua's is (core/static/lua_memory.c).  NULL when there is no memory. */
static void *own_words(struct kon_proc_spec *spec)
{
	size_t bytes = spec->cwd != NULL ? strlen(spec->cwd) + 1 : 0;
	size_t words = count_words(spec->argv, &bytes) + count_words(spec->envp, &bytes) + 2;
	const char **block = malloc(words * sizeof(*block) + bytes);
	if (block == NULL)
		return NULL;
	char *free_at = (char *)(block + words);
	const char **envp = copy_list(spec->argv, block, &free_at);
	copy_list(spec->envp, envp, &free_at);
	spec->argv = block;
	spec->envp = envp;
	if (spec->cwd != NULL)
		spec->cwd = copy_word(spec->cwd, &free_at);
	return block;
}

static int new_plan(const struct kon_proc_spec *spec, int sock, struct kon_guard_plan *plan)
{
	size_t bytes = 0;
	size_t words = count_words(spec->argv, &bytes);
	size_t path_size = sizeof("/bin:/usr/bin");
	for (const char *const *env = spec->envp; *env != NULL; env++)
		if (strncmp(*env, "PATH=", 5) == 0 && strlen(*env) > path_size)
			path_size = strlen(*env);
	*plan = (struct kon_guard_plan){
		.spec = spec,
		.sock = sock,
		.home = getpgrp(),
		.mask = &inherited.mask,
		.ignored = &inherited.ignored,
		.shell_argv = calloc(words + 3, sizeof(*plan->shell_argv)),
		.path = malloc(path_size + strlen(spec->argv[0]) + 2),
	};
	return plan->shell_argv != NULL && plan->path != NULL ? 0 : -1;
}

/* No handler of ours may run in the guard: it would write to the loop's own wake-up descriptor. */
static pid_t fork_guard(const struct kon_guard_plan *plan)
{
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t guard = _Fork();
	if (guard == 0)
		kon_guard_run(plan);
	int saved = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return guard;
}

/* Makes socket, plan and guard; fills the guard and sock of proc. */
static int launch(struct kon_proc *proc, const struct kon_proc_spec *spec, struct kon_err *err)
{
	struct kon_guard_plan plan;
	struct kon_proc_spec own = *spec;
	int sock[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) != 0)
		return kon_err_errno(err, KON_SYSTEM, errno, "cannot run %s: no socket for its guard", spec->argv[0]);
	void *words = own_words(&own);
	int planned = new_plan(spec, sock[1], &plan);
	plan.spec = &own;
	if (planned == 0 && words != NULL)
		proc->ward.guard = fork_guard(&plan);
	else
		proc->ward.guard = -1;
	int saved = errno;
	free(plan.shell_argv);
	free(plan.path);
	free(words);
	close(sock[1]);
	if (proc->ward.guard < 0) {
		close(sock[0]);
		return kon_err_errno(err, KON_SYSTEM, saved, "cannot run %s: no process for its guard", spec->argv[0]);
	}
	proc->sock = sock[0];
	return 0;
}

int kon_proc_start(struct kon_loop *loop, const struct kon_proc_spec *spec, const struct kon_proc_events *events,
                   void *data, struct kon_proc **out, struct kon_err *err)
{
	if (spec->kill_at_ms != 0 && spec->kill_at_ms <= kon_clock_boot_ms())
		return too_late(spec->argv[0], err);
	struct kon_proc *proc = new_proc(spec, events, data);
	if (proc == NULL)
		return kon_err_errno(err, KON_SYSTEM, ENOMEM, "cannot run %s", spec->argv[0]);
	/* What a killed guard leaves behind must fall to us and not to init. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	int code = launch(proc, spec, err);
	if (code != 0) {
		kon_proc_free(proc);
		return code;
	}
	proc->loop = loop;
	ev_io_init(&proc->sock_io, on_guard, proc->sock, EV_READ);
	proc->sock_io.data = proc;
	ev_io_start(kon_loop_ev(loop), &proc->sock_io);
	kon_reaper_add(loop, &proc->ward);
	watch_guard(proc);
	*out = proc;
	return 0;
}
