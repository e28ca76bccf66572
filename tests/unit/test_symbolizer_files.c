/*
 * symbol/symbolizer and files that do not stay as they were: deleted, replaced, cut short, damaged,
 * or in another mount namespace.
 * Argument: the folder with sym_c and sym_cpp.
 */
#include "symbols/harness.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "collect/maps.h"
#include "os/procfs.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

/* Starts `path wait` and returns when it has printed its lines. */
static pid_t start_waiting(const char *path, int *input)
{
	int in[2], out[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(path, path, "wait", NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 1);
	close(out[0]);
	*input = in[1];
	return child;
}

struct running {
	struct image_table *images;
	const char *path;
	pid_t pid;
	uint32_t image;
	uint64_t bias;
};

static int add_mapping(void *context, const struct procfs_mapping *mapping)
{
	struct running *running = context;
	_cleanup_(free) struct event_map *event = NULL;

	if (!mapping->executable || strcmp(mapping->path, running->path))
		return 0;
	event = maps_event_new(running->pid, mapping);
	running->image = image_table_add(running->images, event);
	running->bias = image_table_get(running->images, running->image)->bias;
	return 1;
}

/* A running program whose file is gone (or is another one now) when it is first looked at. */
static void check_vanished(struct fixture *fixture, const char *change)
{
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder),
			     *truth = harness_truth();
	struct running running = {.images = fixture->images, .path = path};
	const struct symbol *symbols;
	struct frame frame = {0};
	struct error error;
	int input;

	harness_run("cp '%s/sym_c' '%s'", harness_programs, path);
	running.pid = start_waiting(path, &input);
	harness_run(change, path, harness_programs, path);
	assert_int_equal(procfs_maps(running.pid, add_mapping, &running, &error), 1);
	frame.image = running.image;
	frame.pc = running.bias + strtoul(truth, NULL, 16);
	if (image_table_get(fixture->images, frame.image)->module->fd < 0) {
		struct symbolizer_stats stats;

		symbolizer_lookup(fixture->symbolizer, &frame, &symbols);
		symbolizer_stats(fixture->symbolizer, &stats);
		assert_null(symbols->function);
		assert_int_equal(stats.modules_unreadable, 1);
		print_message("/proc/PID/map_files is not permitted: module and offset only\n");
	} else {
		assert_int_equal(symbolizer_lookup(fixture->symbolizer, &frame, &symbols), 3);
		assert_string_equal(symbols[0].function, "leaf");
		assert_string_equal(symbols[2].function, "outer");
	}
	assert_string_equal(symbols[0].module, "prog");
	close(input);
	waitpid(running.pid, NULL, 0);
}

static void test_deleted(void **state)
{
	check_vanished(*state, "rm '%1$s'");
}

static void test_replaced(void **state)
{
	check_vanished(*state, "cp '%2$s/sym_cpp' '%1$s.new' && mv '%1$s.new' '%1$s'");
}

/* Opened in time: neither deleting nor replacing it matters then. */
static void test_deleted_after_it_was_opened(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder),
			     *truth = harness_truth();
	uint32_t image;

	harness_run("cp '%s/sym_c' '%s'", harness_programs, path);
	image = harness_map(fixture->images, path, getpid());
	assert_int_equal(unlink(path), 0);
	harness_check_truth(fixture->symbolizer, image, truth);
}

/* The program and its debug file are on a tmpfs that only the child has. */
static void test_mount_namespace(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/own/prog", fixture->folder),
			     *truth = harness_truth(), *own = xasprintf("%s/own", fixture->folder);
	int ready[2], go_on[2];
	char byte = 'n';
	pid_t child;

	harness_run(
	    "mkdir -p '%s' && cd '%s' && objcopy --only-keep-debug '%s/sym_c' prog.debug && "
	    "strip -s -o prog '%s/sym_c' && objcopy --add-gnu-debuglink=prog.debug prog",
	    own, fixture->folder, harness_programs, harness_programs);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go_on, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(go_on[1]);
		if (unshare(CLONE_NEWNS) < 0 || mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("none", own, "tmpfs", 0, NULL) < 0)
			byte = 's';
		else if (chdir(fixture->folder) == 0 && system("cp prog prog.debug own/") == 0)
			byte = 'y';
		byte = write(ready[1], &byte, 1) == 1 ? read(go_on[0], &byte, 1) : 0;
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	if (byte == 'y') {
		assert_int_not_equal(access(path, F_OK), 0);
		harness_check_truth(fixture->symbolizer, harness_map(fixture->images, path, child),
				    truth);
	}
	close(ready[0]);
	close(go_on[0]);
	close(go_on[1]);
	waitpid(child, NULL, 0);
	if (byte == 's') {
		print_message("skipped: a mount namespace is not permitted\n");
		skip();
	}
	assert_int_equal(byte, 'y');
}

/* Cut short when it is open already, before and between look-ups: no name, and no SIGBUS. */
static void test_cut_short(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *truth = harness_truth();
	uint64_t vaddr = strtoul(truth, NULL, 16);

	for (int before = 0; before < 2; before++) {
		_cleanup_(free) char *path = xasprintf("%s/prog%d", fixture->folder, before);
		const struct symbol *symbols;
		uint32_t image;

		harness_run("cp '%s/sym_cpp' '%s'", harness_programs, path);
		image = harness_map(fixture->images, path, getpid());
		if (before)
			harness_lookup(fixture->symbolizer, image, vaddr, false, &symbols);
		assert_int_equal(truncate(path, 4096), 0);
		for (uint64_t offset = 0; offset < 0x8000; offset += 64)
			harness_lookup(fixture->symbolizer, image, offset, true, &symbols);
		if (!before)
			assert_null(symbols->function);
	}
}

/* Bytes changed at random, and the file cut at random places: any answer, but an answer. */
static void test_damaged(void **state)
{
	enum { ROUNDS = 150 };
	struct fixture *fixture = *state;
	_cleanup_(free) char *source = xasprintf("%s/sym_c", harness_programs);
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder);
	_cleanup_(close_fd) int in = open(source, O_RDONLY | O_CLOEXEC);
	_cleanup_(free) uint8_t *bytes = xmalloc(1 << 20);
	ssize_t size = read(in, bytes, 1 << 20);
	unsigned seed = time(NULL), named = 0;

	print_message("seed %u\n", seed);
	srand(seed);
	assert_true(size > 0 && size < 1 << 20);
	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_(free) uint8_t *copy = xmemdup(bytes, size);
		_cleanup_(close_fd) int out =
		    open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		struct image_table *images = image_table_new();
		struct symbolizer *symbolizer = symbolizer_new(images, NULL, NULL);
		ssize_t cut = round % 4 ? size : rand() % size;
		const struct symbol *symbols;
		uint32_t image;

		for (int i = 0; i < 1 << (round % 12); i++)
			copy[round % 3 ? rand() % size : size - 1 - rand() % 4096] = rand();
		assert_int_equal(write(out, copy, cut), cut);
		image = harness_map(images, path, getpid());
		for (uint64_t vaddr = 0x1000; vaddr < 0x1400; vaddr += 8) {
			harness_lookup(symbolizer, image, vaddr, true, &symbols);
			named += symbols->function != NULL;
		}
		symbolizer_free(symbolizer);
		image_table_free(images);
		assert_int_equal(unlink(path), 0);
	}
	print_message("%u of %u addresses still had a name\n", named, ROUNDS * 0x400 / 8);
	assert_true(named > 0);
}

static void test_no_file(void **state)
{
	struct fixture *fixture = *state;
	struct frame frame = {.pc = 0x7f0000001234, .image = 0};
	const struct symbol *symbols;
	struct symbolizer_stats stats;
	uint32_t image;

	assert_int_equal(symbolizer_lookup(fixture->symbolizer, &frame, &symbols), 1);
	assert_null(symbols->function);
	assert_string_equal(symbols->module, "[anon]");
	assert_int_equal(symbols->offset, frame.pc);
	frame.image = 77; /* of no table */
	assert_int_equal(symbolizer_lookup(fixture->symbolizer, &frame, &symbols), 1);
	image = harness_map(fixture->images, "/nonexistent/prog", getpid());
	for (uint64_t vaddr = 0x1000; vaddr < 0x1010; vaddr++)
		harness_lookup(fixture->symbolizer, image, vaddr, true, &symbols);
	assert_string_equal(symbols->module, "prog");
	symbolizer_stats(fixture->symbolizer, &stats);
	assert_int_equal(stats.modules_unreadable, 1);
	assert_int_equal(stats.modules_without_symbols, 1);
	assert_int_equal(fixture->progressed, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_deleted, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_replaced, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_deleted_after_it_was_opened, harness_set_up,
					    harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_mount_namespace, harness_set_up,
					    harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_cut_short, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_damaged, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_no_file, harness_set_up, harness_tear_down),
	};

	assert_true(argc == 2);
	harness_programs = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
