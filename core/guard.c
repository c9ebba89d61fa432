#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "guard_fds.h"
#include "tree.h"

enum {
	OUTBOX = 4,          /* started or failed, killing, exited, gone: what must arrive */
	FIRST_RETRY_MS = 10, /* between two rounds of killing that nothing else asked for */
	LAST_RETRY_MS = 1000
};

struct guard {
	const struct kon_guard_plan *plan;
	enum kon_tree_source source;
	struct kon_pids pids; /* scratch of the walks */
	struct kon_guard_fds fds;
	int child_fd; /* signalfd: SIGCHLD */
	int clock_fd;
	int report_fd; /* the child's last words before exec; -1 when read */
	int tty_fd;
	pid_t child;
	bool reaped;        /* the first process has ended; its number may be another's */
	bool failed;        /* it never became the command */
	bool orphaned;      /* konductor is gone */
	int64_t term_at_ms; /* the deadman; 0 = none */
	int64_t kill_at_ms;
	int64_t stop_kill_at_ms; /* the end of the grace of a stop; 0 = none was asked for */
	bool termed;
	bool killing;
	int retry_ms;
	enum kon_proc_end end; /* what ended the command, if it ends now */
	struct kon_guard_msg outbox[OUTBOX];
	int queued;
};

/* ---- talking to konductor ---- */

static bool put(struct guard *guard, const struct kon_guard_msg *msg)
{
	if (guard->orphaned)
		return true;
	if (send(guard->fds.sock, msg, sizeof(*msg), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS)
		return false;
	guard->orphaned = true;
	return true;
}

static void flush(struct guard *guard)
{
	while (guard->queued > 0 && put(guard, &guard->outbox[0])) {
		guard->queued--;
		memmove(&guard->outbox[0], &guard->outbox[1], (size_t)guard->queued * sizeof(guard->outbox[0]));
	}
}

/* A konductor that does not read must not hold up the guard: what does not fit waits. */
static void tell(struct guard *guard, struct kon_guard_msg msg)
{
	flush(guard);
	if ((guard->queued > 0 || !put(guard, &msg)) && guard->queued < OUTBOX)
		guard->outbox[guard->queued++] = msg;
}

static void tell_failed(struct guard *guard, enum kon_child_step step, int errnum)
{
	guard->failed = true;
	tell(guard, (struct kon_guard_msg){.kind = KON_GUARD_FAILED, .number = errnum, .step = step});
}

/* ---- signals to the tree ---- */

/* One round: every child of ours, with its group where that is safe.  What falls to us later gets another round. */
static void kill_round(struct guard *guard)
{
	if (!guard->reaped)
		kon_tree_kill(guard->child); /* at once, for the listing may take its time */
	if (kon_tree_list(guard->source, getpid(), 0, &guard->pids) != 0)
		return;
	for (size_t i = 0; i < guard->pids.count; i++)
		kon_tree_kill(guard->pids.at[i]);
}

static void kill_tree(struct guard *guard)
{
	if (!guard->killing) {
		guard->killing = true;
		guard->retry_ms = FIRST_RETRY_MS;
		tell(guard, (struct kon_guard_msg){.kind = KON_GUARD_KILLING, .at_us = kon_clock_boot_us()});
	}
	kill_round(guard);
}

/* As long as the first process is not reaped its number, and so its group's, cannot be another's. */
static bool signal_group(struct guard *guard, int signal)
{
	if (guard->reaped)
		return false;
	kill(-guard->child, signal);
	return true;
}

/* Signals the listed processes: those of the group, or the others. */
static void signal_listed(struct guard *guard, int signal, bool of_group)
{
	for (size_t i = 0; i < guard->pids.count; i++)
		if ((getpgid(guard->pids.at[i]) == guard->child) == of_group)
			kon_tree_send(guard->source, getpid(), guard->pids.at[i], signal);
}

static void forward(struct guard *guard, int signal)
{
	if (signal_group(guard, signal))
		return;
	if (kon_tree_list(guard->source, getpid(), 1, &guard->pids) == 0)
		signal_listed(guard, signal, true);
}

/*
 * TERM, to nobody twice: a trap that cleans up must not run again.  CONT, because a stopped process would sleep on.
 * The group first: the listing may take its time.
 */
static void term_tree(struct guard *guard, enum kon_proc_end end)
{
	static const int signals[] = {SIGTERM, SIGCONT};
	bool group_done = false;
	if (guard->termed)
		return;
	guard->termed = true;
	guard->end = end;
	for (int i = 0; i < 2; i++)
		group_done = signal_group(guard, signals[i]);
	kon_tree_list(guard->source, getpid(), 1, &guard->pids); /* as far as it went is better than nothing */
	for (int i = 0; i < 2; i++) {
		signal_listed(guard, signals[i], false);
		if (!group_done)
			signal_listed(guard, signals[i], true);
	}
}

/* ---- deadlines ---- */

static void set_clock(struct guard *guard)
{
	int64_t at_ms = 0;
	if (!guard->killing) {
		at_ms = kon_earlier_ms(guard->kill_at_ms, guard->stop_kill_at_ms);
		if (!guard->termed)
			at_ms = kon_earlier_ms(at_ms, guard->term_at_ms);
	}
	struct itimerspec spec = {.it_value = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000}};
	timerfd_settime(guard->clock_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void arm(struct guard *guard, int64_t term_at_ms, int64_t kill_at_ms)
{
	/* Zero means none, so a moment before the machine started becomes the first one after it. */
	guard->kill_at_ms = kill_at_ms < 0 ? 1 : kill_at_ms;
	guard->term_at_ms = term_at_ms < 0 ? 1 : term_at_ms;
}

static bool is_overdue(const struct guard *guard, int64_t now_ms)
{
	return guard->kill_at_ms != 0 && now_ms >= guard->kill_at_ms;
}

static void check_deadlines(struct guard *guard)
{
	int64_t now_ms = kon_clock_boot_ms();
	if (guard->killing)
		return;
	if (is_overdue(guard, now_ms)) {
		if (!guard->termed)
			guard->end = KON_PROC_DEADMAN;
		kill_tree(guard);
	} else if (guard->stop_kill_at_ms != 0 && now_ms >= guard->stop_kill_at_ms) {
		kill_tree(guard);
	} else if (guard->term_at_ms != 0 && now_ms >= guard->term_at_ms) {
		term_tree(guard, KON_PROC_DEADMAN);
	}
	set_clock(guard);
}

static void stop(struct guard *guard, int64_t grace_ms)
{
	int64_t at_ms = kon_clock_add(kon_clock_boot_ms(), grace_ms);
	guard->stop_kill_at_ms = kon_earlier_ms(guard->stop_kill_at_ms, at_ms);
	if (grace_ms > 0)
		term_tree(guard, KON_PROC_STOPPED);
	else if (!guard->termed)
		guard->end = KON_PROC_STOPPED;
}

/* ---- events ---- */

static void on_message(struct guard *guard, const struct kon_guard_msg *msg)
{
	switch (msg->kind) {
	case KON_GUARD_ARM:
		arm(guard, msg->first_ms, msg->second_ms);
		break;
	case KON_GUARD_STOP:
		stop(guard, msg->first_ms);
		break;
	case KON_GUARD_SIGNAL:
		/* After a stop by the terminal: whoever continues konductor in the foreground continues the child there. */
		if (msg->number == SIGCONT && !guard->reaped)
			kon_tty_lend(guard->tty_fd, guard->plan->home, guard->child);
		forward(guard, msg->number);
		break;
	default:
		break;
	}
}

static void read_messages(struct guard *guard)
{
	while (!guard->orphaned) {
		struct kon_guard_msg msg;
		ssize_t got = recv(guard->fds.sock, &msg, sizeof(msg), MSG_DONTWAIT);
		if (got == (ssize_t)sizeof(msg))
			on_message(guard, &msg);
		else if (got < 0 && errno == EAGAIN)
			break;
		else if (got >= 0 || errno != EINTR)
			guard->orphaned = true;
	}
}

/* End of file: exec closed it, or a signal ended the child before; both count as started. */
static void read_report(struct guard *guard)
{
	struct kon_child_report report;
	ssize_t got = read(guard->report_fd, &report, sizeof(report));
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	close(guard->report_fd);
	guard->report_fd = -1;
	if (got == (ssize_t)sizeof(report))
		tell_failed(guard, report.step, report.errnum);
	else
		tell(guard, (struct kon_guard_msg){.kind = KON_GUARD_STARTED, .number = guard->child});
}

static void on_child(struct guard *guard, int status)
{
	if (guard->report_fd >= 0)
		read_report(guard);
	if (WIFSTOPPED(status)) {
		/* May be lost when konductor does not read: it would be late then anyway. */
		struct kon_guard_msg msg = {.kind = KON_GUARD_STOPPED, .number = WSTOPSIG(status)};
		if (guard->queued == 0 && guard->report_fd < 0)
			put(guard, &msg);
		return;
	}
	guard->reaped = true;
	kon_tty_return(guard->tty_fd, guard->plan->home, guard->child);
	if (!guard->failed)
		tell(guard, (struct kon_guard_msg){.kind = KON_GUARD_EXITED, .number = status, .step = guard->end});
}

/* Reaps until nobody is left to reap now.  True when nobody will be: the tree has ended. */
static bool reap(struct guard *guard)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
		if (pid == guard->child && pid > 0)
			on_child(guard, status);
		else if (pid == 0)
			return false;
		else if (pid < 0 && errno != EINTR)
			return true;
	}
}

/* ---- preparing ---- */

static int open_events(struct guard *guard)
{
	sigset_t set;
	signal(SIGCHLD, SIG_DFL); /* an inherited "ignored" would hide the ends of the children */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	guard->child_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	guard->clock_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (guard->child_fd < 0 || guard->clock_fd < 0)
		return errno;
	if (guard->plan->spec->foreground)
		guard->tty_fd = kon_tty_open(guard->fds.stdio);
	return 0;
}

static int start_child(struct guard *guard)
{
	int report[2];
	/* All may have been frozen since konductor looked at the clock, for longer than the hold. */
	if (is_overdue(guard, kon_clock_boot_ms()))
		return ETIME;
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0)
		return errno;
	pid_t self = getpid();
	guard->child = _Fork();
	if (guard->child == 0)
		kon_child_run(guard->plan, self, guard->fds.stdio, report[1], guard->tty_fd);
	int errnum = errno;
	close(report[1]);
	kon_guard_fds_drop_stdio(&guard->fds);
	if (guard->child < 0) {
		close(report[0]);
		return errnum;
	}
	guard->report_fd = report[0];
	setpgid(guard->child, guard->child); /* by both: whoever needs the group first finds it */
	return 0;
}

/* ---- the life of a guard ---- */

static void drain(int fd)
{
	char buffer[sizeof(struct signalfd_siginfo)];
	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
}

static void watch(struct guard *guard)
{
	while (!reap(guard)) {
		/* Here, and not where the end of konductor is read: a word that cannot be sent tells of it as well. */
		if (guard->orphaned || guard->killing)
			kill_tree(guard);
		struct pollfd fds[] = {
			{.fd = guard->orphaned ? -1 : guard->fds.sock,
		         .events = (short)(POLLIN | (guard->queued > 0 ? POLLOUT : 0))},
			{.fd = guard->child_fd, .events = POLLIN},
			{.fd = guard->clock_fd, .events = POLLIN},
			{.fd = guard->report_fd, .events = POLLIN},
		};
		int ready = poll(fds, sizeof(fds) / sizeof(fds[0]), guard->killing ? guard->retry_ms : -1);
		if (ready == 0 && guard->retry_ms < LAST_RETRY_MS)
			guard->retry_ms *= 2;
		drain(guard->clock_fd);
		drain(guard->child_fd);
		if (guard->report_fd >= 0 && fds[3].revents != 0)
			read_report(guard);
		if (fds[0].revents != 0) {
			flush(guard);
			read_messages(guard);
		}
		check_deadlines(guard);
	}
}

/* Says that nobody is left, after letting go of what says so to others. */
static void say_gone(struct guard *guard)
{
	struct kon_guard_msg msg = {.kind = KON_GUARD_GONE, .at_us = kon_clock_boot_us()};
	kon_guard_fds_drop_keep(&guard->fds);
	tell(guard, msg);
	while (guard->queued > 0 && !guard->orphaned) {
		struct pollfd fd = {.fd = guard->fds.sock, .events = POLLOUT};
		poll(&fd, 1, -1);
		if (fd.revents & (POLLHUP | POLLERR))
			break;
		flush(guard);
	}
}

void kon_guard_run(const struct kon_guard_plan *plan)
{
	struct guard guard = {.plan = plan, .report_fd = -1, .tty_fd = -1};
	/* Without konductor's name in it: "pkill -9 konductor" must leave somebody to end the tree. */
	prctl(PR_SET_NAME, "kon-guard");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* The same for a signal to konductor's group. */
	setpgid(0, 0);
	arm(&guard, plan->spec->term_at_ms, plan->spec->kill_at_ms);
	int errnum = kon_guard_fds_take(&guard.fds, plan);
	if (errnum == 0)
		errnum = open_events(&guard);
	if (errnum == 0) {
		set_clock(&guard);
		errnum = start_child(&guard);
	}
	/* Looks into /proc, for which the child need not wait. */
	guard.source = kon_tree_source();
	if (errnum == 0)
		watch(&guard);
	else
		tell_failed(&guard, errnum == ETIME ? KON_CHILD_LATE : KON_CHILD_PREPARE, errnum);
	say_gone(&guard);
	_exit(0);
}
