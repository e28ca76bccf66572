/*
 * Functions of libc that open and close descriptors inside: some are balanced and must not show,
 * some leave one open. With a library's path as argument, that library leaks and is unloaded.
 */
#include "workload.h"

#include "library.h"

#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <syslog.h>

static int number_of(FILE *stream)
{
	return fileno(stream);
}

OPENER static void leak_tmpfile(void)
{
	FILE *stream = tmpfile();

	truth_opened(number_of(stream), "leak_tmpfile", "file");
}

OPENER static void balanced_tmpfile(void)
{
	fclose(tmpfile());
}

OPENER static void leak_mkstemp(void)
{
	char path[] = "workload-XXXXXX";
	int number = KEEP(mkstemp(path));

	truth_opened(number, "leak_mkstemp", "file");
	unlink(path);
}

OPENER static void balanced_mkstemp(void)
{
	char path[] = "workload-XXXXXX";

	close(mkstemp(path));
	unlink(path);
}

/* closedir() closes what open() opened. */
OPENER static void balanced_fdopendir(void)
{
	int number = KEEP(open(".", O_RDONLY | O_DIRECTORY));
	DIR *directory = fdopendir(number);

	while (readdir(directory) != NULL)
		;
	closedir(directory);
}

OPENER static void leak_opendir(void)
{
	DIR *directory = opendir("/");

	truth_opened(dirfd(directory), "leak_opendir", "directory");
}

OPENER static void balanced_popen(void)
{
	char line[64];
	FILE *stream = popen("echo popen", "r");

	while (fgets(line, sizeof(line), stream) != NULL)
		;
	pclose(stream);
}

OPENER static void leak_popen(void)
{
	FILE *stream = popen("true", "r");
	char line[8];

	while (fgets(line, sizeof(line), stream) != NULL)
		;
	truth_opened(number_of(stream), "leak_popen", "pipe");
}

OPENER static void balanced_getaddrinfo(void)
{
	struct addrinfo *found = NULL;

	if (getaddrinfo("localhost", "80", NULL, &found) == 0)
		freeaddrinfo(found);
}

OPENER static void balanced_syslog(void)
{
	openlog("workload", LOG_NDELAY, LOG_USER);
	syslog(LOG_DEBUG, "workload");
	closelog();
}

OPENER static void leak_fopen(void)
{
	FILE *stream = fopen("/dev/null", "r");

	truth_opened(number_of(stream), "leak_fopen", "device");
}

/* The file behind the number changes, the number stays. */
OPENER static void leak_freopen(void)
{
	FILE *stream = freopen("/dev/zero", "r", fopen("/dev/null", "r"));

	truth_opened(number_of(stream), "leak_freopen", "device");
}

static void leak_in_library(const char *path)
{
	struct library library = library_load(path, "plugin_leak");

	truth_opened(library.open(), "plugin_leak", "eventfd");
	dlclose(library.handle);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		leak_in_library(argv[1]);
	} else {
		leak_tmpfile();
		balanced_tmpfile();
		leak_mkstemp();
		balanced_mkstemp();
		balanced_fdopendir();
		leak_opendir();
		balanced_popen();
		leak_popen();
		balanced_getaddrinfo();
		balanced_syslog();
		leak_fopen();
		leak_freopen();
	}
	truth_print();
	truth_wait();
	return 0;
}
