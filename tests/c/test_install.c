/* `konductor install`: what lies in the directory afterwards, and that a failure leaves it as it was. */
#include "install.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static char dir[64];

static const char *const names[] = {"koncli", "just-one-init"};

static const char *in_dir(const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/kon-install-XXXXXX");
	return mkdtemp(dir) == NULL;
}

/* The number of entries of dir; removes the plain files when asked to. */
static int entries(bool removing)
{
	int count = 0;
	DIR *stream = opendir(dir);
	assert_non_null(stream);
	for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		if (removing)
			remove(in_dir(entry->d_name));
	}
	closedir(stream);
	return count;
}

static int tear_down(void **state)
{
	(void)state;
	entries(true);
	return rmdir(dir);
}

static struct stat stat_of(const char *name)
{
	struct stat info = {0};
	assert_int_equal(lstat(in_dir(name), &info), 0);
	return info;
}

static bool same_content(const char *one, const char *other)
{
	FILE *a = fopen(one, "re");
	FILE *b = fopen(other, "re");
	assert_non_null(a);
	assert_non_null(b);
	int c;
	int d;
	do {
		c = fgetc(a);
		d = fgetc(b);
	} while (c == d && c != EOF);
	fclose(a);
	fclose(b);
	return c == d;
}

/* Runs claim in a process of its own, so that what it gives up stays given up there; its exit code. */
static int in_child(int (*claim)(void))
{
	pid_t child = fork();
	if (child == 0)
		_exit(claim());
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void the_program_is_copied_under_every_name(void **state)
{
	(void)state;
	char path[256];
	struct kon_err err = {0};
	mode_t before = umask(077);
	assert_int_equal(kon_install(dir, names, 2, path, sizeof(path), &err), 0);
	umask(before);
	assert_string_equal(path, in_dir("konductor"));
	assert_true(same_content(path, "/proc/self/exe"));
	assert_int_equal(stat_of("konductor").st_mode, S_IFREG | 0755);
	assert_int_equal(stat_of("koncli").st_ino, stat_of("konductor").st_ino);
	assert_int_equal(stat_of("just-one-init").st_ino, stat_of("konductor").st_ino);
	assert_int_equal(entries(false), 3);
}

static void a_trailing_slash_and_no_other_names_are_fine(void **state)
{
	(void)state;
	char path[256];
	char with_slash[80];
	struct kon_err err = {0};
	snprintf(with_slash, sizeof(with_slash), "%s/", dir);
	assert_int_equal(kon_install(with_slash, NULL, 0, path, sizeof(path), &err), 0);
	assert_string_equal(path, in_dir("konductor"));
	assert_int_equal(entries(false), 1);
}

static void an_older_copy_is_replaced_and_not_written_over(void **state)
{
	(void)state;
	struct kon_err err = {0};
	char old[4] = "";
	int fd = open(in_dir("konductor"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "old", 3), 3);
	assert_int_equal(symlink("konductor", in_dir("koncli")), 0);
	assert_int_equal(kon_install(dir, names, 2, NULL, 0, &err), 0);
	/* Whoever has the old one open, or runs it, keeps it. */
	assert_int_equal(pread(fd, old, sizeof(old), 0), 3);
	assert_string_equal(old, "old");
	close(fd);
	assert_true(same_content(in_dir("konductor"), "/proc/self/exe"));
	assert_true(S_ISREG(stat_of("koncli").st_mode));
	assert_int_equal(kon_install(dir, names, 2, NULL, 0, &err), 0);
	assert_int_equal(entries(false), 3);
}

static void its_own_name_again_leaves_nothing_behind(void **state)
{
	(void)state;
	static const char *const again[] = {"konductor"};
	struct kon_err err = {0};
	assert_int_equal(kon_install(dir, again, 1, NULL, 0, &err), 0);
	assert_int_equal(entries(false), 1);
}

/* --- what is refused --- */

static void a_directory_that_is_none_is_named(void **state)
{
	(void)state;
	static const char *const wrong[] = {"", "/nonexistent/dir", "/etc/passwd", "/etc/passwd/x"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct kon_err err = {0};
		assert_int_equal(kon_install(wrong[i], names, 2, NULL, 0, &err), KON_CONFIG);
		assert_non_null(strstr(err.detail, wrong[i]));
	}
}

static void a_name_is_a_file_name(void **state)
{
	(void)state;
	static const char *const wrong[] = {"", "../koncli", "a/b"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct kon_err err = {0};
		assert_int_equal(kon_install(dir, &wrong[i], 1, NULL, 0, &err), KON_USAGE);
	}
	assert_int_equal(entries(false), 0);
}

static void a_directory_in_the_way_stops_it_before_anything_is_written(void **state)
{
	(void)state;
	struct kon_err err = {0};
	assert_int_equal(mkdir(in_dir("just-one-init"), 0700), 0);
	assert_int_equal(kon_install(dir, names, 2, NULL, 0, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "just-one-init"));
	assert_int_equal(entries(false), 1);
}

static int install_without_right(void)
{
	struct kon_err err = {0};
	if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
		return 2;
	return kon_install(dir, names, 2, NULL, 0, &err) == KON_DENIED && strstr(err.detail, dir) != NULL ? 0 : 3;
}

static void a_directory_without_the_right_to_write_is_told(void **state)
{
	(void)state;
	assert_int_equal(chmod(dir, 0555), 0);
	assert_int_equal(in_child(install_without_right), 0);
	assert_int_equal(entries(false), 0);
	assert_int_equal(chmod(dir, 0700), 0);
}

static int install_with_files_limited(void)
{
	struct kon_err err = {0};
	const struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
		return 2;
	return kon_install(dir, names, 2, NULL, 0, &err) == KON_FULL ? 0 : 3;
}

static void a_copy_that_does_not_fit_leaves_the_old_one(void **state)
{
	(void)state;
	int fd = open(in_dir("konductor"), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
	assert_int_equal(in_child(install_with_files_limited), 0);
	assert_int_equal(entries(false), 1);
	assert_int_equal(stat_of("konductor").st_size, 3);
}

/* 77: mounting is not allowed here. */
static int mount_on_dir(unsigned long flags, const char *options)
{
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
		return 77;
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", dir, "tmpfs", flags, options) != 0)
		return 77;
	return 0;
}

static int install_on_a_full_disk(void)
{
	struct kon_err err = {0};
	int result = mount_on_dir(0, "size=8k");
	if (result != 0)
		return result;
	if (kon_install(dir, names, 2, NULL, 0, &err) != KON_FULL)
		return 2;
	return entries(false) == 0 ? 0 : 3;
}

static int install_on_a_read_only_disk(void)
{
	struct kon_err err = {0};
	int result = mount_on_dir(MS_RDONLY, NULL);
	return result != 0 ? result : kon_install(dir, names, 2, NULL, 0, &err) == KON_DENIED ? 0 : 2;
}

static void check_on_mount(int (*claim)(void))
{
	int code = in_child(claim);
	if (code == 77)
		skip();
	assert_int_equal(code, 0);
}

static void a_full_disk_is_told_and_left_empty(void **state)
{
	(void)state;
	check_on_mount(install_on_a_full_disk);
}

static void a_read_only_disk_is_told(void **state)
{
	(void)state;
	check_on_mount(install_on_a_read_only_disk);
}

static int install_without_links(void)
{
	struct kon_err err = {0};
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_linkat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(rules) / sizeof(rules[0]), .filter = rules};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		return 2;
	return kon_install(dir, names, 2, NULL, 0, &err) == 0 ? 0 : 3;
}

static void where_there_are_no_hard_links_each_name_is_a_copy(void **state)
{
	(void)state;
	assert_int_equal(in_child(install_without_links), 0);
	assert_int_equal(entries(false), 3);
	assert_int_equal(stat_of("koncli").st_nlink, 1);
	assert_int_equal(stat_of("koncli").st_mode, S_IFREG | 0755);
	assert_int_equal(stat_of("koncli").st_size, stat_of("konductor").st_size);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_program_is_copied_under_every_name),
		T(a_trailing_slash_and_no_other_names_are_fine),
		T(an_older_copy_is_replaced_and_not_written_over),
		T(its_own_name_again_leaves_nothing_behind),
		T(a_directory_that_is_none_is_named),
		T(a_name_is_a_file_name),
		T(a_directory_in_the_way_stops_it_before_anything_is_written),
		T(a_directory_without_the_right_to_write_is_told),
		T(a_copy_that_does_not_fit_leaves_the_old_one),
		T(a_full_disk_is_told_and_left_empty),
		T(a_read_only_disk_is_told),
		T(where_there_are_no_hard_links_each_name_is_a_copy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
