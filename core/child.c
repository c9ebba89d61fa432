#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void fail(int report_fd, enum kon_child_step step, int errnum)
{
	struct kon_child_report report = {.step = step, .errnum = errnum};
	ssize_t put;
	do
		put = write(report_fd, &report, sizeof(report));
	while (put < 0 && errno == EINTR);
	_exit(127);
}

/* ---- the terminal ---- */

int kon_tty_open(const int stdio[3])
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	for (int i = 0; fd < 0 && i < 3; i++)
		if (tcgetpgrp(stdio[i]) >= 0)
			fd = fcntl(stdio[i], F_DUPFD_CLOEXEC, 3);
	return fd;
}

/* A background process that sets the foreground group is stopped by SIGTTOU unless it blocks it. */
static void set_foreground(int tty_fd, pid_t group)
{
	sigset_t ttou, before;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &before);
	tcsetpgrp(tty_fd, group);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void kon_tty_lend(int tty_fd, pid_t home, pid_t group)
{
	if (tty_fd >= 0 && tcgetpgrp(tty_fd) == home)
		set_foreground(tty_fd, group);
}

void kon_tty_return(int tty_fd, pid_t home, pid_t group)
{
	if (tty_fd < 0)
		return;
	pid_t now = tcgetpgrp(tty_fd);
	if (now == group || (now > 1 && kill(-now, 0) != 0 && errno == ESRCH))
		set_foreground(tty_fd, home);
}

/* ---- finding and executing the command ---- */

static bool exists(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

/* Executes path as execvp does: what the kernel does not know is a shell script.  Returns the report of a failure. */
static struct kon_child_report try(const struct kon_guard_plan *plan, const char *path)
{
	const struct kon_proc_spec *spec = plan->spec;
	execve(path, (char *const *)spec->argv, (char *const *)spec->envp);
	struct kon_child_report report = {.step = KON_CHILD_EXEC, .errnum = errno};
	if (report.errnum == ENOEXEC) {
		plan->shell_argv[0] = "/bin/sh";
		plan->shell_argv[1] = path;
		int count = 0;
		do
			plan->shell_argv[count + 2] = spec->argv[count + 1];
		while (spec->argv[++count] != NULL);
		execve("/bin/sh", (char *const *)plan->shell_argv, (char *const *)spec->envp);
	} else if (report.errnum == ENOENT && exists(path)) {
		report.step = KON_CHILD_INTERPRETER;
	}
	return report;
}

/* Whether a shell would go on to the next element of PATH: the file is not there, or only a directory is. */
static bool is_absent(const struct kon_child_report *report, const char *path)
{
	switch (report->errnum) {
	case ENOENT:
		return report->step != KON_CHILD_INTERPRETER;
	case ENOTDIR:
	case ENAMETOOLONG:
	case ESTALE:
	case ENODEV:
	case ETIMEDOUT:
		return true;
	case EACCES:
		return !exists(path);
	default:
		return false;
	}
}

static const char *find_path(const char *const *envp)
{
	for (; *envp != NULL; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return "/bin:/usr/bin";
}

static struct kon_child_report search(const struct kon_guard_plan *plan)
{
	const char *name = plan->spec->argv[0];
	struct kon_child_report refused = {.step = KON_CHILD_EXEC, .errnum = ENOENT};
	const char *element = find_path(plan->spec->envp);
	for (;;) {
		size_t length = strcspn(element, ":");
		char *end = plan->path;
		if (length > 0) { /* an empty element is the current directory */
			memcpy(end, element, length);
			end += length;
			*end++ = '/';
		}
		memcpy(end, name, strlen(name) + 1);
		struct kon_child_report report = try(plan, plan->path);
		if (!is_absent(&report, plan->path)) {
			if (report.errnum != EACCES)
				return report;
			refused = report; /* a later element may have one that we may execute */
		}
		if (element[length] == '\0')
			return refused;
		element += length + 1;
	}
}

/* ---- from fork to exec ---- */

static void restore_signals(const struct kon_guard_plan *plan)
{
	for (int number = 1; number < NSIG; number++) {
		/* Fails for KILL, STOP and the two that the C library keeps, which nobody can have changed. */
		struct sigaction action = {.sa_handler = sigismember(plan->ignored, number) == 1 ? SIG_IGN : SIG_DFL};
		sigaction(number, &action, NULL);
	}
	sigprocmask(SIG_SETMASK, plan->mask, NULL);
}

void kon_child_run(const struct kon_guard_plan *plan, pid_t guard, const int stdio[3], int report_fd, int tty_fd)
{
	/* The second line of defence: the guard kills us, and if the guard is killed the kernel does. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != guard)
		_exit(127);
	setpgid(0, 0);
	kon_tty_lend(tty_fd, plan->home, getpid());
	for (int i = 0; i < 3; i++)
		if (dup2(stdio[i], i) < 0)
			fail(report_fd, KON_CHILD_PREPARE, errno);
	if (plan->spec->cwd != NULL && chdir(plan->spec->cwd) != 0)
		fail(report_fd, KON_CHILD_DIRECTORY, errno);
	restore_signals(plan);
	const char *name = plan->spec->argv[0];
	struct kon_child_report report;
	if (strchr(name, '/') != NULL)
		report = try(plan, name);
	else if (name[0] != '\0')
		report = search(plan);
	else
		report = (struct kon_child_report){.step = KON_CHILD_EXEC, .errnum = ENOENT};
	fail(report_fd, report.step, report.errnum);
}
