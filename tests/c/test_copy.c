/* Copies of files: what is there afterwards, and that a failure leaves everything as it was. */
#include "copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/kon-copy-XXXXXX");
	return mkdtemp(dir) == NULL;
}

/* One of a few paths in dir; each call may overwrite an older one's. */
static const char *in_dir(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static int tear_down(void **state)
{
	(void)state;
	const char *const names[] = {"sub/from", "sub", "from", "to", "link", "fifo"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(in_dir(names[i]));
	return rmdir(dir); /* fails when something else was left */
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void expect_file(const char *name, const char *text, mode_t mode)
{
	char found[64] = "";
	struct stat info;
	int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, found, sizeof(found) - 1) >= 0);
	assert_int_equal(fstat(fd, &info), 0);
	close(fd);
	assert_string_equal(found, text);
	assert_int_equal(info.st_mode & 0777, mode);
}

static void a_copy_has_the_bytes_and_the_permissions(void **state)
{
	char path[300];
	(void)state;
	write_file("from", "text", 0751);
	assert_int_equal(kon_copy_file(in_dir("from"), in_dir("to"), path, sizeof(path), NULL), 0);
	assert_string_equal(path, in_dir("to"));
	expect_file("to", "text", 0751);
}

static void a_directory_gets_a_file_of_the_same_name(void **state)
{
	char path[300];
	(void)state;
	write_file("from", "text", 0644);
	assert_int_equal(mkdir(in_dir("sub"), 0700), 0);
	assert_int_equal(kon_copy_file(in_dir("from"), in_dir("sub"), path, sizeof(path), NULL), 0);
	assert_string_equal(path, in_dir("sub/from"));
	expect_file("sub/from", "text", 0644);
}

static void what_is_open_keeps_the_old_file(void **state)
{
	char found[8] = "";
	(void)state;
	write_file("from", "new", 0644);
	write_file("to", "old", 0644);
	int fd = open(in_dir("to"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(kon_copy_file(in_dir("from"), in_dir("to"), NULL, 0, NULL), 0);
	assert_int_equal(read(fd, found, sizeof(found) - 1), 3);
	close(fd);
	assert_string_equal(found, "old");
	expect_file("to", "new", 0644);
}

static void a_file_is_not_copied_onto_itself_under_any_name(void **state)
{
	struct kon_err err = {0};
	(void)state;
	write_file("from", "text", 0644);
	assert_int_equal(symlink("from", in_dir("link")), 0);
	assert_int_equal(kon_copy_file(in_dir("from"), in_dir("link"), NULL, 0, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "are the same file"));
	expect_file("from", "text", 0644);
}

static void a_fifo_is_refused_without_waiting_for_a_writer(void **state)
{
	struct kon_err err = {0};
	(void)state;
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_int_equal(kon_copy_file(in_dir("fifo"), in_dir("to"), NULL, 0, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "is no regular file"));
}

static void what_cannot_be_written_is_told_with_its_word(void **state)
{
	struct kon_err err = {0};
	char name[5000];
	(void)state;
	write_file("from", "text", 0644);
	assert_int_equal(kon_copy_file(in_dir("from"), in_dir("missing/to"), NULL, 0, &err), KON_CONFIG);
	assert_int_equal(kon_copy_file(in_dir("missing"), in_dir("to"), NULL, 0, &err), KON_CONFIG);
	assert_int_equal(kon_copy_file(in_dir("from"), "/proc/to", NULL, 0, &err), KON_CONFIG);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(kon_copy_file(in_dir("from"), name, NULL, 0, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "too long"));
	name[300] = '\0'; /* longer than a file's name may be */
	assert_int_equal(kon_copy_file(in_dir("from"), in_dir(name), NULL, 0, &err), KON_CONFIG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_copy_has_the_bytes_and_the_permissions),
		TEST(a_directory_gets_a_file_of_the_same_name),
		TEST(what_is_open_keeps_the_old_file),
		TEST(a_file_is_not_copied_onto_itself_under_any_name),
		TEST(a_fifo_is_refused_without_waiting_for_a_writer),
		TEST(what_cannot_be_written_is_told_with_its_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
