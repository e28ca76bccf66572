/* os/procfs: lines of /proc/PID/maps, and what it says of this very process. */
#include "os/procfs.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <cmocka.h>

static bool parse(const char *text, struct procfs_mapping *out)
{
	static char line[256];

	strcpy(line, text);
	return procfs_parse_mapping(line, out);
}

static void test_lines(void **state)
{
	struct procfs_mapping mapping;

	assert_true(parse("7f00-7f10 r-xp 00001000 08:11 42      /lib/a b.so (deleted)", &mapping));
	assert_int_equal(mapping.start, 0x7f00);
	assert_int_equal(mapping.end, 0x7f10);
	assert_int_equal(mapping.file_offset, 0x1000);
	assert_int_equal(mapping.device_major, 8);
	assert_int_equal(mapping.device_minor, 0x11);
	assert_int_equal(mapping.inode, 42);
	assert_true(mapping.executable);
	assert_true(mapping.deleted);
	assert_string_equal(mapping.path, "/lib/a b.so");
	assert_true(parse("1000-2000 rw-p 00000000 00:00 0 ", &mapping));
	assert_false(mapping.executable);
	assert_string_equal(mapping.path, "");
}

static void test_damaged_lines(void **state)
{
	static const char good[] = "7f00-7f10 r-xp 00001000 08:11 42 /lib/a.so";
	static const char *const bad[] = {
	    "",      "-",       "zz-10 r-xp", "10-5 r-xp 0 0:0 0 ",
	    "10-20", "10-20 r", "10-20 r-xp", "ffffffffffffffffff-1 r-xp 0 0:0 0"};
	struct procfs_mapping mapping;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(parse(bad[i], &mapping));
	/* Cut anywhere: no crash, and no path that was not there. */
	for (size_t length = 0; length < sizeof(good); length++) {
		char line[sizeof(good)];

		memcpy(line, good, length);
		line[length] = '\0';
		if (parse(line, &mapping))
			assert_true(strlen(mapping.path) <= strlen("/lib/a.so"));
	}
}

static void test_own_process(void **state)
{
	_cleanup_(close_fd) int event = eventfd(0, EFD_CLOEXEC);
	char link[PROCFS_LINK_MAX];
	struct procfs_fds fds;
	uint32_t flags;
	bool found = false;
	struct procfs_status status;

	assert_int_equal(procfs_fds(getpid(), &fds, NULL), 0);
	array_each (number, &fds.numbers)
		found |= *number == event;
	assert_true(found);
	procfs_fds_fini(&fds);
	assert_true(procfs_fd_link(getpid(), event, link) > 0);
	assert_string_equal(procfs_link_type(link), "eventfd");
	assert_int_equal(procfs_fd_flags(getpid(), event, &flags), 0);
	assert_true(flags & O_CLOEXEC);
	assert_int_equal(procfs_status(getpid(), &status, NULL), 0);
	assert_int_equal(status.tgid, getpid());
	assert_int_equal(status.ppid, getppid());
	assert_false(status.kernel_thread);
}

static void test_limits(void **state)
{
	struct rlimit own;
	uint64_t limit = 0, open = 0, most = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	assert_int_equal(procfs_handle_limit(getpid(), &limit), 0);
	assert_int_equal(limit, own.rlim_cur);
	assert_int_equal(procfs_handle_limit(0x7fffffff, &limit), -ESRCH);
	assert_int_equal(procfs_system_files(&open, &most), 0);
	assert_true(open > 0 && open <= most);
	assert_true(procfs_parse_system_files("1184\t4\t9223372036854775807\n", &open, &most));
	assert_int_equal(open, 1180);
	assert_int_equal(most, 9223372036854775807);
	assert_false(procfs_parse_system_files("1184\t0", &open, &most));
	assert_false(procfs_parse_system_files("", &open, &most));
}

static void test_missing_process(void **state)
{
	struct procfs_status status;
	struct procfs_fds fds;
	struct error error;

	assert_int_equal(procfs_status(0x7fffffff, &status, &error), -ESRCH);
	assert_non_null(strstr(error.message, "does not exist"));
	assert_int_equal(procfs_fds(0x7fffffff, &fds, &error), -ESRCH);
	assert_null(procfs_exe_dup(0x7fffffff));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),           cmocka_unit_test(test_damaged_lines),
	    cmocka_unit_test(test_own_process),     cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_missing_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
