/* Owns what the tests of the symbolizer share; knows nothing of what they check. */
#include "harness.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

char *harness_programs;

static void count_progress(void *context, const char *module_path)
{
	struct fixture *fixture = context;

	assert_non_null(module_path);
	fixture->progressed++;
}

int harness_set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	unsetenv("DEBUGINFOD_URLS");
	fixture->images = image_table_new();
	fixture->symbolizer = symbolizer_new(fixture->images, count_progress, fixture);
	fixture->folder = harness_folder();
	*state = fixture;
	return 0;
}

int harness_tear_down(void **state)
{
	struct fixture *fixture = *state;

	symbolizer_free(fixture->symbolizer);
	image_table_free(fixture->images);
	harness_remove(fixture->folder);
	free(fixture);
	return 0;
}

bool harness_ends_with(const char *text, const char *end)
{
	size_t bytes = text ? strlen(text) : 0;

	return bytes >= strlen(end) && !strcmp(text + bytes - strlen(end), end);
}

void harness_check_truth(struct symbolizer *symbolizer, uint32_t image, const char *truth)
{
	_cleanup_(free) char *copy = xstrdup(truth);
	char *rest_of_lines = NULL;

	for (char *line = strtok_r(copy, "\n", &rest_of_lines); line;
	     line = strtok_r(NULL, "\n", &rest_of_lines)) {
		char *rest = NULL, *word = strtok_r(line, " ", &rest);
		const struct symbol *symbols;
		uint32_t i = 0, count = harness_lookup(symbolizer, image, strtoul(word, NULL, 16),
						       false, &symbols);

		while ((word = strtok_r(NULL, " ", &rest)) && strchr(word, ':')) {
			char *colon = strchr(word, ':');

			*colon = '\0';
			assert_true(i < count);
			assert_non_null(symbols[i].function);
			assert_string_equal(symbols[i].function, word);
			assert_int_equal(symbols[i].line, atoi(colon + 1));
			assert_int_equal(symbols[i].file[0], '/');
			assert_null(strstr(symbols[i].file, "/../"));
			assert_true(harness_ends_with(symbols[i].file, "/sym_c.c"));
			i++;
		}
		assert_int_equal(i, count);
	}
}

char *harness_truth(void)
{
	char *truth = harness_output("'%s/sym_c'", harness_programs);

	assert_non_null(strstr(truth, "leaf:"));
	assert_non_null(strstr(truth, "plain:"));
	return truth;
}

uint32_t harness_map(struct image_table *images, const char *path, pid_t pid)
{
	return harness_map_at(images, path, pid, HARNESS_BASE);
}

uint32_t harness_map_at(struct image_table *images, const char *path, pid_t pid, uint64_t base)
{
	_cleanup_(free) char *seen = xasprintf("/proc/%d/root%s", pid, path);
	_cleanup_(close_fd) int fd = open(seen, O_RDONLY | O_CLOEXEC);
	_cleanup_(free) struct event_map *event = xcalloc(1, sizeof(*event) + strlen(path));
	struct elf_file file = {0};
	struct stat status = {.st_ino = 1};
	uint32_t image;

	event->header.pid = pid;
	event->header.type = EVENT_MAP;
	event->path_size = strlen(path);
	memcpy(event->path, path, strlen(path));
	event->start = base;
	event->end = base + 0x1000;
	if (fd >= 0)
		assert_int_equal(fstat(fd, &status), 0);
	event->inode = status.st_ino;
	if (fd >= 0 && elf_file_read(fd, path, &file, NULL) == 0) {
		array_each (segment, &file.segments) {
			uint64_t skew = segment->vaddr & 4095;

			if (!segment->executable)
				continue;
			event->start = base + segment->vaddr - skew;
			event->end = base + segment->vaddr + segment->memory_bytes;
			event->file_offset = segment->file_offset - skew;
		}
		elf_file_fini(&file);
	}
	image = image_table_add(images, event);
	assert_int_not_equal(image, 0);
	return image;
}

void harness_run(const char *format, ...)
{
	va_list args;
	char *command;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) >= 0);
	va_end(args);
	if (system(command) != 0)
		fail_msg("this failed: %s", command);
	free(command);
}

char *harness_output(const char *format, ...)
{
	va_list args;
	char *command, *text = NULL;
	size_t room = 0;
	FILE *pipe;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) >= 0);
	va_end(args);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	if (getdelim(&text, &room, '\0', pipe) < 0) {
		free(text);
		text = xstrdup("");
	}
	if (pclose(pipe) != 0)
		print_message("%s: did not succeed\n", command);
	free(command);
	return text;
}

uint32_t harness_lookup(struct symbolizer *symbolizer, uint32_t image, uint64_t vaddr, bool exact,
			const struct symbol **out)
{
	struct frame frame = {.pc = HARNESS_BASE + vaddr, .image = image, .exact = exact};
	uint32_t count = symbolizer_lookup(symbolizer, &frame, out);

	assert_true(count > 0);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal((*out)[i].pc, frame.pc);
		assert_int_equal((*out)[i].inlined, i + 1 < count);
		assert_non_null((*out)[i].module);
		assert_non_null((*out)[i].module_path);
	}
	return count;
}

char *harness_folder(void)
{
	char *folder = xstrdup("/tmp/htrace-symbols-XXXXXX");

	assert_non_null(mkdtemp(folder));
	return folder;
}

void harness_remove(char *folder)
{
	harness_run("rm -rf '%s'", folder);
	free(folder);
}
