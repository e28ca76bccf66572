/* Runs a fuzz target over the files of the folders that it is given: what libFuzzer's own main does
 * for a corpus, for compilers that have none. */
#include "base/alloc.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 1 << 20 };

static void replay(const char *folder, const char *name)
{
	_cleanup_(free) char *path = xasprintf("%s/%s", folder, name);
	_cleanup_(fclose) FILE *file = fopen(path, "re");
	_cleanup_(free) uint8_t *bytes = xmalloc(INPUT_BYTES_MAX);
	uint8_t *exact;
	size_t size;

	if (!file)
		return;
	/* A block of the very size, so that a tool such as valgrind sees a read beyond it. */
	size = fread(bytes, 1, INPUT_BYTES_MAX, file);
	exact = xmalloc(size ? size : 1);
	for (size_t i = 0; i < size; i++)
		exact[i] = bytes[i];
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++) {
		_cleanup_(closedir) DIR *folder = opendir(argv[i]);
		struct dirent *entry;

		while (folder && (entry = readdir(folder))) {
			if (entry->d_name[0] == '.')
				continue;
			replay(argv[i], entry->d_name);
			count++;
		}
	}
	printf("%u inputs\n", count);
	return count == 0;
}
