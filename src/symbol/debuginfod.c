/*
 * Owns the handle of libdebuginfod. It is loaded when it is needed, as libdwfl does: it brings
 * libcurl along, which most runs have no use for.
 */
#include "symbol/debuginfod.h"

#include "base/alloc.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* elfutils/debuginfod.h; the library keeps these signatures under its soname. */
struct debuginfod {
	void *library;
	void *client;
	void *(*begin)(void);
	void (*end)(void *client);
	int (*find)(void *client, const unsigned char *build_id, int bytes, char **path);
	bool given_up;
};

struct debuginfod *debuginfod_new(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct debuginfod *debuginfod;

	if (!urls || !*urls)
		return NULL;
	debuginfod = xcalloc(1, sizeof(*debuginfod));
	debuginfod->library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (debuginfod->library) {
		*(void **)&debuginfod->begin = dlsym(debuginfod->library, "debuginfod_begin");
		*(void **)&debuginfod->end = dlsym(debuginfod->library, "debuginfod_end");
		*(void **)&debuginfod->find =
		    dlsym(debuginfod->library, "debuginfod_find_debuginfo");
	}
	if (debuginfod->begin && debuginfod->end && debuginfod->find)
		debuginfod->client = debuginfod->begin();
	if (debuginfod->client)
		return debuginfod;
	debuginfod_free(debuginfod);
	return NULL;
}

void debuginfod_free(struct debuginfod *debuginfod)
{
	if (!debuginfod)
		return;
	if (debuginfod->client)
		debuginfod->end(debuginfod->client);
	/* The library stays loaded: libcurl does not survive being unloaded. */
	free(debuginfod);
}

int debuginfod_find(struct debuginfod *debuginfod, const uint8_t *build_id, size_t bytes)
{
	int fd;

	if (!debuginfod || debuginfod->given_up)
		return -ENOSYS;
	fd = debuginfod->find(debuginfod->client, build_id, bytes, NULL);
	if (fd == -ETIME || fd == -ETIMEDOUT || fd == -ECONNREFUSED || fd == -EHOSTUNREACH)
		debuginfod->given_up = true;
	return fd;
}
