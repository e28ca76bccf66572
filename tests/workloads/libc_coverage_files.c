/* The calls of libc_coverage.h that open files, folders and streams, and copies of them. */
#include "libc_coverage.h"

#include "workload.h"

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <sys/stat.h>

#define LEFT(number, type) step_left(number, __func__, type)

static const char null_path[] = "/dev/null";

OPENER static int open_null(void)
{
	return KEEP(step_must(open(null_path, O_RDWR), "open"));
}

/* Opened, and left, by a function of its own. */
static int left_null(void)
{
	int number = open_null();

	step_left(number, "open_null", "device");
	return number;
}

OPENER void call_open(void)
{
	LEFT(KEEP(open(null_path, O_RDONLY)), "device");
}

OPENER void call_open64(void)
{
	LEFT(KEEP(open64(null_path, O_RDONLY)), "device");
}

OPENER void call_openat(void)
{
	LEFT(KEEP(openat(AT_FDCWD, null_path, O_RDONLY)), "device");
}

OPENER void call_creat(void)
{
	LEFT(KEEP(creat("created", 0600)), "file");
	unlink("created");
}

OPENER void call_fopen(void)
{
	LEFT(fileno(fopen(null_path, "r")), "device");
}

OPENER void call_fclose(void)
{
	fclose(fopen(null_path, "r"));
}

OPENER void call_freopen(void)
{
	LEFT(fileno(freopen("/dev/zero", "r", fopen(null_path, "r"))), "device");
}

OPENER void call_fdopen(void)
{
	fclose(fdopen(open_null(), "r"));
}

OPENER void call_opendir(void)
{
	LEFT(dirfd(opendir("/")), "directory");
}

OPENER void call_closedir(void)
{
	closedir(opendir("/"));
}

/* closedir() closes what open() opened. */
OPENER void call_fdopendir(void)
{
	DIR *directory = fdopendir(step_must(open(".", O_RDONLY | O_DIRECTORY), "open"));

	while (readdir(directory) != NULL)
		;
	closedir(directory);
}

OPENER void call_scandir(void)
{
	struct dirent **names;
	int found = step_must(scandir("/", &names, NULL, alphasort), "scandir");

	while (found > 0)
		free(names[--found]);
	free(names);
}

static void make_tree(void)
{
	step_must(mkdir("tree", 0700), "mkdir");
	step_must(mkdir("tree/branch", 0700), "mkdir");
	step_must(mkdir("tree/branch/leaf", 0700), "mkdir");
}

static int visited;

static int visit(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
	visited++;
	return remove(path);
}

/* The tree goes as it is walked. */
OPENER void call_nftw(void)
{
	make_tree();
	step_must(nftw("tree", visit, 8, FTW_DEPTH | FTW_PHYS), "nftw");
	step_must(visited == 3 ? 0 : -1, "nftw's tree");
}

OPENER void call_fts_read(void)
{
	char path[] = "tree";
	char *paths[] = {path, NULL};
	FTSENT *entry;
	FTS *walk;

	make_tree();
	walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	while ((entry = fts_read(walk)) != NULL) {
		if (entry->fts_info == FTS_DP)
			rmdir(entry->fts_accpath);
	}
	fts_close(walk);
}

OPENER void call_mkstemp(void)
{
	char path[] = "coverage-XXXXXX";

	LEFT(KEEP(mkstemp(path)), "file");
	unlink(path);
}

OPENER void call_mkostemp(void)
{
	char path[] = "coverage-XXXXXX";

	LEFT(KEEP(mkostemp(path, O_CLOEXEC)), "file");
	unlink(path);
}

OPENER void call_tmpfile(void)
{
	LEFT(fileno(tmpfile()), "file");
}

OPENER void call_dup(void)
{
	int number = left_null();

	LEFT(KEEP(dup(number)), "device");
}

OPENER void call_dup2(void)
{
	int number = left_null();

	LEFT(KEEP(dup2(number, 20)), "device");
}

OPENER void call_dup3(void)
{
	int number = left_null();

	LEFT(KEEP(dup3(number, 20, O_CLOEXEC)), "device");
}

OPENER void call_fcntl_dupfd(void)
{
	int number = left_null();

	LEFT(KEEP(fcntl(number, F_DUPFD, 30)), "device");
}

OPENER void call_fcntl_dupfd_cloexec(void)
{
	int number = left_null();

	LEFT(KEEP(fcntl(number, F_DUPFD_CLOEXEC, 30)), "device");
}

OPENER void call_close(void)
{
	step_must(close(open_null()), "close");
}

static void open_up_to(int last)
{
	while (open_null() < last)
		;
}

/* Some numbers in the range are open and some are not. */
OPENER void call_close_range(void)
{
	open_up_to(12);
	step_must(close_range(3, 40, 0), "close_range");
}

OPENER void call_closefrom(void)
{
	open_up_to(12);
	closefrom(3);
}
