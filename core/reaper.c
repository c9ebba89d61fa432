#include "reaper.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <sys/wait.h>

#include "clock.h"
#include "tree.h"

enum { RETRY_MS = 100 }; /* between two rounds of killing that no SIGCHLD asked for */

/* What the kernel keeps once for a process is kept once here. */
static struct {
	struct kon_ward *wards;
	struct kon_loop *loop; /* that child_ended runs on; NULL when it is stopped */
	ev_signal child_ended;
	struct kon_timer retry;
	bool strays;
} self;

/* The number of a guard that was reaped may be another's by now. */
static struct kon_ward *find_guard(pid_t pid)
{
	struct kon_ward *ward = self.wards;
	while (ward != NULL && (ward->guard != pid || ward->guard_reaped))
		ward = ward->next;
	return ward;
}

/* ---- what lost guards left behind ---- */

static bool any(bool lost)
{
	for (struct kon_ward *ward = self.wards; ward != NULL; ward = ward->next)
		if (ward->lost == lost)
			return true;
	return false;
}

enum rest { REST_LIVES, REST_ENDED, REST_UNKNOWN };

/*
 * One round of killing.  What descends from a living guard falls to that guard, so a child of ours that is no
 * guard was left by a lost one.  (As PID 1 also by somebody's exec into this container: that cannot be told
 * apart, and dies too.)  The trees of several lost guards cannot be told apart either; they end together.
 */
static enum rest kill_rest(void)
{
	struct kon_pids pids = {0};
	size_t left = 0;
	if (kon_tree_list(kon_tree_source(), getpid(), 0, &pids) != 0) {
		kon_pids_done(&pids);
		return any(false) ? REST_UNKNOWN : REST_LIVES; /* reap sees when we have no child at all */
	}
	for (size_t i = 0; i < pids.count; i++) {
		if (find_guard(pids.at[i]) == NULL) {
			kon_tree_kill(pids.at[i]);
			left++;
		}
	}
	kon_pids_done(&pids);
	return left > 0 ? REST_LIVES : REST_ENDED;
}

/* ended may remove its ward and add others, so after each call the list is looked at anew. */
static void see_to_lost(bool childless)
{
	struct kon_ward *ward = self.wards;
	while (ward != NULL) {
		enum rest rest = REST_LIVES;
		if (ward->lost)
			rest = childless ? REST_ENDED : kill_rest();
		if (rest == REST_LIVES) {
			ward = ward->next;
			continue;
		}
		kon_reaper_remove(ward);
		ward->ended(ward, rest == REST_ENDED);
		ward = self.wards;
	}
	if (any(true))
		kon_timer_start(self.loop, &self.retry, kon_clock_boot_ms() + RETRY_MS);
}

/* ---- reaping ---- */

/* True when we have no child at all. */
static bool reap(void)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
		if (pid == 0)
			return false;
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return true;
		if (WIFSTOPPED(status)) {
			/* A guard that is stopped would not see its command end, for as long as the hold is renewed. */
			if (find_guard(pid) != NULL)
				kill(pid, SIGCONT);
			continue;
		}
		for (struct kon_ward *ward = self.wards; ward != NULL; ward = ward->next) {
			if (ward->guard == pid)
				ward->guard_reaped = true;
			else if (ward->child == pid)
				ward->child_status = status;
		}
	}
}

static void on_child_ended(struct ev_loop *ev, ev_signal *watcher, int revents)
{
	(void)ev;
	(void)watcher;
	(void)revents;
	see_to_lost(reap());
}

static void on_retry(struct kon_timer *timer, void *data)
{
	(void)timer;
	(void)data;
	see_to_lost(reap());
}

static void watch(struct kon_loop *loop)
{
	bool wanted = self.wards != NULL || self.strays;
	if (wanted && self.loop == NULL) {
		self.loop = loop;
		self.retry = (struct kon_timer){.fire = on_retry};
		ev_signal_init(&self.child_ended, on_child_ended, SIGCHLD);
		ev_signal_start(kon_loop_ev(loop), &self.child_ended);
	} else if (!wanted && self.loop != NULL) {
		ev_signal_stop(kon_loop_ev(self.loop), &self.child_ended);
		kon_timer_stop(self.loop, &self.retry);
		self.loop = NULL;
	}
}

void kon_reaper_add(struct kon_loop *loop, struct kon_ward *ward)
{
	ward->child_status = SIGKILL; /* as a wait status */
	ward->next = self.wards;
	self.wards = ward;
	watch(loop);
}

void kon_reaper_remove(struct kon_ward *ward)
{
	struct kon_ward **at = &self.wards;
	while (*at != NULL && *at != ward)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = ward->next;
	watch(self.loop);
}

void kon_reaper_strays(struct kon_loop *loop, bool on)
{
	self.strays = on;
	watch(loop);
	if (on)
		reap();
}

void kon_reaper_collect(struct kon_ward *ward)
{
	while (!ward->guard_reaped && waitpid(ward->guard, NULL, 0) < 0 && errno == EINTR)
		;
	ward->guard_reaped = true;
}

void kon_reaper_lose(struct kon_ward *ward)
{
	ward->lost = true;
	see_to_lost(reap());
}
