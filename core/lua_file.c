/* Files and terminals for Lua: whole small files in, lines appended, text to a descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "lua_core.h"
#include "lua_type.h"
#include "task.h"

#define FILE_TYPE "konductor.file"
#define MAX_FILE ((size_t)16 << 20)
/* How long a full pipe may hold up a log line before the line is dropped. */
#define WRITE_PATIENCE_MS 100

static int open_error(struct kon_err *err, int errnum, const char *path, const char *doing)
{
	int code = errnum == ENOENT ? KON_ABSENT : errnum == EACCES || errnum == EPERM ? KON_DENIED : KON_SYSTEM;
	return kon_err_errno(err, code, errnum, "cannot %s %s", doing, path);
}

static int read_all(int fd, const char *path, struct kon_buf *text, struct kon_err *err)
{
	char chunk[16384];
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got == 0)
			return 0;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return open_error(err, errno, path, "read");
		if (!kon_buf_add(text, chunk, (size_t)got))
			return kon_err_set(err, KON_TOO_BIG, "%s is larger than %zu MiB", path, MAX_FILE >> 20);
	}
}

/* core.read_file(path) -> text | nil, code, detail.  "-" is standard input. */
static int core_read_file(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct kon_err err;
	struct kon_buf text;
	int is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		open_error(&err, errno, path, "read");
		return kon_lua_fail(L, &err);
	}
	kon_buf_init(&text, MAX_FILE);
	/* Somebody may be typing: that is no policy that hangs. */
	struct kon_watchdog *dog = kon_sched_watchdog(kon_sched_of(L));
	if (is_stdin)
		kon_watchdog_leave(dog);
	int code = read_all(fd, is_stdin ? "standard input" : path, &text, &err);
	if (is_stdin)
		kon_watchdog_enter(dog);
	if (!is_stdin)
		close(fd);
	if (code == 0)
		lua_pushlstring(L, text.size > 0 ? text.data : "", text.size);
	kon_buf_done(&text);
	return code == 0 ? 1 : kon_lua_fail(L, &err);
}

/* Whether fd takes more within the moment that a slow reader gets. */
static bool has_room(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	return poll(&wait, 1, WRITE_PATIENCE_MS) > 0;
}

/* Writes all of text.  A reader that is slow gets a moment; one that is gone, or stays slow, costs the text.  The log's
 * descriptor is usually one that blocks, and not ours to change: it is asked first, and given what fits for certain. */
static int write_all(int fd, const char *text, size_t size, struct kon_err *err)
{
	struct stat info;
	bool ask = fd == STDERR_FILENO && fstat(fd, &info) == 0 && !S_ISREG(info.st_mode);
	while (size > 0) {
		if (ask && !has_room(fd))
			return kon_err_set(err, KON_BUSY, "descriptor %d is full", fd);
		ssize_t put = write(fd, text, ask && size > PIPE_BUF ? PIPE_BUF : size);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN) {
			if (has_room(fd))
				continue;
			return kon_err_set(err, KON_BUSY, "descriptor %d is full", fd);
		}
		if (put < 0)
			return kon_err_errno(err, errno == ENOSPC ? KON_FULL : KON_SYSTEM, errno, "cannot write");
		text += put;
		size -= (size_t)put;
	}
	return 0;
}

static int push_write(lua_State *L, int fd, int idx)
{
	size_t size;
	struct kon_err err;
	const char *text = luaL_checklstring(L, idx, &size);
	if (write_all(fd, text, size, &err) != 0)
		return kon_lua_fail(L, &err);
	lua_pushboolean(L, 1);
	return 1;
}

/* core.write(fd, text) -> true | nil, code, detail */
static int core_write(lua_State *L)
{
	return push_write(L, (int)luaL_checkinteger(L, 1), 2);
}

/* core.open_append(path) -> file | nil, code, detail.  Each write is one system call: lines of
 * several processes in one file do not mix. */
static int core_open_append(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct kon_err err;
	/* Not to wait: a named pipe without reader is an error, and a full one costs the line. */
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0644);
	if (fd < 0) {
		open_error(&err, errno, path, "write to");
		return kon_lua_fail(L, &err);
	}
	int *slot = lua_newuserdata(L, sizeof(*slot));
	*slot = fd;
	luaL_getmetatable(L, FILE_TYPE);
	lua_setmetatable(L, -2);
	return 1;
}

static int file_write(lua_State *L)
{
	int *slot = luaL_checkudata(L, 1, FILE_TYPE);
	return push_write(L, *slot, 2);
}

static int file_close(lua_State *L)
{
	int *slot = luaL_checkudata(L, 1, FILE_TYPE);
	if (*slot >= 0)
		close(*slot);
	*slot = -1;
	return 0;
}

static int core_isatty(lua_State *L)
{
	lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
	return 1;
}

/* core.winsize(fd) -> columns, or nil when fd is no terminal */
static int core_winsize(lua_State *L)
{
	struct winsize size;
	if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, size.ws_col);
	return 1;
}

void kon_lua_add_file(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"read_file", core_read_file}, {"write", core_write},     {"open_append", core_open_append},
		{"isatty", core_isatty},       {"winsize", core_winsize}, {NULL, NULL},
	};
	static const luaL_Reg methods[] = {
		{"write", file_write}, {"close", file_close}, {"__gc", file_close}, {NULL, NULL}};
	kon_lua_make_type(L, FILE_TYPE, methods, NULL);
	luaL_register(L, NULL, functions);
}
