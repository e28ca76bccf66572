/*
 * The file of a program that is about to run: whatever it holds, it is judged, in a bounded number
 * of reads, and one that runs already is refused for no reason that a new one is not.
 */
#include "collect/agent/program_file.h"

#include "event/first_library.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum {
	READS_MAX = 2 * (FIRST_LIBRARY_ENTRIES_MAX + FIRST_LIBRARY_SEGMENTS_MAX),
};

static const uint8_t *input;
static size_t input_bytes, reads;

static void require(bool holds)
{
	if (!holds)
		abort();
}

static int64_t read_input(int fd, void *to, uint64_t bytes, uint64_t offset)
{
	(void)fd;
	require(++reads <= READS_MAX);
	if ((int64_t)offset < 0)
		return -EINVAL;
	if (offset >= input_bytes)
		return 0;
	if (bytes > input_bytes - offset)
		bytes = input_bytes - offset;
	memcpy(to, input + offset, bytes);
	return (int64_t)bytes;
}

/* What is said of the header is what program_file_way() has looked at before. */
static bool wants_own_library_first(void)
{
	Elf64_Ehdr header;
	struct first_library_file file = {read_input, -1, &header};

	reads = 0;
	if (read_input(-1, &header, sizeof(header), 0) != sizeof(header))
		return false;
	return first_library_is_wanted(&file);
}

static int way_of(const char *path, bool runs, enum program_way *way)
{
	struct error error = {0};
	int result = program_file_way(path, runs, way, &error);

	require(result == 0 || result == -ENOTSUP);
	require(*way == PROGRAM_PRELOAD || *way == PROGRAM_INJECT);
	require((result == 0) == !error.message[0]);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum program_way fresh_way, running_way;
	int file = memfd_create("program", MFD_CLOEXEC), fresh, running;
	bool wants;
	char path[64];

	require(file >= 0 && write(file, bytes, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	input = bytes;
	input_bytes = size;
	wants = wants_own_library_first();
	fresh = way_of(path, false, &fresh_way);
	running = way_of(path, true, &running_way);
	close(file);
	if (size >= 2 && !memcmp(bytes, "#!", 2))
		return 0; /* about another file */
	require(!running || fresh);
	require(fresh || fresh_way == running_way);
	require(!fresh || running || wants);
	return 0;
}
