/* Finding, signalling and killing processes below this one, in each of the ways there are. */
#include "tree.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const enum kon_tree_source sources[] = {KON_TREE_STAT, KON_TREE_CHILDREN, KON_TREE_NUMBERS};
enum { DEEP = 2, ALL = 3 }; /* how many of them see grandchildren; how many there are */

/* parent -> child -> grandchild, each waiting for a signal; the last two are told through a pipe. */
struct family {
	pid_t child;
	pid_t grandchild;
	int end; /* of file when all are dead */
};

static void be_grandchild(int fd)
{
	pid_t self = getpid();
	setsid();
	if (write(fd, &self, sizeof(self)) == (ssize_t)sizeof(self))
		for (;;)
			pause();
	_exit(1);
}

static struct family make_family(void)
{
	struct family family;
	int fd[2];
	assert_int_equal(pipe(fd), 0);
	family.child = fork();
	assert_true(family.child >= 0);
	if (family.child == 0) {
		close(fd[0]);
		if (fork() == 0)
			be_grandchild(fd[1]);
		for (;;)
			pause();
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], &family.grandchild, sizeof(pid_t)), (ssize_t)sizeof(pid_t));
	family.end = fd[0];
	return family;
}

static void end_family(const struct family *family)
{
	char nothing;
	kill(family->child, SIGKILL);
	waitpid(family->child, NULL, 0);
	kill(family->grandchild, SIGKILL);
	waitpid(family->grandchild, NULL, 0); /* ours, as we are a subreaper */
	assert_int_equal(read(family->end, &nothing, 1), 0);
	close(family->end);
}

static bool lists(const struct kon_pids *pids, pid_t pid)
{
	for (size_t i = 0; i < pids->count; i++)
		if (pids->at[i] == pid)
			return true;
	return false;
}

static void this_machine_lists_the_children_of_a_thread(void **state)
{
	(void)state;
	assert_int_equal(kon_tree_source(), KON_TREE_CHILDREN);
}

static void children_are_listed_and_deeper_ones_only_when_asked_for(void **state)
{
	(void)state;
	struct family family = make_family();
	for (size_t i = 0; i < ALL; i++) {
		struct kon_pids pids = {0};
		assert_int_equal(kon_tree_list(sources[i], getpid(), 0, &pids), 0);
		assert_int_equal(pids.count, 1);
		assert_int_equal(pids.at[0], family.child);
		kon_pids_done(&pids);
	}
	for (size_t i = 0; i < DEEP; i++) {
		struct kon_pids pids = {0};
		assert_int_equal(kon_tree_list(sources[i], getpid(), 1, &pids), 0);
		assert_int_equal(pids.count, 2);
		assert_int_equal(pids.at[0], family.child);
		assert_int_equal(pids.at[1], family.grandchild);
		kon_pids_done(&pids);
	}
	end_family(&family);
}

static void more_processes_than_a_page_are_listed(void **state)
{
	(void)state;
	enum { COUNT = 1500 };
	static pid_t pid[COUNT];
	for (int i = 0; i < COUNT; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			for (;;)
				pause();
	}
	for (size_t i = 0; i < ALL; i++) {
		struct kon_pids pids = {0};
		assert_int_equal(kon_tree_list(sources[i], getpid(), 0, &pids), 0);
		assert_int_equal(pids.count, COUNT);
		assert_true(lists(&pids, pid[0]) && lists(&pids, pid[COUNT - 1]));
		kon_pids_done(&pids);
	}
	for (int i = 0; i < COUNT; i++)
		kon_tree_kill(pid[i]);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(waitpid(pid[i], NULL, 0), pid[i]);
}

static void without_descriptors_our_own_children_are_still_found(void **state)
{
	(void)state;
	struct kon_pids pids = {0};
	struct rlimit before, none;
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int code = kon_tree_list(KON_TREE_STAT, getpid(), 0, &pids);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(code, 0);
	assert_int_equal(pids.count, 1);
	assert_int_equal(pids.at[0], child);
	kon_pids_done(&pids);
}

static void a_process_without_children_has_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		struct kon_pids pids = {0};
		assert_int_equal(kon_tree_list(sources[i], getpid(), 1, &pids), 0);
		assert_int_equal(pids.count, 0);
		kon_pids_done(&pids);
	}
}

static void a_signal_goes_to_descendants_only(void **state)
{
	(void)state;
	struct family family = make_family();
	for (size_t i = 0; i < ALL; i++)
		assert_int_equal(kon_tree_send(sources[i], getpid(), family.child, 0), 0);
	assert_int_equal(kon_tree_send(KON_TREE_NUMBERS, getpid(), family.grandchild, 0), -1);
	assert_int_equal(kon_tree_send(KON_TREE_NUMBERS, getpid(), getppid(), 0), -1);
	for (size_t i = 0; i < DEEP; i++) {
		assert_int_equal(kon_tree_send(sources[i], getpid(), family.grandchild, 0), 0);
		assert_int_equal(kon_tree_send(sources[i], family.child, family.grandchild, 0), 0);
		assert_int_equal(kon_tree_send(sources[i], family.grandchild, family.child, 0), -1);
		assert_int_equal(kon_tree_send(sources[i], getpid(), getppid(), 0), -1);
		assert_int_equal(kon_tree_send(sources[i], getpid(), 1, 0), -1);
	}
	end_family(&family);
}

static void killing_a_child_takes_its_group_but_never_ours(void **state)
{
	(void)state;
	int fd[2];
	assert_int_equal(pipe(fd), 0);
	pid_t leader = fork();
	assert_true(leader >= 0);
	if (leader == 0) {
		setpgid(0, 0);
		if (fork() == 0)
			be_grandchild(fd[1]); /* in a session of its own: not of the group */
		if (fork() == 0) {
			pid_t self = getpid();
			if (write(fd[1], &self, sizeof(self)) != (ssize_t)sizeof(self))
				_exit(1);
		}
		for (;;)
			pause();
	}
	pid_t pid[2];
	assert_int_equal(read(fd[0], &pid[0], sizeof(pid_t)), (ssize_t)sizeof(pid_t));
	assert_int_equal(read(fd[0], &pid[1], sizeof(pid_t)), (ssize_t)sizeof(pid_t));
	pid_t member = getpgid(pid[0]) == leader ? pid[0] : pid[1];
	pid_t other = member == pid[0] ? pid[1] : pid[0];
	kon_tree_kill(leader);
	assert_int_equal(waitpid(leader, NULL, 0), leader);
	assert_int_equal(waitpid(member, NULL, 0), member);
	assert_int_equal(kill(other, 0), 0);

	/* One in our own group: only itself. */
	pid_t plain = fork();
	assert_true(plain >= 0);
	if (plain == 0)
		for (;;)
			pause();
	kon_tree_kill(plain);
	assert_int_equal(waitpid(plain, NULL, 0), plain);
	kon_tree_kill(other);
	assert_int_equal(waitpid(other, NULL, 0), other);
	close(fd[0]);
	close(fd[1]);
}

static int become_subreaper(void **state)
{
	(void)state;
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_machine_lists_the_children_of_a_thread),
		cmocka_unit_test(children_are_listed_and_deeper_ones_only_when_asked_for),
		cmocka_unit_test(more_processes_than_a_page_are_listed),
		cmocka_unit_test(without_descriptors_our_own_children_are_still_found),
		cmocka_unit_test(a_process_without_children_has_none),
		cmocka_unit_test(a_signal_goes_to_descendants_only),
		cmocka_unit_test(killing_a_child_takes_its_group_but_never_ours),
	};
	return cmocka_run_group_tests(tests, become_subreaper, NULL);
}
