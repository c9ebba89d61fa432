#include "bell.h"

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bell_line.h"
#include "clock.h"
#include "fs.h"

/* A closer may remove an empty key directory just before we use it; this often in a row means something else. */
#define MAX_TRIES 100
#define STALE_AFTER_S 3600
#define SMALLEST_PIPE 4096 /* what the kernel gives at least */
#define KEY_TEXT 17        /* 16 digits and NUL */
#define NAME_TEXT 64
#define LATER_MS 5  /* how much later those are told who are in no hurry */
#define MAX_LATER 8 /* rings kept back at one time; one more is not kept back */

struct kon_bell_watch {
	struct bell *bell; /* NULL once the bells are closed */
	struct kon_bell_watch *next;
	kon_bell_rung *rung;
	void *data;
};

/* One pipe, shared by the watches of a key. */
struct bell {
	struct kon_bells *bells;
	struct bell *next;
	struct kon_bell_watch *watches;
	struct kon_bell_watch *cursor; /* the next one to call, while ringing */
	bool ringing;
	uint64_t key;
	ev_io io;
	int fd;
	char path[KEY_TEXT + NAME_TEXT]; /* below the directory */
};

/* A ring that has yet to reach all but one. */
struct later {
	uint64_t key;
	char word[KON_BELL_MAX_WORD + 1];
	char told[NAME_TEXT - 16]; /* the session that was told at once */
};

struct kon_bells {
	struct kon_loop *loop;
	struct bell *first;
	struct kon_timer later_timer;
	struct later later[MAX_LATER];
	int later_count;
	int dir_fd;
	char *dir;
	char session[NAME_TEXT - 16];
};

static void key_text(char out[KEY_TEXT], uint64_t key)
{
	snprintf(out, KEY_TEXT, "%016" PRIx64, key);
}

/* The directory NAME below dir_fd, for reading; NULL when it is not there. */
static DIR *open_dir(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL && fd >= 0)
		close(fd);
	return dir;
}

static void remove_dead(int dir_fd, const char *key)
{
	DIR *dir = open_dir(dir_fd, key);
	if (dir == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		int fd = openat(dirfd(dir), entry->d_name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0)
			close(fd);
		else if (errno == ENXIO)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	unlinkat(dir_fd, key, AT_REMOVEDIR);
}

/* Keys that nobody has touched for an hour: whoever waited for them may have died, and nobody may ever ring them. */
static void sweep(int dir_fd)
{
	DIR *dir = open_dir(dir_fd, ".");
	if (dir == NULL)
		return;
	int64_t before_s = kon_clock_wall_ms() / 1000 - STALE_AFTER_S;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		struct stat info;
		if (entry->d_name[0] != '.' && fstatat(dir_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
		    info.st_mtime < before_s)
			remove_dead(dir_fd, entry->d_name);
	}
	closedir(dir);
}

/* Somebody may clean up behind us.  Then the directory that we have open is one that nobody finds any more: takes the
 * new one of that name.  False when ours is still there, or when there is none. */
static bool reopen_dir(struct kon_bells *bells)
{
	struct stat info;
	if (fstat(bells->dir_fd, &info) != 0 || info.st_nlink > 0)
		return false;
	int fd = open(bells->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	close(bells->dir_fd);
	bells->dir_fd = fd;
	return true;
}

/* ---- ringing ---- */

static void ring_one(int key_fd, const char *name, const struct kon_ring *ring)
{
	int fd = openat(key_fd, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		/* No room for the word either means that the waiter has not looked since it was rung: it will. */
		if (!kon_bell_line_put(fd, ring) && ring->news != NULL)
			kon_bell_line_put(fd, &(struct kon_ring){.word = ring->word});
		close(fd);
	} else if (errno == ENXIO) {
		unlinkat(key_fd, name, 0);
	}
}

static bool is_of(const char *name, const char *session)
{
	size_t length = strlen(session);
	return strncmp(name, session, length) == 0 && name[length] == '-';
}

/* Rings the bells of the key that are of session, or all that are not; false when there was none. */
static bool ring_those(struct kon_bells *bells, uint64_t key, const struct kon_ring *ring, const char *session,
                       bool of_session)
{
	char name[KEY_TEXT];
	bool any = false;
	key_text(name, key);
	/* Most writes have no listener: then this is all they pay. */
	DIR *dir = open_dir(bells->dir_fd, name);
	if (dir == NULL && errno == ENOENT && reopen_dir(bells))
		dir = open_dir(bells->dir_fd, name);
	if (dir == NULL)
		return false;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] != '.' && (session != NULL && is_of(entry->d_name, session)) == of_session) {
			ring_one(dirfd(dir), entry->d_name, ring);
			any = true;
		}
	}
	closedir(dir);
	return any;
}

static void ring_later_ones(struct kon_bells *bells)
{
	kon_timer_stop(bells->loop, &bells->later_timer);
	for (int i = 0; i < bells->later_count; i++) {
		struct kon_ring ring = {.word = bells->later[i].word};
		ring_those(bells, bells->later[i].key, &ring, bells->later[i].told, false);
	}
	bells->later_count = 0;
}

static void on_later(struct kon_timer *timer, void *data)
{
	(void)timer;
	ring_later_ones(data);
}

static void keep_back(struct kon_bells *bells, uint64_t key, const char *word, const char *told)
{
	if (bells->later_count == MAX_LATER)
		ring_later_ones(bells);
	if (bells->later_count == 0)
		kon_timer_start(bells->loop, &bells->later_timer, kon_clock_boot_ms() + LATER_MS);
	struct later *later = &bells->later[bells->later_count++];
	later->key = key;
	snprintf(later->word, sizeof(later->word), "%s", word);
	snprintf(later->told, sizeof(later->told), "%s", told);
}

/* Whoever is told first has the processors for itself: a crowd that woke with it would only slow it down. */
void kon_bells_ring(struct kon_bells *bells, uint64_t key, const struct kon_ring *ring, const char *first)
{
	if (first != NULL && strcmp(first, bells->session) == 0)
		keep_back(bells, key, ring->word, "");
	else if (first != NULL && ring_those(bells, key, ring, first, true))
		keep_back(bells, key, ring->word, first);
	else
		ring_those(bells, key, ring, NULL, false);
}

bool kon_bells_pending(const struct kon_bells *bells)
{
	return bells->later_count > 0;
}

/* ---- opening and closing ---- */

int kon_bells_open(struct kon_bells **out, struct kon_loop *loop, const char *dir, const char *session,
                   struct kon_err *err)
{
	struct kon_bells *bells = calloc(1, sizeof(*bells));
	if (bells == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	bells->loop = loop;
	bells->later_timer.fire = on_later;
	bells->later_timer.data = bells;
	snprintf(bells->session, sizeof(bells->session), "%s", session);
	bells->dir = strdup(dir);
	bells->dir_fd = bells->dir != NULL ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (bells->dir_fd < 0) {
		int saved = errno;
		free(bells->dir);
		free(bells);
		return kon_err_errno(err, kon_fs_code(saved), saved, "cannot open %s", dir);
	}
	sweep(bells->dir_fd);
	*out = bells;
	return 0;
}

static void take_down(struct bell *bell)
{
	struct kon_bells *bells = bell->bells;
	char key[KEY_TEXT];
	key_text(key, bell->key);
	ev_io_stop(kon_loop_ev(bells->loop), &bell->io);
	unlinkat(bells->dir_fd, bell->path, 0);
	unlinkat(bells->dir_fd, key, AT_REMOVEDIR); /* refused while others have bells there */
	close(bell->fd);
	for (struct bell **link = &bells->first; *link != NULL; link = &(*link)->next) {
		if (*link == bell) {
			*link = bell->next;
			break;
		}
	}
	free(bell);
}

/* Those who have yet to be told must be before our session ends, or they would take its end for news. */
static void tell_the_rest(struct kon_bells *bells)
{
	if (bells->later_count == 0)
		return;
	int64_t left_ms = bells->later_timer.at_ms - kon_clock_boot_ms();
	if (left_ms > 0 && left_ms <= LATER_MS)
		nanosleep(&(struct timespec){.tv_nsec = (long)left_ms * 1000000}, NULL);
	ring_later_ones(bells);
}

void kon_bells_close(struct kon_bells *bells)
{
	if (bells == NULL)
		return;
	tell_the_rest(bells);
	while (bells->first != NULL) {
		struct bell *bell = bells->first;
		for (struct kon_bell_watch *watch = bell->watches; watch != NULL; watch = watch->next)
			watch->bell = NULL;
		take_down(bell);
	}
	close(bells->dir_fd);
	free(bells->dir);
	free(bells);
}

static void call_watches(struct bell *bell, const struct kon_ring *ring)
{
	for (struct kon_bell_watch *watch = bell->watches; watch != NULL; watch = bell->cursor) {
		bell->cursor = watch->next;
		watch->rung(watch->data, ring);
	}
}

/* Whether a pipe of the smallest size may have been too full for another line. */
static bool overflowed(size_t got)
{
	return got + KON_BELL_MAX_WORD + 1 >= SMALLEST_PIPE;
}

static void call_for_lines(struct bell *bell, char *lines, char *end)
{
	struct kon_ring ring;
	while (kon_bell_line_next(&lines, end, &ring))
		call_watches(bell, &ring);
}

static void on_ring(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	(void)revents;
	struct bell *bell = io->data;
	static char lines[SMALLEST_PIPE]; /* on the stack it would be zeroed each time, to hold a dozen bytes */
	ssize_t got = read(bell->fd, lines, SMALLEST_PIPE);
	if (got <= 0)
		return;
	bell->ringing = true;
	if (overflowed((size_t)got)) {
		/* Emptied before anybody is told: a ring from now on is a new one. */
		while (read(bell->fd, lines, SMALLEST_PIPE) > 0)
			;
		call_watches(bell, &(struct kon_ring){0});
	} else {
		call_for_lines(bell, lines, lines + got);
	}
	bell->ringing = false;
	if (bell->watches == NULL)
		take_down(bell);
}

/* The pipe is open before it gets its name: a pipe with a name and without reader is left from the dead. */
static int hang_up(struct kon_bells *bells, struct bell *bell, int number)
{
	char key[KEY_TEXT];
	char hidden[sizeof(bell->path) + 1];
	key_text(key, bell->key);
	snprintf(hidden, sizeof(hidden), "%s/.%s-%d", key, bells->session, number);
	snprintf(bell->path, sizeof(bell->path), "%s/%s-%d", key, bells->session, number);
	if (mkdirat(bells->dir_fd, key, 0700) != 0 && errno != EEXIST)
		return -1;
	if (mkfifoat(bells->dir_fd, hidden, 0600) != 0)
		return -1;
	int fd = openat(bells->dir_fd, hidden, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && linkat(bells->dir_fd, hidden, bells->dir_fd, bell->path, 0) != 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		fd = -1;
	}
	int saved = errno;
	unlinkat(bells->dir_fd, hidden, 0);
	errno = saved;
	return fd;
}

static int hang_up_error(uint64_t key, int errnum, struct kon_err *err)
{
	int code = errnum == EMFILE || errnum == ENFILE ? KON_SYSTEM : kon_fs_code(errnum);
	return kon_err_errno(err, code, errnum, "cannot make the wake-up pipe %016" PRIx64, key);
}

static int new_bell(struct kon_bells *bells, uint64_t key, struct bell **out, struct kon_err *err)
{
	struct bell *bell = calloc(1, sizeof(*bell));
	if (bell == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	bell->bells = bells;
	bell->key = key;
	bell->fd = -1;
	/* ENOENT: a directory went; EEXIST: the number is taken, by another store of this process. */
	for (int try = 0; try < MAX_TRIES && bell->fd < 0; try++) {
		bell->fd = hang_up(bells, bell, try);
		if (bell->fd < 0 && errno != ENOENT && errno != EEXIST)
			break;
		if (bell->fd < 0 && kon_fs_make_dirs(bells->dir, NULL) == 0)
			reopen_dir(bells);
	}
	if (bell->fd < 0) {
		int saved = errno;
		free(bell);
		return hang_up_error(key, saved, err);
	}
	ev_io_init(&bell->io, on_ring, bell->fd, EV_READ);
	bell->io.data = bell;
	ev_io_start(kon_loop_ev(bells->loop), &bell->io);
	bell->next = bells->first;
	bells->first = bell;
	*out = bell;
	return 0;
}

static struct bell *find_bell(struct kon_bells *bells, uint64_t key)
{
	struct bell *bell = bells->first;
	while (bell != NULL && bell->key != key)
		bell = bell->next;
	return bell;
}

int kon_bell_watch(struct kon_bells *bells, uint64_t key, kon_bell_rung *rung, void *data, struct kon_bell_watch **out,
                   struct kon_err *err)
{
	struct bell *bell = find_bell(bells, key);
	struct kon_bell_watch *watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	int code = bell != NULL ? 0 : new_bell(bells, key, &bell, err);
	if (code != 0) {
		free(watch);
		return code;
	}
	*watch = (struct kon_bell_watch){.bell = bell, .next = bell->watches, .rung = rung, .data = data};
	bell->watches = watch;
	*out = watch;
	return 0;
}

void kon_bell_unwatch(struct kon_bell_watch *watch)
{
	if (watch == NULL)
		return;
	struct bell *bell = watch->bell;
	if (bell != NULL) {
		if (bell->cursor == watch)
			bell->cursor = watch->next;
		struct kon_bell_watch **link = &bell->watches;
		while (*link != watch)
			link = &(*link)->next;
		*link = watch->next;
		if (bell->watches == NULL && !bell->ringing)
			take_down(bell);
	}
	free(watch);
}
