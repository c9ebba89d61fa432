#include "guard_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void close_one_by_one(unsigned first, unsigned last)
{
	struct rlimit limit = {0};
	getrlimit(RLIMIT_NOFILE, &limit);
	unsigned end = limit.rlim_cur < (1U << 20) ? (unsigned)limit.rlim_cur : 1U << 20;
	for (unsigned fd = first; fd <= last && fd < end; fd++)
		close((int)fd);
}

static void close_between(unsigned first, unsigned last)
{
	/* Missing before Linux 5.9, refused by some sandboxes. */
	if (first <= last && syscall(SYS_close_range, first, last, 0) != 0)
		close_one_by_one(first, last);
}

/* A duplicate above all that were taken before, so that what lies between can be closed. */
static int take(int fd, int *top)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, *top + 1);
	if (copy > *top)
		*top = copy;
	if (copy < 0 && errno == EINVAL)
		errno = EMFILE; /* the first place that is high enough is above the limit */
	return copy;
}

int kon_guard_fds_take(struct kon_guard_fds *fds, const struct kon_guard_plan *plan)
{
	const struct kon_proc_spec *spec = plan->spec;
	int taken[1 + 3 + KON_PROC_KEEP];
	int count = 0;
	int top = 2;
	int errnum = 0;

	*fds = (struct kon_guard_fds){.stdio = {-1, -1, -1}};
	fds->sock = take(plan->sock, &top);
	if (fds->sock < 0) {
		fds->sock = plan->sock;
		return errno;
	}
	taken[count++] = fds->sock;
	for (int i = 0; i < 3 && errnum == 0; i++) {
		fds->stdio[i] = take(spec->fd[i] >= 0 ? spec->fd[i] : i, &top);
		if (fds->stdio[i] < 0)
			errnum = errno;
		else
			taken[count++] = fds->stdio[i];
	}
	for (int i = 0; i < spec->keep_count && i < KON_PROC_KEEP && errnum == 0; i++) {
		int fd = take(spec->keep_fd[i], &top);
		if (fd < 0)
			errnum = errno;
		else
			fds->keep[fds->keep_count++] = taken[count++] = fd;
	}
	unsigned next = 0;
	for (int i = 0; i < count; i++) {
		close_between(next, (unsigned)taken[i] - 1);
		next = (unsigned)taken[i] + 1;
	}
	close_between(next, ~0U);
	return errnum;
}

void kon_guard_fds_drop_stdio(struct kon_guard_fds *fds)
{
	for (int i = 0; i < 3; i++)
		close(fds->stdio[i]);
}

void kon_guard_fds_drop_keep(struct kon_guard_fds *fds)
{
	for (int i = 0; i < fds->keep_count; i++)
		close(fds->keep[i]);
	fds->keep_count = 0;
}
