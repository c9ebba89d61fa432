#include "session.h"

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"

#define STALE_AFTER_S 3600

struct kon_session {
	int dir_fd;
	int fd; /* both ends: opening a pipe for writing alone would wait for a reader */
	char name[KON_SESSION_DIGITS + 1];
};

struct kon_peer {
	struct kon_loop *loop;
	ev_io io;
	struct kon_timer now; /* armed when the session was dead already */
	int fd;               /* -1: not known, or told */
	void (*gone)(void *data);
	void *data;
};

enum liveness { ALIVE, GONE, NOT_KNOWN };

bool kon_session_valid(const char *session)
{
	return strlen(session) == KON_SESSION_DIGITS && strspn(session, "0123456789abcdef") == KON_SESSION_DIGITS;
}

/* Nobody writes, so reading says: would block (a writer has it open), or end of file (nobody has). */
static enum liveness ask(int fd)
{
	char junk[512];
	ssize_t got;
	do
		got = read(fd, junk, sizeof(junk));
	while (got > 0 || (got < 0 && errno == EINTR));
	if (got == 0)
		return GONE;
	return errno == EAGAIN ? ALIVE : NOT_KNOWN;
}

/* The reading end; -1 with errno when there is none, or when the name is something else than a pipe. */
static int open_pipe(int dir_fd, const char *name)
{
	struct stat info;
	int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && (fstat(fd, &info) != 0 || !S_ISFIFO(info.st_mode))) {
		close(fd);
		fd = -1;
		errno = ENOENT;
	}
	return fd;
}

static void remove_dead(int dir_fd, const char *name)
{
	int fd = open_pipe(dir_fd, name);
	if (fd < 0)
		return;
	if (ask(fd) == GONE)
		unlinkat(dir_fd, name, 0);
	close(fd);
}

/* Only what is old: a young dead session may still be named by a record, whose next holder wants to know at once. */
static void sweep(int dir_fd)
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	if (dir == NULL) {
		if (copy >= 0)
			close(copy);
		return;
	}
	int64_t before_s = kon_clock_wall_ms() / 1000 - STALE_AFTER_S;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		struct stat info;
		if (kon_session_valid(entry->d_name) &&
		    fstatat(dir_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_mtime < before_s)
			remove_dead(dir_fd, entry->d_name);
	}
	closedir(dir);
}

int kon_session_open(struct kon_session **out, const char *dir, const char *session, struct kon_err *err)
{
	if (!kon_session_valid(session))
		return kon_err_set(err, KON_USAGE, "a session is 32 hexadecimal digits, not '%s'", session);
	struct kon_session *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	made->fd = -1;
	made->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The name is ours to remove only once mkfifo has made it. */
	if (made->dir_fd >= 0 && mkfifoat(made->dir_fd, session, 0600) == 0) {
		memcpy(made->name, session, KON_SESSION_DIGITS);
		made->fd = openat(made->dir_fd, session, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	}
	if (made->fd < 0) {
		int saved = errno;
		kon_session_close(made, true);
		return kon_err_errno(err, kon_fs_code(saved), saved,
		                     "cannot make the liveness pipe of this process in %s", dir);
	}
	sweep(made->dir_fd);
	*out = made;
	return 0;
}

int kon_session_fd(const struct kon_session *session)
{
	return session->fd;
}

void kon_session_close(struct kon_session *session, bool forget)
{
	if (session == NULL)
		return;
	/* Close before unlink: who comes between the two learns that we are gone, not that nothing is known. */
	if (session->fd >= 0)
		close(session->fd);
	if (forget && session->name[0] != '\0')
		unlinkat(session->dir_fd, session->name, 0);
	if (session->dir_fd >= 0)
		close(session->dir_fd);
	free(session);
}

static void end_watch(struct kon_peer *peer)
{
	kon_timer_stop(peer->loop, &peer->now);
	if (peer->fd < 0)
		return;
	ev_io_stop(kon_loop_ev(peer->loop), &peer->io);
	close(peer->fd);
	peer->fd = -1;
}

static void on_pipe(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	(void)revents;
	struct kon_peer *peer = io->data;
	enum liveness state = ask(peer->fd);
	if (state == ALIVE)
		return;
	end_watch(peer);
	if (state == GONE)
		peer->gone(peer->data);
}

static void on_now(struct kon_timer *timer, void *data)
{
	(void)timer;
	struct kon_peer *peer = data;
	peer->gone(peer->data);
}

static int open_peer(const char *dir, const char *session)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -1;
	int fd = open_pipe(dir_fd, session);
	int saved = errno;
	close(dir_fd);
	errno = saved;
	return fd;
}

int kon_peer_watch(struct kon_loop *loop, const char *dir, const char *session, void (*gone)(void *data), void *data,
                   struct kon_peer **out, struct kon_err *err)
{
	struct kon_peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	*peer = (struct kon_peer){.loop = loop, .gone = gone, .data = data};
	peer->now.fire = on_now;
	peer->now.data = peer;
	errno = 0;
	peer->fd = kon_session_valid(session) ? open_peer(dir, session) : -1;
	if (peer->fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
		int saved = errno;
		free(peer);
		return kon_err_errno(err, KON_SYSTEM, saved, "cannot watch the session %s", session);
	}
	enum liveness state = peer->fd >= 0 ? ask(peer->fd) : NOT_KNOWN;
	if (state == ALIVE) {
		ev_io_init(&peer->io, on_pipe, peer->fd, EV_READ);
		peer->io.data = peer;
		ev_io_start(kon_loop_ev(loop), &peer->io);
	} else if (peer->fd >= 0) {
		close(peer->fd);
		peer->fd = -1;
	}
	if (state == GONE)
		kon_timer_start(loop, &peer->now, 0);
	*out = peer;
	return 0;
}

void kon_peer_free(struct kon_peer *peer)
{
	if (peer == NULL)
		return;
	end_watch(peer);
	free(peer);
}
