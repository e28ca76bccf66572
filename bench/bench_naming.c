/*
 * Names addresses of one file as a report would, in a process of its own: nothing is cached when it
 * starts. Reads addresses as the file's own tables have them, one on each line, and prints for each
 * what addr2line -a -f -i -C prints; then, on standard error, time and memory.
 */
#include "base/cleanup.h"
#include "symbol/symbolizer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static const uint64_t base = (uint64_t)1 << 40; /* where vaddr 0 is said to be */

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static long rss_max_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* The mapping of the segment with code, as a collector would tell of it; 0: there is none. */
static uint32_t map_file(struct image_table *images, const char *path)
{
	_cleanup_(free) struct event_map *event = xcalloc(1, sizeof(*event) + strlen(path));
	_cleanup_(fclose) FILE *stream = fopen(path, "re");
	struct elf_file file = {0};
	struct stat status;

	if (!stream || fstat(fileno(stream), &status) < 0 ||
	    elf_file_read(fileno(stream), path, &file, NULL) < 0)
		return 0;
	event->header.type = EVENT_MAP;
	event->header.pid = getpid();
	event->inode = status.st_ino;
	event->path_size = strlen(path);
	memcpy(event->path, path, strlen(path));
	array_each (segment, &file.segments) {
		uint64_t skew = segment->vaddr & 4095;

		if (!segment->executable)
			continue;
		event->start = base + segment->vaddr - skew;
		event->end = base + segment->vaddr + segment->memory_bytes;
		event->file_offset = segment->file_offset - skew;
		break;
	}
	elf_file_fini(&file);
	return event->end ? image_table_add(images, event) : 0;
}

static void print_place(uint64_t vaddr, const struct symbol *symbols, uint32_t count)
{
	printf("%#llx\n", (unsigned long long)vaddr);
	for (uint32_t i = 0; i < count; i++)
		printf("%s\n%s:%u\n", symbols[i].function ?: "??", symbols[i].file ?: "??",
		       symbols[i].line);
}

int main(int argc, char **argv)
{
	struct image_table *images = image_table_new();
	struct symbolizer *symbolizer = symbolizer_new(images, NULL, NULL);
	_cleanup_(free) char *path = argc == 2 ? realpath(argv[1], NULL) : NULL;
	long before_kib = rss_max_kib();
	double start = now_ns();
	unsigned long addresses = 0;
	char line[64];
	uint32_t image;

	if (!path) {
		fprintf(stderr, "usage: bench_naming FILE < ADDRESSES\n");
		return 2;
	}
	image = map_file(images, path);
	if (!image) {
		fprintf(stderr, "bench_naming: cannot read code from %s\n", path);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t vaddr = strtoull(line, NULL, 16);
		struct frame frame = {.pc = base + vaddr, .image = image, .exact = true};
		const struct symbol *symbols;
		uint32_t count = symbolizer_lookup(symbolizer, &frame, &symbols);

		print_place(vaddr, symbols, count);
		addresses++;
	}
	fflush(stdout);
	fprintf(stderr, "%lu addresses %.0f ns %ld KiB\n", addresses, now_ns() - start,
		rss_max_kib() - before_kib);
	symbolizer_free(symbolizer);
	image_table_free(images);
	return 0;
}
