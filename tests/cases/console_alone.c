/*
 * The console with all that it needs of htrace, but at a session that test_console.py plays:
 * `console_alone NAME TARGET`. htrace's own main() has another name here.
 */
#include "cli/commands.h"
#include "cli/console.h"

#include <stdio.h>

#undef main

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: console_alone NAME TARGET\n");
		return EXIT_USAGE;
	}
	return console_run(argv[1], argv[2]);
}
