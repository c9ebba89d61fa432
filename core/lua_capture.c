#include "lua_capture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAX_PIPE ((size_t)1 << 20) /* what a pipe holds at most, unless root lets it hold more */

void kon_capture_init(struct kon_capture *capture, struct kon_loop *loop, size_t limit, bool keep_end)
{
	*capture = (struct kon_capture){.loop = loop, .fd = -1, .keep_end = keep_end};
	kon_buf_init(&capture->text, limit);
}

void kon_capture_end(struct kon_capture *capture)
{
	if (capture->fd < 0)
		return;
	ev_io_stop(kon_loop_ev(capture->loop), &capture->io);
	close(capture->fd);
	capture->fd = -1;
}

void kon_capture_done(struct kon_capture *capture)
{
	kon_capture_end(capture);
	kon_buf_done(&capture->text);
}

/* What exceeds the limit is dropped: at the end, or half of the beginning. */
static void keep(struct kon_capture *capture, const char *bytes, size_t size)
{
	struct kon_buf *text = &capture->text;
	if (capture->keep_end && text->size > 0 && size > text->cap - text->size) {
		size_t half = text->size / 2;
		memmove(text->data, text->data + text->size - half, half);
		text->size = half;
	}
	size_t left = text->cap - text->size;
	if (capture->keep_end && size > left)
		bytes += size - left;
	kon_buf_add(text, bytes, size < left ? size : left);
}

/* How much there was; 0 when there is nothing now, or never will be. */
static size_t read_some(struct kon_capture *capture)
{
	char chunk[4096]; /* set to zero at each call: a larger one costs more than the reads that it saves */
	ssize_t got;
	do
		got = read(capture->fd, chunk, sizeof(chunk));
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		keep(capture, chunk, (size_t)got);
		return (size_t)got;
	}
	if (got == 0 || errno != EAGAIN)
		kon_capture_end(capture);
	return 0;
}

/* All is read, whatever is kept: a full pipe would block the command.  A command that writes faster than we read must
 * not hold up the loop: what is left then comes with the next turn. */
void kon_capture_drain(struct kon_capture *capture)
{
	size_t done = 0;
	size_t more = 1;
	while (capture->fd >= 0 && more > 0 && done < MAX_PIPE) {
		more = read_some(capture);
		done += more;
	}
}

static void on_readable(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	(void)revents;
	kon_capture_drain(io->data);
}

int kon_capture_begin(struct kon_capture *capture, int *write_fd, struct kon_err *err)
{
	int pipe_fd[2];
	if (pipe2(pipe_fd, O_CLOEXEC) != 0)
		return kon_err_errno(err, KON_SYSTEM, errno, "cannot capture the output of the command");
	fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK);
	capture->is_on = true;
	capture->fd = pipe_fd[0];
	ev_io_init(&capture->io, on_readable, pipe_fd[0], EV_READ);
	capture->io.data = capture;
	ev_io_start(kon_loop_ev(capture->loop), &capture->io);
	*write_fd = pipe_fd[1];
	return 0;
}
