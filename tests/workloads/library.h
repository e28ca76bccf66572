/* A library with one function that opens a descriptor (plugin.c), loaded while we run. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

struct library {
	void *handle; /* for dlclose(3) */
	int (*open)(void);
};

/* Ends the program where it cannot be loaded. */
static inline struct library library_load(const char *path, const char *function)
{
	struct library library = {.handle = dlopen(path, RTLD_NOW)};

	if (library.handle == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(97);
	}
	*(void **)&library.open = dlsym(library.handle, function);
	return library;
}

#endif
