/* A copy is written under a temporary name beside its place, and renamed when it is whole and on disk. */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

int kon_copy_code(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case ENAMETOOLONG:
		return KON_CONFIG;
	case EACCES:
	case EPERM:
	case EROFS:
		return KON_DENIED;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return KON_FULL;
	default:
		return KON_SYSTEM;
	}
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, data, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		data += written;
		size -= (size_t)written;
	}
	return 0;
}

int kon_copy_bytes(int from, int to)
{
	char block[64 * 1024];
	for (;;) {
		ssize_t got = read(from, block, sizeof(block));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		int result = write_all(to, block, (size_t)got);
		if (result != 0)
			return result;
	}
}

/* Where the copy will be: `to`, or the same name in it. */
static int place(const char *from, const char *to, char out[PATH_SIZE], struct kon_err *err)
{
	struct stat info = {0};
	const char *name = strrchr(from, '/');
	bool into = stat(to, &info) == 0 && S_ISDIR(info.st_mode);
	name = name != NULL ? name + 1 : from;
	int length = snprintf(out, PATH_SIZE, "%s%s%s", to, into ? "/" : "", into ? name : "");
	if (length >= PATH_SIZE)
		return kon_err_set(err, KON_CONFIG, "the path of the copy is too long");
	return 0;
}

static int open_source(const char *from, const char *target, struct stat *info, struct kon_err *err)
{
	struct stat there;
	int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
	if (fd < 0)
		return kon_err_errno(err, kon_copy_code(errno), errno, "cannot read %.300s", from);
	int code = 0;
	if (fstat(fd, info) != 0)
		code = kon_err_errno(err, KON_SYSTEM, errno, "cannot read %.300s", from);
	else if (!S_ISREG(info->st_mode))
		code = kon_err_set(err, KON_CONFIG, "%.300s is no regular file", from);
	else if (stat(target, &there) == 0 && there.st_dev == info->st_dev && there.st_ino == info->st_ino)
		code = kon_err_set(err, KON_CONFIG, "%.300s and %.300s are the same file", from, target);
	if (code == 0)
		return fd;
	close(fd);
	return code;
}

/* 0 or -errno; the file `temporary` may be there in both cases. */
static int write_copy(int from, const char *temporary, mode_t mode)
{
	int to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	int result = kon_copy_bytes(from, to);
	if (result == 0 && (fchmod(to, mode & 0777) != 0 || fsync(to) != 0))
		result = -errno;
	/* Network file systems tell of a full disk at close. */
	if (close(to) != 0 && result == 0)
		result = -errno;
	return result;
}

static int copy_to(int from, const char *target, mode_t mode, struct kon_err *err)
{
	char temporary[PATH_SIZE];
	uint64_t unique;
	const char *slash = strrchr(target, '/');
	int dir = slash != NULL ? (int)(slash - target) + 1 : 0;
	if (getrandom(&unique, sizeof(unique), 0) != (ssize_t)sizeof(unique))
		return kon_err_errno(err, KON_SYSTEM, errno, "no random numbers");
	int length = snprintf(temporary, sizeof(temporary), "%.*s.konductor-%016llx", dir, target,
	                      (unsigned long long)unique);
	int result = length < PATH_SIZE ? write_copy(from, temporary, mode) : -ENAMETOOLONG;
	if (result == 0 && rename(temporary, target) != 0)
		result = -errno;
	if (result == 0)
		return 0;
	unlink(temporary);
	return kon_err_errno(err, kon_copy_code(-result), -result, "cannot write %.300s", target);
}

int kon_copy_file(const char *from, const char *to, char *out_path, size_t size, struct kon_err *err)
{
	char target[PATH_SIZE];
	struct stat info = {0};
	int code = place(from, to, target, err);
	if (code != 0)
		return code;
	int fd = open_source(from, target, &info, err);
	if (fd < 0)
		return fd;
	code = copy_to(fd, target, info.st_mode, err);
	close(fd);
	if (code == 0 && out_path != NULL)
		snprintf(out_path, size, "%s", target);
	return code;
}
