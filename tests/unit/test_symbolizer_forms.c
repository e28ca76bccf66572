/*
 * symbol/symbolizer and debug information that is written in other ways: other versions of DWARF,
 * compressed, split, with parts in a file that others share; and damaged while compressed.
 * Arguments: the folder with sym_c and sym_cpp, the source of sym_c.
 */
#include "symbols/harness.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hash.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { ADDRESSES = 2000 };

static const char *source;
static unsigned seed;

static bool is_there(const char *program)
{
	_cleanup_(free) char *command = xasprintf("command -v %s > /dev/null 2>&1", program);

	return system(command) == 0;
}

/* sym_c says itself where it is. */
static void check_form(void **state, const char *compiler, const char *flags)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder), *truth = NULL;
	uint32_t image;

	if (!is_there(compiler)) {
		print_message("%s %s: left out: no such compiler\n", compiler, flags);
		return;
	}
	harness_run("cd '%s' && rm -f prog && %s -O2 %s -o prog '%s' 2>/dev/null", fixture->folder,
		    compiler, flags, source);
	truth = harness_output("'%s'", path);
	assert_non_null(strstr(truth, "leaf:"));
	image = harness_map(fixture->images, path, getpid());
	harness_check_truth(fixture->symbolizer, image, truth);
}

static void test_forms(void **state)
{
	static const char *const gcc[] = {
	    "-gdwarf-3",
	    "-gdwarf-4",
	    "-gdwarf-5",
	    "-gdwarf-5 -gdwarf64",
	    "-g1",
	    "-gdwarf-4 -fdebug-types-section",
	    "-g -gz",
	    "-g -gz=zlib-gnu",
	    "-g -flto",
	    "-gdwarf-4 -gsplit-dwarf",
	    "-gdwarf-5 -gsplit-dwarf",
	};
	static const char *const clang[] = {"-gdwarf-4", "-gdwarf-5", "-g -gz",
					    "-gdwarf-5 -gsplit-dwarf"};

	for (size_t i = 0; i < sizeof(gcc) / sizeof(gcc[0]); i++) {
		check_form(state, "gcc", gcc[i]);
		harness_tear_down(state);
		harness_set_up(state);
	}
	for (size_t i = 0; i < sizeof(clang) / sizeof(clang[0]); i++) {
		check_form(state, "clang", clang[i]);
		harness_tear_down(state);
		harness_set_up(state);
	}
}

static void assert_same_text(const char *a, const char *b)
{
	assert_int_equal(!a, !b);
	if (a)
		assert_string_equal(a, b);
}

/* `path` must be named as sym_cpp is, from which it was made, all over its code. */
static void check_same(struct fixture *fixture, const char *path)
{
	_cleanup_(free) char *original = xasprintf("%s/sym_cpp", harness_programs);
	_cleanup_(free) char *text =
	    harness_output("readelf -SW '%s' | sed -n 's/.* \\.text *PROGBITS *//p'", original);
	uint32_t here = harness_map(fixture->images, path, getpid());
	uint32_t there = harness_map(fixture->images, original, getpid());
	unsigned long start, offset, bytes, named = 0;

	assert_int_equal(sscanf(text, "%lx %lx %lx", &start, &offset, &bytes), 3);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		uint64_t vaddr = start + hash_combine(seed, i) % bytes;
		const struct symbol *a, *b;
		uint32_t count = harness_lookup(fixture->symbolizer, here, vaddr, true, &a);

		assert_int_equal(count,
				 harness_lookup(fixture->symbolizer, there, vaddr, true, &b));
		for (uint32_t j = 0; j < count; j++) {
			assert_same_text(a[j].function, b[j].function);
			assert_same_text(a[j].file, b[j].file);
			assert_int_equal(a[j].line, b[j].line);
			assert_int_equal(a[j].offset, b[j].offset);
			named += a[j].file && a[j].function;
		}
	}
	assert_true(named > ADDRESSES / 2);
}

static void test_compressed(void **state)
{
	static const char *const ways[] = {"zlib", "zlib-gnu"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		_cleanup_(free) char *path = xasprintf("%s/packed%zu", fixture->folder, i);

		harness_run("objcopy --compress-debug-sections=%s '%s/sym_cpp' '%s'", ways[i],
			    harness_programs, path);
		check_same(fixture, path);
	}
}

static void test_compressed_with_zstd(void **state)
{
#ifdef HTRACE_ZSTD
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/packed", fixture->folder);
	_cleanup_(free) char *command =
	    xasprintf("objcopy --compress-debug-sections=zstd '%s/sym_cpp' '%s' 2>/dev/null",
		      harness_programs, path);

	if (system(command) != 0) {
		print_message("left out: this objcopy(1) does not know zstd\n");
		skip();
	}
	check_same(fixture, path);
#else
	print_message("left out: built without libzstd\n");
	skip();
#endif
}

static void test_shared_parts(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/one", fixture->folder);

	if (!is_there("dwz")) {
		print_message("left out: dwz(1) is not installed\n");
		skip();
	}
	harness_run("cd '%s' && cp '%s/sym_cpp' one && cp one two && dwz -m common one two && "
		    "readelf -SW one | grep -q gnu_debugaltlink",
		    fixture->folder, harness_programs);
	check_same(fixture, path);
}

/* What stands in the table of sections for .debug_info: where it is and how many bytes it has. */
static void find_info(const char *path, unsigned long *offset, unsigned long *bytes)
{
	_cleanup_(free) char *line = harness_output(
	    "readelf -SW '%s' | sed -n 's/.* \\.debug_info *PROGBITS *[0-9a-f]* //p'", path);

	assert_int_equal(sscanf(line, "%lx %lx", offset, bytes), 2);
}

/* Symbols are left, and nothing breaks: not for wrong data, nor for sizes that cannot be. */
static void test_compressed_and_damaged(void **state)
{
	static const uint64_t sizes[] = {0, 1, 1 << 20, (uint64_t)1 << 40, UINT64_MAX};
	struct fixture *fixture = *state;
	unsigned long offset, bytes;

	for (unsigned i = 0; i <= sizeof(sizes) / sizeof(sizes[0]); i++) {
		_cleanup_(free) char *path = xasprintf("%s/damaged%u", fixture->folder, i);
		_cleanup_(free) char *start = NULL;
		_cleanup_(close_fd) int fd = -1;
		const struct symbol *symbols;
		uint32_t image;

		harness_run("objcopy --compress-debug-sections=zlib '%s/sym_cpp' '%s'",
			    harness_programs, path);
		find_info(path, &offset, &bytes);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		if (i == 0) /* in the data */
			assert_int_equal(pwrite(fd, "damaged", 7, offset + bytes / 2), 7);
		else /* ch_size */
			assert_int_equal(pwrite(fd, &sizes[i - 1], 8, offset + 8), 8);
		start = harness_output("nm '%s' | grep ' main$'", path);
		image = harness_map(fixture->images, path, getpid());
		assert_int_equal(harness_lookup(fixture->symbolizer, image,
						strtoul(start, NULL, 16), true, &symbols),
				 1);
		assert_string_equal(symbols[0].function, "main");
		assert_null(symbols[0].file);
	}
}

/* Two units have the function; the linker keeps that of the first, and so says the line. */
static void test_kept_by_the_linker(void **state)
{
	struct fixture *fixture = *state;

	harness_run(
	    "cd '%s' && for n in 1 2; do printf 'inline int twice(int x)\\n{\\n#line %%s\\n"
	    "\\treturn x * 2;\\n}\\nint (*pointer_%%s)(int) = twice;\\n' ${n}00 $n > $n.cpp; "
	    "g++ -g -O0 -c $n.cpp; done; echo 'int main() { return 0; }' > m.cpp && "
	    "g++ -o first 1.o 2.o m.cpp && g++ -o second 2.o 1.o m.cpp",
	    fixture->folder);
	for (int n = 1; n <= 2; n++) {
		_cleanup_(free) char *path =
		    xasprintf("%s/%s", fixture->folder, n == 1 ? "first" : "second");
		_cleanup_(free) char *start = harness_output("nm '%s' | grep ' _Z5twicei$'", path);
		uint32_t image = harness_map(fixture->images, path, getpid());
		const struct symbol *symbols;

		/* Behind the prologue, whose line is that of the name in both. */
		harness_lookup(fixture->symbolizer, image, strtoul(start, NULL, 16) + 7, true,
			       &symbols);
		assert_string_equal(symbols->function, "twice(int)");
		assert_int_equal(symbols->line, n * 100);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_forms, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_compressed, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_compressed_with_zstd, harness_set_up,
					    harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_shared_parts, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_compressed_and_damaged, harness_set_up,
					    harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_kept_by_the_linker, harness_set_up,
					    harness_tear_down),
	};

	assert_int_equal(argc, 3);
	harness_programs = argv[1];
	source = argv[2];
	seed = time(NULL);
	print_message("seed %u\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
