/*
 * Files that targets execute. A module is a file (opened once, kept open, so that it can be read
 * after it was deleted or replaced); an image is a module at one place in memory. Image ids are
 * never reused: a frame that names one keeps its meaning after dlclose, exec and exit.
 */
#ifndef HTRACE_OS_IMAGE_H
#define HTRACE_OS_IMAGE_H

#include "event/event.h"
#include "os/elf_file.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct module {
	const char *path;    /* as the target sees it; "[vdso]" */
	const char *name;    /* the last part of path */
	int fd;              /* of the file itself; -1: it could not be opened */
	const char *why_not; /* fd -1: one clause that says why; static or owned by the module */
	bool deleted;
	pid_t seen_in; /* the process in which it was first seen (its root folder may differ) */
	struct elf_file elf;
};

struct image {
	struct module *module;
	uint64_t bias;       /* address - bias = vaddr in the module's own tables */
	bool bias_known;     /* false: bias is start - file_offset, good for "module+0x..." only */
	uint64_t start, end; /* of the mapping that brought it */
};

struct image_table;

struct image_table *image_table_new(void);
void image_table_free(struct image_table *table);

/*
 * The image for an executable mapping of process `header.pid`; 0 where it has no file. Opens the
 * file through /proc/PID/map_files, else /proc/PID/root, else its path, and takes it only if it is
 * the very inode that is mapped. The vDSO is our own process's: the kernel gives all the same.
 */
uint32_t image_table_add(struct image_table *table, const struct event_map *event);

/* NULL for 0 and unknown ids. Borrowed, good until the free or the sweep that drops it. */
const struct image *image_table_get(const struct image_table *table, uint32_t image);
uint32_t image_table_count(const struct image_table *table);

/*
 * Drops the images that are not in use. No id is ever given out again. Modules that no image is of
 * any more are closed: nobody may hold a pointer to one. Returns how many.
 */
uint32_t image_table_sweep(struct image_table *table,
			   bool (*is_used)(const void *context, uint32_t image),
			   const void *context);

/* How many files are kept open, or could not be opened. */
uint32_t image_table_modules(const struct image_table *table);

#endif
