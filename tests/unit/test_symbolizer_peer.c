/*
 * symbol/symbolizer against addr2line(1) of binutils: the same addresses, taken at random from the
 * code of real files, must get the same functions, files, lines and inlined callers.
 * Arguments: a seed (0: the clock's), then files.
 */
#include "symbols/harness.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "symbol/range_index.h"
#include "symbol/source_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { ADDRESSES = 3000, FRAMES_MAX = 64, REPORTED_MAX = 12 };

struct place {
	char *function; /* "??": none */
	char *file;
	unsigned line;
};

struct tally {
	unsigned addresses, equal;
	unsigned depth, function, line; /* what differs first, where something does */
	unsigned third_agrees;          /* of the equal ones: llvm-symbolizer(1) says what we say */
	unsigned symbol_for_inlined;    /* of the equal ones: see compare_one() */
};

static unsigned seed;
static bool third_is_there; /* llvm-symbolizer(1) */
static char **files;
static int files_n;

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* addr2line names a function by its symbol where it can: GCC's copies of one have a suffix there.
 */
static void cut_clones(char *function)
{
	char *clone;

	while ((clone = strstr(function, " [clone ")))
		*clone = '\0';
	if (function[0] != '_' && (clone = strchr(function, '.')) && clone > function &&
	    strspn(function, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") ==
		(size_t)(clone - function))
		*clone = '\0';
}

static bool same_function(const char *ours, char *theirs)
{
	_cleanup_(free) char *copy = xstrdup(ours ? ours : "??");

	cut_clones(copy);
	cut_clones(theirs);
	return !strcmp(copy, theirs);
}

/* Where the DWARF has no mangled name it prints the bare one; we take the symbol's. */
static bool is_bare(const char *ours, const char *theirs)
{
	size_t bytes = strcspn(theirs, "<(");
	const char *at = ours;

	if (!ours || theirs[bytes] == '(' || !strchr(ours, '(') || !bytes)
		return false;
	for (; (at = strstr(at, theirs[bytes] ? "<" : "(")); at++)
		if ((size_t)(at - ours) >= bytes && !memcmp(at - bytes, theirs, bytes) &&
		    ((size_t)(at - ours) == bytes || strchr(": ", at[-(ptrdiff_t)bytes - 1])))
			return true;
	return false;
}

/* It joins a relative folder with itself: "./stdio/stdio/a.c". */
static bool is_doubled(const char *ours, const char *theirs)
{
	const char *slash = strrchr(ours, '/');
	size_t folder = slash ? slash - ours : 0;

	return folder > 2 && !strncmp(ours, "./", 2) && !strncmp(theirs, ours, folder) &&
	       !strcmp(theirs + folder, ours + 1);
}

static bool same_line(const struct symbol *symbol, const struct place *place)
{
	_cleanup_(free) char *theirs = source_path_dup(NULL, place->file);

	if (!place->line)
		return !symbol->line;
	return symbol->line == place->line && symbol->file &&
	       (!strcmp(symbol->file, theirs) || is_doubled(symbol->file, theirs));
}

/* The frames that addr2line prints for one address: pairs of lines, up to the next "0x...". */
static uint32_t read_places(char **cursor, struct place places[FRAMES_MAX])
{
	uint32_t count = 0;

	while (**cursor && strncmp(*cursor, "0x", 2) && count < FRAMES_MAX) {
		struct place *place = &places[count++];
		char *colon;

		place->function = strsep(cursor, "\n");
		place->file = strsep(cursor, "\n");
		colon = strrchr(place->file, ':');
		*colon = '\0';
		place->line = atoi(colon + 1);
	}
	return count;
}

/*
 * addr2line of binutils 2.40 takes the first file of a DWARF 5 line table for the unit's own where
 * it is not, and tells lines of code that no unit claims (the functions that ASan adds). Where only
 * the file differs, or we know no line, a third reader decides.
 */
static bool third_agrees(const char *file, uint64_t vaddr, const struct symbol *symbols,
			 uint32_t count)
{
	_cleanup_(free) char *output = harness_output(
	    "llvm-symbolizer --output-style=GNU --inlines --obj='%s' %#lx 2>/dev/null || true",
	    file, (unsigned long)vaddr);
	struct place places[FRAMES_MAX];
	char *cursor = output;

	if (strlen(output) > 1 && !strcmp(output + strlen(output) - 2, "\n\n"))
		output[strlen(output) - 1] = '\0';
	if (read_places(&cursor, places) != count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!same_line(&symbols[i], &places[i]))
			return false;
	return true;
}

/* What nm(1) lists of a file and of its debug file: " ADDRESS NAME\n" on each line. */
static const char *names_of(const char *file)
{
	static const char *last;
	static char *names;

	if (last == file)
		return names;
	free(names);
	last = file;
	names = harness_output("id=$(readelf -n '%s' 2>/dev/null | sed -n 's/.*Build ID: //p'); "
			       "for file in '%s' /usr/lib/debug/.build-id/$(echo $id | cut -c1-2)/"
			       "$(echo $id | cut -c3-).debug; do nm $file; nm -D $file; done "
			       "2>/dev/null | sed 's/@.*//' | awk 'NF == 3 { print \" \" $1, $3 }'",
			       file, file);
	return names;
}

/* Two names of one address: addr2line prefers the compiler's (__GI_eventfd), we the one that is
 * exported (eventfd). */
static bool are_aliases(const char *file, const char *ours, const char *theirs)
{
	_cleanup_(free) char *line = xasprintf(" %s\n", ours ? ours : "?");
	const char *names = names_of(file);

	for (const char *at = names; (at = strstr(at, line)); at++) {
		const char *start = at;
		_cleanup_(free) char *other = NULL;

		while (start > names && start[-1] != '\n')
			start--;
		other = xasprintf("%.*s %s\n", (int)(at - start), start, theirs);
		if (strstr(names, other))
			return true;
	}
	return false;
}

static void compare_one(const char *file, uint64_t vaddr, const struct symbol *symbols,
			uint32_t count, struct place *places, uint32_t places_n,
			struct tally *tally, unsigned *reported)
{
	const char *what = NULL;
	uint32_t i = 0;

	tally->addresses++;
	if (count != places_n) {
		tally->depth++;
		what = "depth";
	}
	for (; !what && i < count; i++) {
		/* It gives an inlined function that has no mangled name that of the symbol. */
		if (i == 0 && count > 1 &&
		    same_function(symbols[count - 1].function, places[0].function) &&
		    same_line(&symbols[0], &places[0])) {
			tally->symbol_for_inlined++;
			continue;
		}
		if (!same_function(symbols[i].function, places[i].function) &&
		    !is_bare(symbols[i].function, places[i].function) &&
		    !are_aliases(file, symbols[i].function, places[i].function)) {
			tally->function++;
			what = "function";
		} else if (!same_line(&symbols[i], &places[i])) {
			bool in_doubt = !symbols[i].line || symbols[i].line == places[i].line;

			if (in_doubt && !third_is_there) {
				tally->addresses--; /* nobody to ask: it does not count */
				return;
			}
			if (in_doubt && third_agrees(file, vaddr, symbols, count)) {
				tally->third_agrees++;
				break;
			}
			tally->line++;
			what = "line";
		}
	}
	if (!what) {
		tally->equal++;
		return;
	}
	if ((*reported)++ >= REPORTED_MAX)
		return;
	i = i ? i - 1 : 0;
	print_message("  %#lx %s: %s %s:%u (of %u), addr2line: %s %s:%u (of %u)\n",
		      (unsigned long)vaddr, what, symbols[i].function ? symbols[i].function : "??",
		      symbols[i].file ? symbols[i].file : "??", symbols[i].line, count,
		      places[i].function, places[i].file, places[i].line, places_n);
}

/* Random addresses in the functions that nm(1) lists with a size, as a file with one on each line.
 */
static void choose(const char *file, const char *list, uint64_t addresses[ADDRESSES])
{
	_cleanup_(free) char *names = harness_output(
	    "(nm -S --defined-only '%s' 2>/dev/null; nm -D -S --defined-only '%s') | "
	    "awk 'NF >= 4 && $3 ~ /[tTwWi]/ { print $1, $2 }' | sort -u",
	    file, file);
	_cleanup_(fclose) FILE *out = fopen(list, "w");
	ARRAY(struct range) functions = {0};
	unsigned long start, bytes;
	const struct range *range;
	char *cursor = names, *line;

	while ((line = strsep(&cursor, "\n")))
		if (sscanf(line, "%lx %lx", &start, &bytes) == 2 && bytes)
			array_push(&functions, (struct range){.low = start, .high = start + bytes});
	assert_non_null(out);
	assert_true(functions.count > 0);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		uint64_t random = hash_combine(seed, i);

		range = &functions.data[random % functions.count];
		addresses[i] = range->low + (random >> 32) % (range->high - range->low);
		fprintf(out, "%#lx\n", (unsigned long)addresses[i]);
	}
	array_fini(&functions);
}

static void compare_file(struct fixture *fixture, const char *file, struct tally *tally)
{
	_cleanup_(free) char *list = xasprintf("%s/list", fixture->folder), *output = NULL;
	uint32_t image = harness_map(fixture->images, file, getpid());
	uint64_t addresses[ADDRESSES];
	struct place places[FRAMES_MAX];
	double start, ours, theirs;
	unsigned reported = 0;
	const struct symbol *symbols;
	char *cursor;

	choose(file, list, addresses);
	start = seconds();
	for (unsigned i = 0; i < ADDRESSES; i++)
		harness_lookup(fixture->symbolizer, image, addresses[i], true, &symbols);
	ours = seconds() - start;
	start = seconds();
	cursor = output = harness_output("addr2line -a -f -i -C -e '%s' < '%s'", file, list);
	theirs = seconds() - start;
	print_message("%s: %.3f s, addr2line %.3f s\n", file, ours, theirs);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		uint32_t places_n, count;

		assert_int_equal(strtoul(strsep(&cursor, "\n"), NULL, 16), addresses[i]);
		places_n = read_places(&cursor, places);
		count = harness_lookup(fixture->symbolizer, image, addresses[i], true, &symbols);
		compare_one(file, addresses[i], symbols, count, places, places_n, tally, &reported);
	}
}

static void test_against_addr2line(void **state)
{
	struct tally all = {0};

	print_message("seed %u\n", seed);
	for (int i = 0; i < files_n; i++) {
		struct tally tally = {0};

		if (access(files[i], R_OK) != 0) {
			print_message("%s: not there\n", files[i]);
			continue;
		}
		compare_file(*state, files[i], &tally);
		print_message(
		    "  %u of %u equal (in %u addr2line gives an inlined function the symbol's "
		    "name; in %u llvm-symbolizer decides for us); differ in depth %u, function "
		    "%u, line %u\n",
		    tally.equal, tally.addresses, tally.symbol_for_inlined, tally.third_agrees,
		    tally.depth, tally.function, tally.line);
		all.equal += tally.equal;
		all.addresses += tally.addresses;
	}
	print_message("in all %u of %u equal\n", all.equal, all.addresses);
	assert_true(all.addresses >= ADDRESSES);
	assert_true(all.equal >= all.addresses - all.addresses / 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_against_addr2line, harness_set_up,
					    harness_tear_down),
	};

	assert_true(argc >= 3);
	seed = strtoul(argv[1], NULL, 0) ?: (unsigned long)time(NULL);
	files = argv + 2;
	files_n = argc - 2;
	if (system("addr2line --version > /dev/null 2>&1") != 0) {
		puts("skipped: addr2line(1) is not installed");
		return 77;
	}
	third_is_there = system("llvm-symbolizer --version > /dev/null 2>&1") == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
