/* Owns the debugger's way of writing verbs: a dash before them, a bare number for `show`. */
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS_ADDED = 3 };

static bool is_number(const char *word)
{
	unsigned long long number;

	return number_parse(word, ~0ull, &number);
}

/* "0 0 ...": of no handle and no process. */
static bool asks_processes(int argc, char **argv)
{
	return argc > 1 && !strcmp(argv[0], "0") && !strcmp(argv[1], "0");
}

/* HANDLE MAX, or HANDLE PROCESS MAX; options anywhere. "0 0" lists processes. */
static int spell_show(char **words, int argc, char **argv)
{
	int n = 0, numbers = 0;

	words[n++] = "show";
	if (asks_processes(argc, argv)) {
		words[0] = "processes";
		argv += 2;
		argc -= 2;
	}
	for (int i = 0; i < argc; i++)
		numbers += is_number(argv[i]);
	for (int i = 0, number = 0; i < argc; i++) {
		/* The middle one of three. */
		if (is_number(argv[i]) && ++number == 2 && numbers == 3)
			words[n++] = "-p";
		words[n++] = argv[i];
	}
	return n;
}

char **verb_spell(int argc, char **argv, int *out_argc)
{
	char **words = xcalloc(argc + WORDS_ADDED, sizeof(*words));
	const char *first = argv[0];

	if (argc && is_number(first)) {
		*out_argc = spell_show(words, argc, argv);
		return words;
	}
	memcpy(words, argv, argc * sizeof(*words));
	*out_argc = argc;
	if (!strcmp(first, "-?"))
		words[0] = "help";
	else if (first[0] == '-' && verb_find(first + 1))
		words[0]++;
	return words;
}
