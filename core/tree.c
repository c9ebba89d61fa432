#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PATH_ROOM = 64,     /* "/proc/N/task/N/children" with two numbers of ten digits */
	DEPTH_LIMIT = 4096, /* of a chain of parents: more is a loop of reused numbers */
	PID_LIMIT = 1 << 22 /* the kernel's own */
};

/* Appends text to the path that ends at end; returns the new end.  The paths here are all known to fit. */
static char *add_text(char *end, const char *text)
{
	size_t length = strlen(text);
	memcpy(end, text, length + 1);
	return end + length;
}

static char *add_pid(char *end, pid_t pid)
{
	char digits[16];
	int count = 0;
	do
		digits[count++] = (char)('0' + pid % 10);
	while ((pid /= 10) > 0);
	while (count > 0)
		*end++ = digits[--count];
	*end = '\0';
	return end;
}

/* The number that a name of /proc consists of, 0 when it is something else. */
static pid_t parse_pid(const char *name)
{
	long value = 0;
	for (const char *at = name; *at != '\0'; at++) {
		if (*at < '0' || *at > '9' || value > 100000000)
			return 0;
		value = value * 10 + (*at - '0');
	}
	return (pid_t)value;
}

static int push(struct kon_pids *pids, pid_t pid)
{
	if (pids->count == pids->room) {
		size_t room = pids->room ? pids->room * 2 : 1024;
		size_t old_bytes = pids->room * sizeof(pid_t);
		void *at = pids->at ? mremap(pids->at, old_bytes, room * sizeof(pid_t), MREMAP_MAYMOVE)
		                    : mmap(NULL, room * sizeof(pid_t), PROT_READ | PROT_WRITE,
		                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return -1;
		pids->at = at;
		pids->room = room;
	}
	pids->at[pids->count++] = pid;
	return 0;
}

void kon_pids_done(struct kon_pids *pids)
{
	if (pids->at != NULL)
		munmap(pids->at, pids->room * sizeof(pid_t));
	*pids = (struct kon_pids){0};
}

enum kon_tree_source kon_tree_source(void)
{
	char target[PATH_ROOM];
	ssize_t length = readlink("/proc/self", target, sizeof(target) - 1);
	if (length < 0)
		return KON_TREE_NUMBERS;
	target[length] = '\0';
	if (parse_pid(target) != getpid())
		return KON_TREE_NUMBERS;
	char path[PATH_ROOM];
	add_text(add_pid(add_text(path, "/proc/self/task/"), getpid()), "/children");
	return access(path, R_OK) == 0 ? KON_TREE_CHILDREN : KON_TREE_STAT;
}

/* Calls each with every numeric name in directory until it returns nonzero, which is then the result. */
static int each_number(const char *directory, int (*each)(void *data, pid_t number), void *data)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	_Alignas(struct dirent64) char buffer[8192];
	int result = 0;
	ssize_t length;
	while (result == 0 && (length = getdents64(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < length && result == 0;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
			pid_t number = parse_pid(entry->d_name);
			if (number > 0)
				result = each(data, number);
			at += entry->d_reclen;
		}
	}
	close(fd);
	return result;
}

struct thread_walk {
	pid_t process;
	struct kon_pids *out;
};

/* Adds the children that one thread is the parent of. */
static int add_children_of_thread(void *data, pid_t thread)
{
	struct thread_walk *walk = data;
	char path[PATH_ROOM];
	char *end = add_text(add_pid(add_text(path, "/proc/"), walk->process), "/task/");
	add_text(add_pid(end, thread), "/children");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	char buffer[4096];
	pid_t pid = 0;
	int result = 0;
	ssize_t length;
	while (result == 0 && (length = read(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < length; at++) {
			if (buffer[at] >= '0' && buffer[at] <= '9') {
				pid = pid * 10 + (buffer[at] - '0');
			} else if (pid > 0) {
				result = push(walk->out, pid);
				pid = 0;
			}
		}
	}
	close(fd);
	return result;
}

static int add_children(pid_t process, struct kon_pids *out)
{
	char path[PATH_ROOM];
	add_text(add_pid(add_text(path, "/proc/"), process), "/task");
	struct thread_walk walk = {.process = process, .out = out};
	return each_number(path, add_children_of_thread, &walk);
}

/* The parent of pid by its stat line, 0 when it is gone. */
static pid_t parent_of(pid_t pid)
{
	char path[PATH_ROOM];
	add_text(add_pid(add_text(path, "/proc/"), pid), "/stat");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	char line[512];
	ssize_t length = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	line[length] = '\0';
	/* "N (name) S PPID ...": the name may hold anything, so the last parenthesis ends it. */
	const char *at = strrchr(line, ')');
	if (at == NULL || strlen(at) < 5)
		return 0;
	pid_t parent = 0;
	for (at += 4; *at >= '0' && *at <= '9'; at++)
		parent = parent * 10 + (*at - '0');
	return parent;
}

/* Pairs of process and parent, one after the other. */
static int add_pair(void *data, pid_t pid)
{
	struct kon_pids *pairs = data;
	pid_t parent = parent_of(pid);
	if (parent == 0)
		return 0;
	return push(pairs, pid) != 0 ? -1 : push(pairs, parent);
}

static int add_paired(const struct kon_pids *pairs, pid_t parent, struct kon_pids *out)
{
	for (size_t at = 0; at < pairs->count; at += 2)
		if (pairs->at[at + 1] == parent && push(out, pairs->at[at]) != 0)
			return -1;
	return 0;
}

static bool is_child(pid_t pid)
{
	siginfo_t info;
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static int add_by_number(struct kon_pids *out)
{
	for (pid_t pid = 2; pid < PID_LIMIT; pid++)
		if (is_child(pid) && push(out, pid) != 0)
			return -1;
	return 0;
}

int kon_tree_list(enum kon_tree_source source, pid_t root, int deep, struct kon_pids *out)
{
	out->count = 0;
	if (source == KON_TREE_NUMBERS)
		return root == getpid() ? add_by_number(out) : -1;
	struct kon_pids pairs = {0};
	int result = 0;
	if (source == KON_TREE_STAT)
		result = each_number("/proc", add_pair, &pairs);
	pid_t parent = root;
	for (size_t next = 0; result == 0; next++) {
		if (source == KON_TREE_STAT)
			result = add_paired(&pairs, parent, out);
		else if (add_children(parent, out) != 0 && parent == root)
			result = -1; /* a deeper one may well have ended since it was listed */
		if (!deep || next >= out->count)
			break;
		parent = out->at[next];
	}
	kon_pids_done(&pairs);
	/* A command may unmount /proc, and descriptors may run out; our own children are found even then. */
	if (result != 0 && root == getpid()) {
		out->count = 0;
		result = add_by_number(out);
	}
	return result;
}

static bool descends(pid_t pid, pid_t root)
{
	for (int depth = 0; depth < DEPTH_LIMIT && pid > 1; depth++) {
		pid = parent_of(pid);
		if (pid == root)
			return true;
	}
	return false;
}

int kon_tree_send(enum kon_tree_source source, pid_t root, pid_t pid, int signal)
{
	if (root == getpid() && is_child(pid))
		return kill(pid, signal);
	if (source == KON_TREE_NUMBERS)
		return -1;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 && errno == ESRCH)
		return -1;
	int result = -1;
	if (descends(pid, root)) {
		/* Kernels before 5.3, and sandboxes that forbid pidfds, leave only the number. */
		result = pidfd >= 0 ? (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) : kill(pid, signal);
	}
	if (pidfd >= 0)
		close(pidfd);
	return result;
}

void kon_tree_kill(pid_t child)
{
	pid_t group = getpgid(child);
	if (group > 1 && (group == child || getsid(child) != getsid(0)))
		kill(-group, SIGKILL);
	kill(child, SIGKILL);
}
