/* Owns the joining and cleaning of source paths; touches no file system. */
#include "symbol/source_path.h"

#include "base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_component(const char *path, size_t bytes, const char *component)
{
	return bytes == strlen(component) && !memcmp(path, component, bytes);
}

/* "/a/./b//../c" becomes "/a/c"; a leading "./" or "../" stays. */
static char *simplify(const char *path)
{
	char *clean = xmalloc(strlen(path) + 2);
	size_t start = path[0] == '/', count = 0;

	clean[0] = '/';
	count = start;
	for (const char *in = path; *in;) {
		size_t bytes = strcspn(in, "/"), last = count;

		while (last > start && clean[last - 1] != '/')
			last--;
		if (bytes == 0 || (is_component(in, bytes, ".") && (start || count > 0))) {
			/* nothing to add */
		} else if (is_component(in, bytes, "..") && count > start &&
			   !is_component(clean + last, count - last, "..") &&
			   !is_component(clean + last, count - last, ".")) {
			count = last > start ? last - 1 : start;
		} else {
			if (count > start)
				clean[count++] = '/';
			memcpy(clean + count, in, bytes);
			count += bytes;
		}
		in += bytes;
		in += *in == '/';
	}
	clean[count] = '\0';
	return clean;
}

char *source_path_dup(const char *folder, const char *file)
{
	size_t bytes = folder ? strlen(folder) : 0;
	char *path, *clean;

	/* libdw may have joined it already, with a folder that is relative itself. */
	if (!bytes || file[0] == '/' || (!strncmp(file, folder, bytes) && file[bytes] == '/'))
		path = xstrdup(file);
	else
		path = xasprintf("%s/%s", folder, file);
	clean = simplify(path);
	free(path);
	return clean;
}
