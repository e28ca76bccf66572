/*
 * symbol/symbolizer against programs that say themselves where they are: inlined and templated
 * functions, stripped files, debug information in other files.
 * Argument: the folder with sym_c and sym_cpp.
 */
#include "symbols/harness.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "symbol/debug_file.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void test_inlined_c(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/sym_c", harness_programs),
			     *truth = harness_truth();
	_cleanup_(free) char *start = harness_output("nm '%s' | grep ' outer$'", path);
	uint32_t image = harness_map(fixture->images, path, getpid());
	const struct symbol *symbols, *again;
	struct symbolizer_stats stats;
	uint64_t vaddr = strtoul(truth, NULL, 16);

	harness_check_truth(fixture->symbolizer, image, truth);
	assert_int_equal(harness_lookup(fixture->symbolizer, image, vaddr, false, &symbols), 3);
	assert_int_equal(symbols[2].offset, vaddr - strtoul(start, NULL, 16));
	assert_string_equal(symbols[0].module, "sym_c");
	assert_string_equal(symbols[0].module_path, path);
	harness_lookup(fixture->symbolizer, image, vaddr, false, &again);
	assert_ptr_equal(symbols, again);
	symbolizer_stats(fixture->symbolizer, &stats);
	assert_int_equal(stats.modules_without_symbols, 0);
	assert_int_equal(stats.modules_unreadable, 0);
	assert_int_equal(fixture->progressed, 1);
	/* The first instruction of a function: found as itself, its return address is another's. */
	harness_lookup(fixture->symbolizer, image, strtoul(start, NULL, 16), true, &symbols);
	while (symbols->inlined)
		symbols++;
	assert_string_equal(symbols->function, "outer");
	assert_int_equal(symbols->offset, 0);
}

/* sym_cpp prints `vaddr line outer-line name|outer-name`. */
static void test_cpp(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/sym_cpp", harness_programs);
	_cleanup_(free) char *truth = harness_output("'%s'", path);
	uint32_t image = harness_map(fixture->images, path, getpid()), lines = 0;
	char *rest = NULL;

	for (char *line = strtok_r(truth, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const struct symbol *symbols;
		int number, outer, name;
		unsigned long vaddr;
		char *second;

		assert_int_equal(sscanf(line, "%lx %d %d %n", &vaddr, &number, &outer, &name), 3);
		second = strchr(line + name, '|');
		assert_int_equal(harness_lookup(fixture->symbolizer, image, vaddr, false, &symbols),
				 second ? 2 : 1);
		if (second) {
			*second++ = '\0';
			assert_string_equal(symbols[1].function, second);
			assert_int_equal(symbols[1].line, outer);
		}
		assert_string_equal(symbols[0].function, line + name);
		assert_int_equal(symbols[0].line, number);
		assert_true(harness_ends_with(symbols[0].file, "/sym_cpp.cpp"));
		lines++;
	}
	assert_int_equal(lines, 3);
}

static void test_stripped(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/stripped", fixture->folder),
			     *truth = harness_truth();
	uint64_t vaddr = strtoul(truth, NULL, 16);
	const struct symbol *symbols;
	struct symbolizer_stats stats;
	uint32_t image;

	harness_run("strip -s -o '%s' '%s/sym_c'", path, harness_programs);
	image = harness_map(fixture->images, path, getpid());
	assert_int_equal(harness_lookup(fixture->symbolizer, image, vaddr, false, &symbols), 1);
	assert_null(symbols->function);
	assert_null(symbols->file);
	assert_int_equal(symbols->offset, vaddr);
	assert_string_equal(symbols->module, "stripped");
	symbolizer_stats(fixture->symbolizer, &stats);
	assert_int_equal(stats.modules_without_symbols, 1);
}

/* Symbols without DWARF name the function; the PLT has names as well. */
static void test_symbols_only(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/nodwarf", fixture->folder),
			     *truth = harness_truth(), *plt = NULL;
	uint64_t vaddr = strtoul(truth, NULL, 16);
	const struct symbol *symbols;
	uint32_t image;

	harness_run("strip -g -o '%s' '%s/sym_c'", path, harness_programs);
	plt = harness_output("objdump -d '%s' | grep '<fflush@plt>:'", path);
	image = harness_map(fixture->images, path, getpid());
	assert_int_equal(harness_lookup(fixture->symbolizer, image, vaddr, false, &symbols), 1);
	assert_string_equal(symbols->function, "outer");
	assert_int_equal(symbols->line, 0);
	harness_lookup(fixture->symbolizer, image, strtoul(plt, NULL, 16), true, &symbols);
	assert_string_equal(symbols->function, "fflush@plt");
	assert_int_equal(symbols->offset, 0);
}

/* A copy elsewhere has the same build ID: it is read once, and each has its own path. One of
 * another size is another file, whatever its build ID says. */
static void test_same_build_id(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/sym_c", harness_programs),
			     *copy = xasprintf("%s/copy", fixture->folder),
			     *longer = xasprintf("%s/longer", fixture->folder),
			     *truth = harness_truth();
	uint64_t vaddr = strtoul(truth, NULL, 16);
	const struct symbol *first, *second;
	uint32_t images[3];

	harness_run("cp '%s' '%s' && (cat '%s'; echo more) > '%s'", path, copy, path, longer);
	images[0] = harness_map(fixture->images, path, getpid());
	images[1] = harness_map(fixture->images, copy, getpid());
	images[2] = harness_map(fixture->images, longer, getpid());
	harness_lookup(fixture->symbolizer, images[0], vaddr, false, &first);
	harness_check_truth(fixture->symbolizer, images[1], truth);
	assert_int_equal(fixture->progressed, 1);
	assert_int_equal(harness_lookup(fixture->symbolizer, images[1], vaddr, false, &second), 3);
	assert_ptr_equal(first[1].function, second[1].function);
	assert_int_equal(first[1].offset, second[1].offset);
	assert_string_equal(first[1].module_path, path);
	assert_string_equal(second[1].module_path, copy);
	harness_check_truth(fixture->symbolizer, images[2], truth);
	assert_int_equal(fixture->progressed, 2);
}

/* The same file at two places, as in two processes. */
static void test_mapped_twice(void **state)
{
	enum { FARTHER = 0x100000 };
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/sym_c", harness_programs),
			     *truth = harness_truth();
	struct frame frame = {.pc = HARNESS_BASE + strtoul(truth, NULL, 16)};
	uint32_t one = harness_map(fixture->images, path, getpid());
	uint32_t other = harness_map_at(fixture->images, path, getpid(), HARNESS_BASE + FARTHER);
	const struct symbol *first, *second;

	assert_int_not_equal(one, other);
	frame.image = one;
	assert_int_equal(symbolizer_lookup(fixture->symbolizer, &frame, &first), 3);
	frame.image = other;
	frame.pc += FARTHER;
	assert_int_equal(symbolizer_lookup(fixture->symbolizer, &frame, &second), 3);
	assert_int_equal(fixture->progressed, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(second[i].pc, first[i].pc + FARTHER);
		assert_string_equal(second[i].function, first[i].function);
		assert_int_equal(second[i].offset, first[i].offset);
		assert_int_equal(second[i].line, first[i].line);
		assert_int_equal(second[i].inlined, first[i].inlined);
	}
}

/* Splits sym_c into `folder`/prog and `debug`; `drop_id` removes the build ID from both. */
static void split_program(const char *folder, const char *debug, bool drop_id)
{
	const char *drop = drop_id ? "-R .note.gnu.build-id" : "";

	harness_run("cd '%s' && mkdir -p \"$(dirname '%s')\" && objcopy %s '%s/sym_c' full && "
		    "objcopy --only-keep-debug full '%s' 2>/dev/null && strip -s -o prog full && "
		    "objcopy --add-gnu-debuglink='%s' prog && rm full",
		    folder, debug, drop, harness_programs, debug, debug);
}

static void test_debuglink(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *truth = harness_truth();

	for (int drop_id = 0; drop_id < 2; drop_id++) {
		_cleanup_(free) char *folder = xasprintf("%s/%d", fixture->folder, drop_id);
		_cleanup_(free) char *path = xasprintf("%s/prog", folder);

		assert_int_equal(mkdir(folder, 0700), 0);
		split_program(folder, drop_id ? ".debug/prog.debug" : "prog.debug", drop_id);
		harness_check_truth(fixture->symbolizer,
				    harness_map(fixture->images, path, getpid()), truth);
	}
}

static void test_debuglink_of_another(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder),
			     *truth = harness_truth();
	const struct symbol *symbols;

	split_program(fixture->folder, "prog.debug", true);
	harness_run("cd '%s' && printf x >> prog.debug", fixture->folder);
	harness_lookup(fixture->symbolizer, harness_map(fixture->images, path, getpid()),
		       strtoul(truth, NULL, 16), false, &symbols);
	assert_null(symbols->function);
}

/* A FIFO of the debug file's name is not waited for. */
static void test_debuglink_fifo(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder),
			     *truth = harness_truth();
	const struct symbol *symbols;

	split_program(fixture->folder, "prog.debug", false);
	harness_run("cd '%s' && rm prog.debug && mkfifo prog.debug", fixture->folder);
	harness_lookup(fixture->symbolizer, harness_map(fixture->images, path, getpid()),
		       strtoul(truth, NULL, 16), false, &symbols);
	assert_null(symbols->function);
}

static char *build_id_of(const struct module *module)
{
	char *hex = xcalloc(2, ELF_BUILD_ID_MAX + 1);

	assert_true(module->elf.build_id_bytes >= 2);
	for (uint32_t i = 0; i < module->elf.build_id_bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", module->elf.build_id[i]);
	return hex;
}

static void test_build_id_folder(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder), *id = NULL;
	struct debug_finder *finder = debug_finder_new(fixture->folder);
	const struct module *module;
	struct stat found, wanted;
	Elf *elf;
	int fd;

	split_program(fixture->folder, "some.debug", false);
	module =
	    image_table_get(fixture->images, harness_map(fixture->images, path, getpid()))->module;
	id = build_id_of(module);
	harness_run("cd '%s' && mkdir -p .build-id/%.2s && mv some.debug .build-id/%.2s/%s.debug",
		    fixture->folder, id, id, id + 2);
	elf_version(EV_CURRENT);
	elf = elf_begin(module->fd, ELF_C_READ, NULL);
	fd = debug_finder_open(finder, module, elf);
	assert_true(fd >= 0);
	free(path);
	path = xasprintf("%s/.build-id/%.2s/%s.debug", fixture->folder, id, id + 2);
	assert_int_equal(fstat(fd, &found), 0);
	assert_int_equal(stat(path, &wanted), 0);
	assert_int_equal(found.st_ino, wanted.st_ino);
	close(fd);
	/* Another program's debug file under that name is refused. */
	harness_run("cp '%s/sym_cpp' '%s'", harness_programs, path);
	assert_int_equal(debug_finder_open(finder, module, elf), -1);
	elf_end(elf);
	debug_finder_free(finder);
}

static const char server[] = "import http.server, sys\n"
			     "class Quiet(http.server.SimpleHTTPRequestHandler):\n"
			     "    def log_message(self, *args): pass\n"
			     "s = http.server.HTTPServer((\"127.0.0.1\", 0), Quiet)\n"
			     "print(s.server_address[1], flush=True)\n"
			     "s.serve_forever()\n";

static pid_t serve(const char *folder, char port[static 16])
{
	int ends[2];
	size_t bytes = 0;
	pid_t child;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (chdir(folder) == 0 && dup2(ends[1], 1) == 1)
			execlp("python3", "python3", "-c", server, NULL);
		_exit(127);
	}
	close(ends[1]);
	while (bytes < 15 && read(ends[0], port + bytes, 1) == 1 && port[bytes] != '\n')
		bytes++;
	close(ends[0]);
	port[bytes] = '\0';
	return child;
}

static void test_debuginfod(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free) char *path = xasprintf("%s/prog", fixture->folder),
			     *truth = harness_truth();
	_cleanup_(free) char *cache = xasprintf("%s/cache", fixture->folder), *id = NULL,
			     *url = NULL;
	char port[16] = "";
	uint32_t image;
	pid_t child;

	if (!dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL)) {
		print_message("skipped: libdebuginfod.so.1 is not installed\n");
		skip();
	}
	split_program(fixture->folder, "some.debug", false);
	image = harness_map(fixture->images, path, getpid());
	id = build_id_of(image_table_get(fixture->images, image)->module);
	harness_run("cd '%s' && mkdir -p buildid/%s && mv some.debug buildid/%s/debuginfo",
		    fixture->folder, id, id);
	child = serve(fixture->folder, port);
	if (!*port) {
		waitpid(child, NULL, 0);
		print_message("skipped: no python3 to serve the debug file\n");
		skip();
	}
	url = xasprintf("http://127.0.0.1:%s", port);
	setenv("DEBUGINFOD_URLS", url, 1);
	setenv("DEBUGINFOD_CACHE_PATH", cache, 1);
	harness_check_truth(fixture->symbolizer, image, truth);
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	unsetenv("DEBUGINFOD_URLS");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_inlined_c, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_cpp, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_stripped, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_symbols_only, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_same_build_id, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_mapped_twice, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_debuglink, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_debuglink_of_another, harness_set_up,
					    harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_debuglink_fifo, harness_set_up, harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_build_id_folder, harness_set_up,
					    harness_tear_down),
	    cmocka_unit_test_setup_teardown(test_debuginfod, harness_set_up, harness_tear_down),
	};

	assert_true(argc == 2);
	harness_programs = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
