/* The calls of libc_coverage.h that start programs, ask services or load what libc needs. */
#include "libc_coverage.h"

#include "workload.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <iconv.h>
#include <ifaddrs.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/wait.h>
#include <syslog.h>

#define LEFT(number, type) step_left(number, __func__, type)

extern char **environ;

static void read_all(FILE *stream)
{
	char line[64];

	while (fgets(line, sizeof(line), stream) != NULL)
		;
}

OPENER void call_popen(void)
{
	FILE *stream = popen("exit 0", "r");

	read_all(stream);
	wait(NULL);
	LEFT(fileno(stream), "pipe");
}

OPENER void call_pclose(void)
{
	FILE *stream = popen("echo popen", "r");

	read_all(stream);
	step_must(pclose(stream) == 0 ? 0 : -1, "pclose");
}

/* The child has one number more: 8. */
OPENER void call_posix_spawn(void)
{
	char *arguments[] = {"true", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 7, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, 7, 8);
	posix_spawn_file_actions_addclose(&actions, 7);
	errno = posix_spawn(&pid, "/bin/true", &actions, NULL, arguments, environ);
	step_must(errno ? -1 : 0, "posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	waitpid(pid, &status, 0);
	step_must(status == 0 ? 0 : -1, "true");
}

OPENER void call_system(void)
{
	step_must(system("exit 0") == 0 ? 0 : -1, "system");
}

OPENER void call_getaddrinfo(void)
{
	struct addrinfo *found = NULL;

	if (getaddrinfo("localhost", "80", NULL, &found) == 0)
		freeaddrinfo(found);
}

OPENER void call_getifaddrs(void)
{
	struct ifaddrs *found = NULL;

	step_must(getifaddrs(&found), "getifaddrs");
	freeifaddrs(found);
}

OPENER void call_getpwnam(void)
{
	getpwnam("daemon");
}

OPENER void call_syslog(void)
{
	openlog("workload", LOG_NDELAY, LOG_USER);
	syslog(LOG_DEBUG, "workload");
	closelog();
}

OPENER void call_setlocale(void)
{
	setlocale(LC_ALL, "C.UTF-8");
}

OPENER void call_iconv_open(void)
{
	iconv_t conversion = iconv_open("UTF-16", "ISO-8859-1");

	if (conversion != (iconv_t)-1)
		iconv_close(conversion);
}

OPENER void call_dlopen(void)
{
	void *library = dlopen("libm.so.6", RTLD_NOW);

	if (library == NULL)
		step_unsupported("dlopen");
	dlclose(library);
}
