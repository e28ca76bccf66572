/*
 * The text of /proc/PID/maps: a target chooses the names in it, and an agent may have sent all of
 * it. Line by line, and as a whole, which says the same of what is whole.
 */
#include "os/procfs.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { STOPPED = 7 };

struct rest {
	const uint8_t *bytes; /* of the text, not handed on yet */
	size_t size;
	size_t until_stop; /* lines; 0: never */
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* The path is borrowed from the line. */
static bool parse(char *line, size_t length, struct procfs_mapping *out)
{
	bool is_mapping = procfs_parse_mapping(line, out);

	require(!is_mapping || (out->start < out->end && out->path >= line &&
				out->path + strlen(out->path) <= line + length));
	return is_mapping;
}

static char *line_copy(const uint8_t *bytes, size_t length)
{
	char *line = malloc(length + 1);

	require(line != NULL);
	memcpy(line, bytes, length);
	line[length] = '\0';
	return line;
}

/* Takes the rest's next line that is a mapping; the last one need not have a newline. */
static char *next_mapping(struct rest *rest, bool whole, struct procfs_mapping *out)
{
	while (rest->size) {
		const uint8_t *newline = memchr(rest->bytes, '\n', rest->size);
		size_t length = newline ? (size_t)(newline - rest->bytes) : rest->size;
		char *line;

		if (!newline && whole)
			break;
		line = line_copy(rest->bytes, length);
		rest->bytes += length + (newline ? 1 : 0);
		rest->size -= length + (newline ? 1 : 0);
		if (parse(line, length, out))
			return line;
		free(line);
	}
	return NULL;
}

static int receive(void *context, const struct procfs_mapping *mapping)
{
	struct rest *rest = context;
	struct procfs_mapping wanted;
	char *line = next_mapping(rest, true, &wanted);

	require(line != NULL);
	require(mapping->start == wanted.start && mapping->end == wanted.end);
	require(mapping->file_offset == wanted.file_offset && mapping->inode == wanted.inode);
	require(mapping->device_major == wanted.device_major);
	require(mapping->device_minor == wanted.device_minor);
	require(mapping->executable == wanted.executable && mapping->deleted == wanted.deleted);
	require(!strcmp(mapping->path, wanted.path));
	free(line);
	return rest->until_stop && !--rest->until_stop ? STOPPED : 0;
}

/* The text has no NUL behind it. */
static void whole_text(const uint8_t *bytes, size_t size, size_t until_stop)
{
	struct rest rest = {bytes, size, until_stop};
	struct procfs_mapping mapping;
	char *text = malloc(size ? size : 1);
	int result;

	require(text != NULL);
	memcpy(text, bytes, size);
	result = procfs_maps_text(text, size, receive, &rest);
	free(text);
	require(result == (until_stop && !rest.until_stop ? STOPPED : 0));
	require(result || !next_mapping(&rest, true, &mapping));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct rest rest = {bytes, size, 0};
	struct procfs_mapping mapping;
	char *line;

	while ((line = next_mapping(&rest, false, &mapping)))
		free(line);
	whole_text(bytes, size, 0);
	whole_text(bytes, size, 2);
	return 0;
}
