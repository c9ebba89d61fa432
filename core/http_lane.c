/* libcurl's multi interface on the loop: descriptors by libev, its one timer on the boot clock. */
#include <ev.h>
#include <stdlib.h>

#include "clock.h"
#include "http_impl.h"

struct kon_http_lane {
	struct kon_http *http;
	CURLM *multi;
	struct kon_timer timer; /* when libcurl wants to be called */
	LIST_HEAD(, watched) sockets;
	int calls;
	bool answered; /* a connection of it has worked */
	bool retired;
	LIST_ENTRY(kon_http_lane) link;
};

struct watched {
	ev_io io;
	struct kon_http_lane *lane;
	LIST_ENTRY(watched) link;
};

/* Calls that libcurl has ended. */
static void collect(struct kon_http_lane *lane)
{
	int left;
	for (CURLMsg *message; (message = curl_multi_info_read(lane->multi, &left)) != NULL;) {
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode result = message->data.result; /* the message goes with the handle */
		char *call = NULL;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		kon_http_ended((struct kon_http_call *)(void *)call, result);
	}
}

static void act(struct kon_http_lane *lane, curl_socket_t fd, int what)
{
	struct kon_http *http = lane->http;
	int running;
	curl_multi_socket_action(lane->multi, fd, what, &running);
	collect(lane);
	kon_http_lanes_sweep(http, false);
	kon_http_deliver(http);
}

static void on_socket(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	struct watched *watched = io->data;
	int what = (revents & EV_READ ? CURL_CSELECT_IN : 0) | (revents & EV_WRITE ? CURL_CSELECT_OUT : 0);
	act(watched->lane, io->fd, what); /* watched may be gone now */
}

static void on_timer(struct kon_timer *timer, void *data)
{
	(void)timer;
	act(data, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl sets its timer, also from within curl_multi_add_handle(): it must not be called from here. */
static int set_timer(CURLM *multi, long timeout_ms, void *data)
{
	(void)multi;
	struct kon_http_lane *lane = data;
	if (timeout_ms < 0)
		kon_timer_stop(lane->http->loop, &lane->timer);
	else /* 1 more: both clocks are cut to milliseconds, and too early would be a wake-up for nothing */
		kon_timer_start(lane->http->loop, &lane->timer, kon_clock_boot_ms() + timeout_ms + (timeout_ms > 0));
	return 0;
}

static void forget(struct watched *watched)
{
	ev_io_stop(kon_loop_ev(watched->lane->http->loop), &watched->io);
	LIST_REMOVE(watched, link);
	free(watched);
}

static struct watched *watch(struct kon_http_lane *lane, curl_socket_t fd)
{
	struct watched *watched = calloc(1, sizeof(*watched));
	if (watched == NULL)
		return NULL;
	watched->lane = lane;
	ev_init(&watched->io, on_socket);
	watched->io.data = watched;
	LIST_INSERT_HEAD(&lane->sockets, watched, link);
	curl_multi_assign(lane->multi, fd, watched);
	return watched;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *assigned)
{
	(void)easy;
	struct kon_http_lane *lane = data;
	struct watched *watched = assigned;
	if (what == CURL_POLL_REMOVE) {
		if (watched != NULL)
			forget(watched);
		return 0;
	}
	if (watched == NULL && (watched = watch(lane, fd)) == NULL)
		return -1;
	int events = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);
	struct ev_loop *ev = kon_loop_ev(lane->http->loop);
	ev_io_stop(ev, &watched->io);
	ev_io_set(&watched->io, fd, events);
	ev_io_start(ev, &watched->io);
	return 0;
}

static void lane_free(struct kon_http_lane *lane)
{
	LIST_REMOVE(lane, link);
	curl_multi_cleanup(lane->multi);
	kon_timer_stop(lane->http->loop, &lane->timer);
	while (!LIST_EMPTY(&lane->sockets))
		forget(LIST_FIRST(&lane->sockets));
	free(lane);
}

static struct kon_http_lane *lane_new(struct kon_http *http)
{
	struct kon_http_lane *lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	lane->http = http;
	lane->timer = (struct kon_timer){.fire = on_timer, .data = lane};
	LIST_INIT(&lane->sockets);
	LIST_INSERT_HEAD(&http->lanes, lane, link);
	lane->multi = curl_multi_init();
	if (lane->multi == NULL || curl_multi_setopt(lane->multi, CURLMOPT_SOCKETFUNCTION, set_socket) != CURLM_OK ||
	    curl_multi_setopt(lane->multi, CURLMOPT_SOCKETDATA, lane) != CURLM_OK ||
	    curl_multi_setopt(lane->multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
	    curl_multi_setopt(lane->multi, CURLMOPT_TIMERDATA, lane) != CURLM_OK ||
	    curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) != CURLM_OK) {
		lane_free(lane);
		return NULL;
	}
	return lane;
}

struct kon_http_lane *kon_http_lane_for(struct kon_http *http, bool fresh)
{
	if (fresh && http->lane != NULL && http->lane->answered) {
		kon_http_lane_retire(http->lane);
		kon_http_lanes_sweep(http, false);
	}
	if (http->lane == NULL)
		http->lane = lane_new(http);
	return http->lane;
}

bool kon_http_lane_add(struct kon_http_lane *lane, struct kon_http_call *call)
{
	if (curl_multi_add_handle(lane->multi, call->easy) != CURLM_OK)
		return false;
	call->lane = lane;
	lane->calls++;
	return true;
}

void kon_http_lane_remove(struct kon_http_call *call)
{
	struct kon_http_lane *lane = call->lane;
	if (lane == NULL)
		return;
	call->lane = NULL;
	curl_multi_remove_handle(lane->multi, call->easy);
	lane->calls--;
}

void kon_http_lane_answered(struct kon_http_lane *lane)
{
	lane->answered = true;
}

void kon_http_lane_retire(struct kon_http_lane *lane)
{
	lane->retired = true;
	if (lane->http->lane == lane)
		lane->http->lane = NULL;
}

void kon_http_lanes_sweep(struct kon_http *http, bool all)
{
	struct kon_http_lane *next;
	for (struct kon_http_lane *lane = LIST_FIRST(&http->lanes); lane != NULL; lane = next) {
		next = LIST_NEXT(lane, link);
		if (all || (lane->retired && lane->calls == 0))
			lane_free(lane);
	}
}
