/*
 * What a command writes to one of its streams, collected in memory up to a limit.
 */
#ifndef KON_LUA_CAPTURE_H
#define KON_LUA_CAPTURE_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "loop.h"

struct kon_capture {
	struct kon_loop *loop;
	struct kon_buf text;
	ev_io io;
	int fd;        /* -1: never begun, or ended */
	bool is_on;    /* begun */
	bool keep_end; /* of what is longer than the limit, the end instead of the beginning */
};

/* An empty one, which kon_capture_done() accepts as any other. */
void kon_capture_init(struct kon_capture *capture, struct kon_loop *loop, size_t limit, bool keep_end);

/* Begins: write_fd is for the command, and the caller's to close. */
int kon_capture_begin(struct kon_capture *capture, int *write_fd, struct kon_err *err);

/* Takes what is there now. */
void kon_capture_drain(struct kon_capture *capture);

/* Nothing more is taken; the text stays. */
void kon_capture_end(struct kon_capture *capture);

void kon_capture_done(struct kon_capture *capture);

#endif
