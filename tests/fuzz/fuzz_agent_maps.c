/*
 * The agent's parser of /proc/self/maps, with the file in pieces, and the collector's, which
 * allocates as it likes: of the lines that the kernel could have written both say the same.
 */
#include "maps.h"

#include "os/procfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct expected {
	const char *next; /* the text that was not handed on yet */
	size_t left, line_max;
	size_t lines, stop_at; /* handed on so far, and how many are wanted */
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Moves behind digits of at most 64 bits and `behind` them; false where the kernel writes no such.
 */
static bool take(const char **at, const char *digits, char behind)
{
	size_t n = strspn(*at, digits);

	if (n < 1 || n > 16 || (*at)[n] != behind)
		return false;
	*at += n + 1;
	return true;
}

/* show_map_vma() of the kernel: only the path is chosen by others. */
static bool is_kernels(const char *line)
{
	static const char hex[] = "0123456789abcdef";

	if (!take(&line, hex, '-') || !take(&line, hex, ' ') || strspn(line, "rwxps-") != 4 ||
	    line[4] != ' ')
		return false;
	line += 5;
	return take(&line, hex, ' ') && take(&line, hex, ':') && take(&line, hex, ' ') &&
	       take(&line, "0123456789", ' ');
}

static void compare(const char *text, size_t length, const struct maps_line *line)
{
	static const char deleted[] = " (deleted)";
	char *copy = malloc(length + 1), *whole = malloc(length + 1);
	struct procfs_mapping mapping;

	require(copy && whole);
	memcpy(copy, text, length);
	copy[length] = '\0';
	memcpy(whole, copy, length + 1);
	if (strlen(copy) == length && is_kernels(copy) && procfs_parse_mapping(copy, &mapping)) {
		size_t bytes = strlen(mapping.path);

		require(mapping.start == line->start && mapping.end == line->end);
		require(mapping.file_offset == line->file_offset && mapping.inode == line->inode);
		require(mapping.device_major == line->device_major &&
			mapping.device_minor == line->device_minor);
		require(mapping.executable == line->executable);
		require(!strncmp(mapping.path, line->path, bytes));
		require(!strcmp(line->path + bytes, mapping.deleted ? deleted : ""));
		require(line->path[0] != ' ');
	}
	free(whole);
	free(copy);
}

/* The next whole line that is not too long. */
static bool receive(void *context, const struct maps_line *line)
{
	struct expected *expected = context;
	const char *newline, *text;
	size_t length;

	do {
		text = expected->next;
		newline = memchr(text, '\n', expected->left);
		require(newline != NULL);
		length = newline + 1 - text;
		expected->next += length;
		expected->left -= length;
	} while (length > expected->line_max);
	require(line->bytes == length && !memcmp(line->text, text, length));
	require(strlen(line->path) < length);
	compare(text, length - 1, line);
	return ++expected->lines != expected->stop_at;
}

/* The first byte says how small the buffer is and after how many lines somebody has enough. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	size_t room = MAPS_BUFFER_MIN + (size ? bytes[0] / 16 * 64 : 0);
	char *buffer = malloc(room);
	int file = memfd_create("maps", MFD_CLOEXEC);
	struct expected expected = {.line_max = room / 2 - 1, .stop_at = size ? bytes[0] % 16 : 0};

	require(buffer && file >= 0);
	if (size) {
		expected.next = (const char *)bytes + 1;
		expected.left = size - 1;
		require(pwrite(file, bytes + 1, size - 1, 0) == (ssize_t)size - 1);
	}
	require(maps_each_of(file, buffer, room, receive, &expected) == 0);
	require(maps_each_of(file, buffer, MAPS_BUFFER_MIN - 1, receive, &expected) == -EINVAL);
	if (!expected.stop_at || expected.lines < expected.stop_at) {
		const char *newline;

		while (expected.left && (newline = memchr(expected.next, '\n', expected.left))) {
			require((size_t)(newline + 1 - expected.next) > expected.line_max);
			expected.left -= newline + 1 - expected.next;
			expected.next = newline + 1;
		}
	}
	close(file);
	free(buffer);
	return 0;
}
