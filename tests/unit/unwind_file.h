/*
 * The smallest ELF file that has sections of call frame information, to be opened by the unwinder
 * like any other: for tests that write those sections by hand, and for the fuzz target.
 */
#ifndef HTRACE_TESTS_UNWIND_FILE_H
#define HTRACE_TESTS_UNWIND_FILE_H

#include "os/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	UNWIND_FILE_SECTIONS = 0x200,         /* vaddr of .eh_frame_hdr; the frames follow it */
	UNWIND_FILE_SECTIONS_BYTES = 0x6000,  /* of both at the most */
	UNWIND_FILE_MAPPED_BYTES = 64 * 1024, /* of its one segment, all of it executable */
};

struct unwind_file {
	const uint8_t *header, *frames;
	size_t header_bytes, frames_bytes;
	uint64_t entry;       /* vaddr; 0: none */
	bool has_header;      /* a PT_GNU_EH_FRAME says where .eh_frame_hdr is */
	bool section_headers; /* without them .eh_frame has no known end */
	bool debug_frame;     /* the frames are .debug_frame; needs section headers */
	bool compressed;      /* ... and say that they are compressed */
};

/* A descriptor of the file in memory, or -1. */
int unwind_file_make(const struct unwind_file *file);

/* The image of such a file mapped at `start`; the descriptor may be closed afterwards. */
uint32_t unwind_file_map(struct image_table *images, int fd, uint64_t start);

#endif
