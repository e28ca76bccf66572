/*
 * A private copy of what naming needs of an ELF file, for libelf and libdw to read. A mapping of
 * the file would end us with SIGBUS when the file is cut short; and libdw runs over the end of a
 * damaged section in places, which is harmless here: what follows is the file, then zeros.
 */
#ifndef HTRACE_SYMBOL_ELF_COPY_H
#define HTRACE_SYMBOL_ELF_COPY_H

#include <gelf.h>
#include <stddef.h>
#include <stdint.h>

struct elf_copy {
	Elf *elf;
	/* The file's bytes at their offsets, zero where nobody needs them; behind it, each with
	 * zeros around, what its compressed sections stand for. */
	uint8_t *bytes;
	size_t size; /* of the file */
	size_t mapped;
};

/* NULL: not an ELF file of x86-64's class and byte order, or one of an absurd size. `fd` is
 * borrowed and not used after. */
struct elf_copy *elf_copy_open(int fd);
void elf_copy_free(struct elf_copy *copy);

#endif
