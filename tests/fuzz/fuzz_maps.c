/* Lines of /proc/PID/maps: a target chooses the names in them. */
#include "os/procfs.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	while (size) {
		const uint8_t *newline = memchr(bytes, '\n', size);
		size_t length = newline ? (size_t)(newline - bytes) : size;
		struct procfs_mapping mapping;
		char *line = malloc(length + 1);

		if (!line)
			abort();
		memcpy(line, bytes, length);
		line[length] = '\0';
		if (procfs_parse_mapping(line, &mapping) &&
		    (mapping.path < line || mapping.path + strlen(mapping.path) > line + length))
			abort(); /* the path is borrowed from the line, or an empty one of its own
				  */
		free(line);
		bytes += length + (newline ? 1 : 0);
		size -= length + (newline ? 1 : 0);
	}
	return 0;
}
