/* symbol/source_path: what is joined, and what is cleaned. */
#include "symbol/source_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_known(void **state)
{
	static const struct {
		const char *folder, *file, *path;
	} known[] = {
	    {"/build", "a.c", "/build/a.c"},
	    {"/build", "../src/a.c", "/src/a.c"},
	    {"/build/x", "./../../src/./b//a.c", "/src/b/a.c"},
	    {"/build", "/src/a.c", "/src/a.c"},
	    {"/build", "/src/../lib/a.c", "/lib/a.c"},
	    {"/", "../../a.c", "/../../a.c"},
	    {NULL, "../a.c", "../a.c"},
	    {NULL, "../../a.c", "../../a.c"},
	    {"", "a.c", "a.c"},
	    {"./stdio", "./stdio/a.c", "./stdio/a.c"},
	    {"./posix", "../sysdeps/a.c", "./sysdeps/a.c"},
	    {".", "../a.c", "./../a.c"},
	    {NULL, "", ""},
	    {NULL, "/", "/"},
	    {NULL, "<built-in>", "<built-in>"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		char *path = source_path_dup(known[i].folder, known[i].file);

		assert_string_equal(path, known[i].path);
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_known)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
