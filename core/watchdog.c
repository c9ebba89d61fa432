#include "watchdog.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

/* No program is sent this one: konductor forwards every signal that it could be sent. */
#define STUCK_SIGNAL SIGSYS

/* A process that was stopped, or not scheduled, within a turn is late without being stuck: after it is seen to be late
 * it has the last part of the limit. */
#define PARTS 10
static volatile sig_atomic_t times_late;

static void on_stuck(int signal)
{
	(void)signal;
	if (++times_late < 2)
		return;
	static const char text[] =
		"konductor: stuck: one step of a policy did not return in time; stopping the work, exit 70\n";
	/* Nobody may read: then the words are lost, but not the end.  Room for one byte of a pipe is room for a page. */
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&room, 1, 0) == 1)
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(70);
}

int kon_watchdog_init(struct kon_watchdog *dog, int64_t limit_ms, struct kon_err *err)
{
	struct sigaction action = {.sa_handler = on_stuck};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = STUCK_SIGNAL};

	memset(dog, 0, sizeof(*dog));
	dog->limit_ms = limit_ms;
	sigemptyset(&action.sa_mask);
	sigset_t unblock;
	sigemptyset(&unblock);
	sigaddset(&unblock, STUCK_SIGNAL);
	if (sigaction(STUCK_SIGNAL, &action, NULL) != 0 || sigprocmask(SIG_UNBLOCK, &unblock, NULL) != 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &dog->timer) != 0)
		return kon_err_errno(err, KON_SYSTEM, errno, "cannot set up the watchdog");
	return 0;
}

void kon_watchdog_done(struct kon_watchdog *dog)
{
	timer_delete(dog->timer);
}

static struct timespec timespec_of(int64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Once before the last part of the limit, and once after it; 0 stops the timer. */
static void set_timer(struct kon_watchdog *dog, int64_t limit_ms)
{
	int64_t last_ms = (limit_ms + PARTS - 1) / PARTS;
	int64_t first_ms = limit_ms > last_ms ? limit_ms - last_ms : limit_ms;
	struct itimerspec spec = {.it_value = timespec_of(first_ms), .it_interval = timespec_of(last_ms)};
	timer_settime(dog->timer, 0, &spec, NULL);
}

void kon_watchdog_enter(struct kon_watchdog *dog)
{
	atomic_store(&dog->since_ms, kon_clock_boot_ms());
	times_late = 0;
	set_timer(dog, dog->limit_ms);
}

void kon_watchdog_leave(struct kon_watchdog *dog)
{
	atomic_store(&dog->since_ms, 0);
	set_timer(dog, 0);
}

int64_t kon_watchdog_busy_ms(const struct kon_watchdog *dog)
{
	int64_t since_ms = atomic_load(&dog->since_ms);
	return since_ms == 0 ? 0 : kon_clock_boot_ms() - since_ms;
}
