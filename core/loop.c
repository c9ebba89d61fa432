#include "loop.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"

struct kon_loop {
	struct ev_loop *ev;
	ev_io clock_io; /* the timerfd */
	ev_idle wake;   /* active while one more turn is asked for */
	ev_prepare turn_end;
	int clock_fd;
	int64_t armed_ms; /* what the timerfd is set to; 0 = disarmed */
	int64_t batch_ms; /* while timers fire: what counts as now; else 0 */
	struct kon_timer **heap;
	int32_t count;
	int32_t room;
	uint64_t next_order;
	uint64_t turns;
	void (*turn)(void *data);
	void *turn_data;
};

static bool before(const struct kon_timer *a, const struct kon_timer *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void place(struct kon_loop *loop, struct kon_timer *timer, int32_t index)
{
	loop->heap[index] = timer;
	timer->slot = index + 1;
}

static void sift_up(struct kon_loop *loop, struct kon_timer *timer, int32_t index)
{
	while (index > 0) {
		int32_t parent = (index - 1) / 2;
		if (!before(timer, loop->heap[parent]))
			break;
		place(loop, loop->heap[parent], index);
		index = parent;
	}
	place(loop, timer, index);
}

static void sift_down(struct kon_loop *loop, struct kon_timer *timer, int32_t index)
{
	for (;;) {
		int32_t child = 2 * index + 1;
		if (child >= loop->count)
			break;
		if (child + 1 < loop->count && before(loop->heap[child + 1], loop->heap[child]))
			child++;
		if (!before(loop->heap[child], timer))
			break;
		place(loop, loop->heap[child], index);
		index = child;
	}
	place(loop, timer, index);
}

/* The timerfd follows the head of the heap; setting it costs a system call, so only on change. */
static void rearm(struct kon_loop *loop)
{
	int64_t at_ms = loop->count > 0 ? loop->heap[0]->at_ms : 0;
	if (loop->count > 0 && at_ms < 1)
		at_ms = 1; /* zero would disarm */
	if (at_ms == loop->armed_ms)
		return;
	struct itimerspec spec = {.it_value = {.tv_sec = at_ms / 1000, .tv_nsec = (at_ms % 1000) * 1000000}};
	timerfd_settime(loop->clock_fd, TFD_TIMER_ABSTIME, &spec, NULL);
	loop->armed_ms = at_ms;
}

void kon_timer_start(struct kon_loop *loop, struct kon_timer *timer, int64_t at_ms)
{
	kon_timer_stop(loop, timer);
	if (loop->count == loop->room) {
		int32_t room = loop->room ? loop->room * 2 : 16;
		struct kon_timer **heap = realloc(loop->heap, (size_t)room * sizeof(*heap));
		if (heap == NULL)
			abort(); /* a deadline that cannot be kept: the guards stop the work when we are gone */
		loop->heap = heap;
		loop->room = room;
	}
	/* One that restarts itself in the past queues behind the others that are due. */
	timer->at_ms = at_ms < loop->batch_ms ? loop->batch_ms : at_ms;
	timer->order = loop->next_order++;
	sift_up(loop, timer, loop->count++);
	rearm(loop);
}

void kon_timer_stop(struct kon_loop *loop, struct kon_timer *timer)
{
	if (timer->slot == 0)
		return;
	int32_t index = timer->slot - 1;
	struct kon_timer *last = loop->heap[--loop->count];
	timer->slot = 0;
	if (last != timer) {
		if (index > 0 && before(last, loop->heap[(index - 1) / 2]))
			sift_up(loop, last, index);
		else
			sift_down(loop, last, index);
	}
	rearm(loop);
}

bool kon_timer_armed(const struct kon_timer *timer)
{
	return timer->slot != 0;
}

static void on_clock(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	(void)revents;
	struct kon_loop *loop = io->data;
	uint64_t ticks;
	if (read(loop->clock_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		abort();
	loop->armed_ms = 0;
	/* Only timers started before this batch: one that re-arms itself in the past must not hold the loop. */
	uint64_t batch = loop->next_order;
	loop->batch_ms = kon_clock_boot_ms();
	while (loop->count > 0 && loop->heap[0]->at_ms <= loop->batch_ms && loop->heap[0]->order < batch) {
		struct kon_timer *timer = loop->heap[0];
		kon_timer_stop(loop, timer);
		timer->fire(timer, timer->data);
	}
	loop->batch_ms = 0;
	loop->armed_ms = -1; /* whatever the calls above set, the head decides now */
	rearm(loop);
}

static void on_wake(struct ev_loop *ev, ev_idle *idle, int revents)
{
	(void)revents;
	ev_idle_stop(ev, idle);
}

/* Prepare watchers run after the events of one turn and before the loop blocks again. */
static void on_turn_end(struct ev_loop *ev, ev_prepare *prepare, int revents)
{
	(void)ev;
	(void)revents;
	struct kon_loop *loop = prepare->data;
	loop->turns++;
	if (loop->turn != NULL)
		loop->turn(loop->turn_data);
}

int kon_loop_new(struct kon_loop **out, struct kon_err *err)
{
	struct kon_loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	loop->clock_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	loop->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (loop->clock_fd < 0 || loop->ev == NULL) {
		int saved = errno;
		kon_loop_free(loop);
		return kon_err_errno(err, KON_SYSTEM, saved, "cannot make an event loop");
	}
	ev_io_init(&loop->clock_io, on_clock, loop->clock_fd, EV_READ);
	loop->clock_io.data = loop;
	ev_io_start(loop->ev, &loop->clock_io);
	ev_idle_init(&loop->wake, on_wake);
	ev_prepare_init(&loop->turn_end, on_turn_end);
	loop->turn_end.data = loop;
	ev_prepare_start(loop->ev, &loop->turn_end);
	*out = loop;
	return 0;
}

void kon_loop_free(struct kon_loop *loop)
{
	if (loop == NULL)
		return;
	if (loop->ev != NULL)
		ev_loop_destroy(loop->ev);
	if (loop->clock_fd >= 0)
		close(loop->clock_fd);
	free(loop->heap);
	free(loop);
}

struct ev_loop *kon_loop_ev(struct kon_loop *loop)
{
	return loop->ev;
}

void kon_loop_on_turn(struct kon_loop *loop, void (*turn)(void *data), void *data)
{
	loop->turn = turn;
	loop->turn_data = data;
}

void kon_loop_wake(struct kon_loop *loop)
{
	ev_idle_start(loop->ev, &loop->wake);
}

void kon_loop_run(struct kon_loop *loop)
{
	ev_run(loop->ev, 0);
}

void kon_loop_stop(struct kon_loop *loop)
{
	ev_break(loop->ev, EVBREAK_ALL);
}

uint64_t kon_loop_turns(const struct kon_loop *loop)
{
	return loop->turns;
}
