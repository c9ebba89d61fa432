/* Directories of an embedded store, and the file systems that it refuses. */
#include "fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "world.h"

static int setup(void **state)
{
	*state = temp_dir();
	return 0;
}

static int teardown(void **state)
{
	remove_dir(*state);
	return 0;
}

static unsigned mode_of(const char *path)
{
	struct stat info;
	assert_int_equal(stat(path, &info), 0);
	return info.st_mode & 07777;
}

static void missing_directories_are_made_for_the_owner_alone(void **state)
{
	const char *dir = *state;
	umask(022);
	assert_int_equal(kon_fs_make_dirs(in(dir, "a/b/c"), NULL), 0);
	assert_int_equal(mode_of(in(dir, "a")), 0700);
	assert_int_equal(mode_of(in(dir, "a/b/c")), 0700);
}

static void an_existing_directory_is_left_as_it_is(void **state)
{
	const char *dir = *state;
	assert_int_equal(mkdir(in(dir, "a"), 0755), 0);
	assert_int_equal(chmod(in(dir, "a"), 0755), 0);
	assert_int_equal(kon_fs_make_dirs(in(dir, "a"), NULL), 0);
	assert_int_equal(kon_fs_make_dirs(in(dir, "a/"), NULL), 0);
	assert_int_equal(kon_fs_make_dirs("/", NULL), 0);
	assert_int_equal(kon_fs_make_dirs(".", NULL), 0);
	assert_int_equal(mode_of(in(dir, "a")), 0755);
}

static void a_file_in_the_way_is_named(void **state)
{
	const char *dir = *state;
	struct kon_err err;
	assert_int_equal(close(creat(in(dir, "file"), 0600)), 0);
	assert_int_equal(kon_fs_make_dirs(in(dir, "file/b"), &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, in(dir, "file")));
}

/* Root may write anywhere: the right is given up in a process of its own. */
static int make_as_nobody(void *data, int say_fd, int hear_fd)
{
	(void)say_fd;
	(void)hear_fd;
	struct kon_err err;
	if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		return 2;
	return kon_fs_make_dirs(in(data, "closed/b"), &err) == KON_DENIED ? 0 : 1;
}

static void a_missing_right_is_denied(void **state)
{
	assert_int_equal(chmod(*state, 0755), 0);
	assert_int_equal(mkdir(in(*state, "closed"), 0500), 0);
	struct other other = start_other(make_as_nobody, *state);
	assert_int_equal(end_other(&other), 0);
}

static void the_parent_of_a_path_is_its_directory(void **state)
{
	(void)state;
	static const char *const cases[][2] = {{"a", "."}, {"/a", "/"}, {"a/b", "a"}, {"/a/b/c", "/a/b"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *parent = kon_fs_parent(cases[i][0]);
		assert_string_equal(parent, cases[i][1]);
		free(parent);
	}
}

static void local_file_systems_pass_and_others_are_refused_by_name(void **state)
{
	(void)state;
	struct kon_err err;
	assert_int_equal(kon_fs_check_type("/x", 0xEF53, &err), 0);
	assert_int_equal(kon_fs_check_type("/x", 0x01021994, &err), 0);
	assert_int_equal(kon_fs_check_type("/x", 0x6969, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "/x is on NFS"));
	assert_int_equal(kon_fs_check_type("/x", 0xFF534D42, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "CIFS"));
	assert_int_equal(kon_fs_check_type("/x", 0x12345678, &err), KON_CONFIG);
	assert_non_null(strstr(err.detail, "0x12345678"));
}

static void the_file_system_of_a_directory_is_asked(void **state)
{
	struct kon_err err;
	assert_int_equal(kon_fs_check_local(*state, &err), 0);
	assert_int_equal(kon_fs_check_local("/proc", &err), KON_CONFIG);
	assert_int_equal(kon_fs_check_local(in(*state, "missing"), &err), KON_STORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(missing_directories_are_made_for_the_owner_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(an_existing_directory_is_left_as_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_in_the_way_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_right_is_denied, setup, teardown),
		cmocka_unit_test(the_parent_of_a_path_is_its_directory),
		cmocka_unit_test(local_file_systems_pass_and_others_are_refused_by_name),
		cmocka_unit_test_setup_teardown(the_file_system_of_a_directory_is_asked, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
