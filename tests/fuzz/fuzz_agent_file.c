/*
 * The agent's own file, as it is read to be copied into a process: refused, or all of what is said
 * of its image lies in the image.
 */
#include "collect/agent/inject_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct agent_image *image)
{
	uint64_t end = 0;

	require(image->bytes && image->size && image->size % INJECT_PAGE == 0);
	require(image->enter < image->size && image->leave < image->size);
	array_each (segment, &image->segments) {
		require(segment->start % INJECT_PAGE == 0 && segment->end % INJECT_PAGE == 0);
		require(segment->start >= end && segment->start <= segment->end);
		end = segment->end;
	}
	require(end == image->size && image->segments.data[0].start == 0);
	array_each (relocation, &image->relocations)
		require(relocation->offset <= image->size - sizeof(uint64_t));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	int file = memfd_create("agent", MFD_CLOEXEC), result;
	struct error error = {0};
	struct agent_image image;
	char path[64];

	require(file >= 0 && write(file, bytes, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	result = agent_image_read(path, &image, &error);
	close(file);
	require(result == 0 || (result == -ENOEXEC && error.message[0]));
	if (result)
		return 0;
	check(&image);
	agent_image_relocate(&image, 0x7f0000000000);
	agent_image_fini(&image);
	return 0;
}
