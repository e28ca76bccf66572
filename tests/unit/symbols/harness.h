/* What the tests of the symbolizer share: files placed in a made-up address space, commands run. */
#ifndef HTRACE_TESTS_SYMBOLS_HARNESS_H
#define HTRACE_TESTS_SYMBOLS_HARNESS_H

#include "os/image.h"
#include "symbol/symbolizer.h"

enum { HARNESS_BASE = 0x40000000 }; /* where harness_map() puts vaddr 0 */

extern char *harness_programs; /* the folder with sym_c and sym_cpp */

struct fixture {
	struct image_table *images;
	struct symbolizer *symbolizer;
	char *folder; /* of this test's own */
	uint32_t progressed;
};

/* Of cmocka_unit_test_setup_teardown(); *state is a struct fixture. */
int harness_set_up(void **state);
int harness_tear_down(void **state);

bool harness_ends_with(const char *text, const char *end);

/* What sym_c prints: lines of `vaddr function:line function:line ... main`; the caller's. */
char *harness_truth(void);

/* Compares what the symbolizer says of every line of it. */
void harness_check_truth(struct symbolizer *symbolizer, uint32_t image, const char *truth);

/* Maps the executable segment of `path`, as process `pid` sees it; its image. */
uint32_t harness_map(struct image_table *images, const char *path, pid_t pid);
uint32_t harness_map_at(struct image_table *images, const char *path, pid_t pid, uint64_t base);

/* Runs a shell command made by the format and fails the test unless it succeeds. */
void harness_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a shell command prints; owned by the caller. */
char *harness_output(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The symbols of `vaddr` of a mapped file; `exact` as in struct frame. */
uint32_t harness_lookup(struct symbolizer *symbolizer, uint32_t image, uint64_t vaddr, bool exact,
			const struct symbol **out);

/* A new folder under /tmp, and its removal with all that is in it. */
char *harness_folder(void);
void harness_remove(char *folder);

#endif
