/*
 * Everything is written under temporary names first and renamed at the end, when nothing
 * is left that usually fails: a full disk or a missing right leaves DIR as it was.
 */
#include "install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"

#define PROGRAM "konductor"

enum {
	NAMES_MAX = 8,
	NAME_SIZE = 64,
};

struct job {
	const char *dir;
	int dir_fd;
	uint64_t unique;
	int count;
	const char *names[NAMES_MAX];
	int written; /* that many temporary files exist */
};

static int fail(const struct job *job, const char *name, int errnum, struct kon_err *err)
{
	return kon_err_errno(err, kon_copy_code(errnum), errnum, "cannot install %s into %.300s", name, job->dir);
}

static void temporary_name(const struct job *job, int i, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, ".konductor-%016llx-%d", (unsigned long long)job->unique, i);
}

/* Writes this program to temporary file i: whole, executable, on disk. */
static int write_copy(struct job *job, int i, struct kon_err *err)
{
	char name[NAME_SIZE];
	temporary_name(job, i, name);
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return kon_err_errno(err, KON_SYSTEM, errno, "cannot read this program: /proc/self/exe");
	int to = openat(job->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (to < 0) {
		int errnum = errno;
		close(from);
		return fail(job, job->names[i], errnum, err);
	}
	job->written = i + 1;
	int result = kon_copy_bytes(from, to);
	close(from);
	if (result == 0 && (fchmod(to, 0755) != 0 || fsync(to) != 0))
		result = -errno;
	/* Network file systems tell of a full disk at close. */
	if (close(to) != 0 && result == 0)
		result = -errno;
	return result == 0 ? 0 : fail(job, job->names[i], -result, err);
}

static int link_or_copy(struct job *job, int i, struct kon_err *err)
{
	char first[NAME_SIZE];
	char name[NAME_SIZE];
	temporary_name(job, 0, first);
	temporary_name(job, i, name);
	if (linkat(job->dir_fd, first, job->dir_fd, name, 0) == 0) {
		job->written = i + 1;
		return 0;
	}
	return write_copy(job, i, err);
}

/* A directory of that name is the one thing that would stop the renames half way. */
static int check_targets(const struct job *job, struct kon_err *err)
{
	struct stat info;
	for (int i = 0; i < job->count; i++)
		if (fstatat(job->dir_fd, job->names[i], &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
			return kon_err_set(err, KON_CONFIG, "cannot install %s into %.300s: a directory has that name",
			                   job->names[i], job->dir);
	return 0;
}

static int rename_all(const struct job *job, struct kon_err *err)
{
	char name[NAME_SIZE];
	for (int i = 0; i < job->count; i++) {
		temporary_name(job, i, name);
		if (renameat(job->dir_fd, name, job->dir_fd, job->names[i]) != 0)
			return fail(job, job->names[i], errno, err);
	}
	/* Some file systems cannot sync a directory; the files themselves are on disk. */
	(void)fsync(job->dir_fd);
	return 0;
}

static int run(struct job *job, struct kon_err *err)
{
	int result = check_targets(job, err);
	if (result == 0)
		result = write_copy(job, 0, err);
	for (int i = 1; i < job->count && result == 0; i++)
		result = link_or_copy(job, i, err);
	if (result == 0)
		result = rename_all(job, err);
	for (int i = 0; i < job->written; i++) {
		char name[NAME_SIZE];
		temporary_name(job, i, name);
		unlinkat(job->dir_fd, name, 0); /* gone already when it was renamed */
	}
	return result;
}

static int fill_names(struct job *job, const char *const names[], int count, struct kon_err *err)
{
	job->names[job->count++] = PROGRAM;
	for (int i = 0; i < count; i++) {
		if (job->count == NAMES_MAX)
			return kon_err_set(err, KON_USAGE, "at most %d names can be installed", NAMES_MAX);
		if (names[i][0] == '\0' || strchr(names[i], '/') != NULL)
			return kon_err_set(err, KON_USAGE, "\"%.80s\" is no file name to install as", names[i]);
		job->names[job->count++] = names[i];
	}
	return 0;
}

int kon_install(const char *dir, const char *const names[], int count, char *out_path, size_t size, struct kon_err *err)
{
	struct job job = {.dir = dir};
	int result = fill_names(&job, names, count, err);
	if (result != 0)
		return result;
	job.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (job.dir_fd < 0)
		return kon_err_errno(err, kon_copy_code(errno), errno, "cannot install into %.300s", dir);
	if (getrandom(&job.unique, sizeof(job.unique), 0) != (ssize_t)sizeof(job.unique))
		result = kon_err_errno(err, KON_SYSTEM, errno, "no random numbers");
	else
		result = run(&job, err);
	close(job.dir_fd);
	if (result == 0 && out_path != NULL) {
		const char *slash = dir[strlen(dir) - 1] == '/' ? "" : "/";
		snprintf(out_path, size, "%s%s" PROGRAM, dir, slash);
	}
	return result;
}
