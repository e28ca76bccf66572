/* os/cgroup over a folder that looks like a tree of cgroups. */
#include "os/cgroup.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static char root[] = "/tmp/htrace-cgroup-XXXXXX";

static void put(const char *folder, const char *pids)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, folder);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s%s/cgroup.procs", root, folder);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(pids, file);
	fclose(file);
}

static void drop(const char *folder)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s/cgroup.procs", root, folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s%s", root, folder);
	rmdir(path);
}

/* All below, and none of another pid namespace (0). */
static void test_pids(void **state)
{
	struct procfs_fds pids;
	struct error error;
	int sum = 0;

	assert_non_null(mkdtemp(root));
	put("", "1\n20\n");
	put("/a", "300\n0\n");
	put("/a/b", "4000\n");
	put("/empty", "");
	assert_int_equal(cgroup_pids(root, &pids, &error), 0);
	assert_int_equal(pids.numbers.count, 4);
	array_each (pid, &pids.numbers)
		sum += *pid;
	assert_int_equal(sum, 4321);
	procfs_fds_fini(&pids);
	drop("/a/b");
	drop("/a");
	drop("/empty");
	drop("");
}

static void test_path(void **state)
{
	struct error error = {0};
	_cleanup_(free) char *path = cgroup_path_dup("/proc/self", &error);

	assert_string_equal(path, "/proc/self");
	assert_null(cgroup_path_dup("no-such-cgroup/below", &error));
	assert_non_null(strstr(error.message, "cgroup"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pids),
					   cmocka_unit_test(test_path)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
