/*
 * The few facts of an ELF file that placing it in memory needs: its loadable segments, its build
 * ID, whether it is x86-64 at all. Reads with libelf, never by mapping, for a file that is
 * truncated while we look must not end us.
 */
#ifndef HTRACE_OS_ELF_FILE_H
#define HTRACE_OS_ELF_FILE_H

#include "base/array.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { ELF_BUILD_ID_MAX = 64 };

struct elf_segment {
	uint64_t file_offset, vaddr, file_bytes, memory_bytes;
	bool executable;
};

struct elf_file {
	ARRAY(struct elf_segment) segments; /* PT_LOAD, in file order */
	uint8_t build_id[ELF_BUILD_ID_MAX];
	uint32_t build_id_bytes; /* 0: it has none */
	bool is_x86_64;          /* ELFCLASS64, little endian, EM_X86_64 */
};

/* Reads from `fd` (borrowed, its position is not used). -ENOEXEC: not an ELF file that we can use;
 * `path` is for the message. elf_file_fini() frees. */
int elf_file_read(int fd, const char *path, struct elf_file *out, struct error *error);
void elf_file_fini(struct elf_file *file);

/*
 * Of a file mapped at `start` from `file_offset`, what to take from an address to get the
 * vaddr that the file's own tables use. (bias = start - file_offset + p_offset - p_vaddr of
 * the segment that holds file_offset.) False where no segment holds it.
 */
bool elf_file_bias(const struct elf_file *file, uint64_t start, uint64_t file_offset,
		   uint64_t *bias);

#endif
