/*
 * Processes that live a few milliseconds and leak.
 *
 *     short_lived CHILDREN    0: only itself; else so many children, each by fork or by fork and
 *                             exec in turn; all leak from leak_and_end
 */
#include "workload.h"

#include <sys/eventfd.h>
#include <sys/wait.h>

OPENER static void leak_and_end(void)
{
	truth_opened(KEEP(eventfd(0, EFD_CLOEXEC)), "leak_and_end", "eventfd");
	truth_print();
}

int main(int argc, char **argv)
{
	long children = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	if (children == 0)
		leak_and_end();
	for (long i = 0; i < children; i++) {
		pid_t child = fork();

		if (child == 0 && i % 2 == 0) {
			leak_and_end();
			_exit(0);
		}
		if (child == 0) {
			execl("/proc/self/exe", "short_lived", "0", (char *)NULL);
			_exit(97);
		}
		if (i % 8 == 7) /* some of them at the same time */
			while (wait(NULL) > 0)
				;
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
