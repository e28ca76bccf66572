/*
 * The DWARF of one module: which functions, inlined ones included, an address lies in, and on
 * which lines. Knows no symbol table and demangles nothing.
 */
#ifndef HTRACE_SYMBOL_DEBUG_INFO_H
#define HTRACE_SYMBOL_DEBUG_INFO_H

#include "symbol/inlines.h"

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct debug_info;

/*
 * NULL where `elf` has no DWARF. `elf` is borrowed, best of symbol/elf_copy.h. `alt` (may be NULL,
 * borrowed) is the DWARF of dwz's common file. `bytes` is the size of the file, which bounds the
 * work that a damaged one can make.
 */
struct debug_info *debug_info_new(Elf *elf, Dwarf *alt, uint64_t bytes);
void debug_info_free(struct debug_info *info);

struct debug_frame {
	const char *name;   /* NULL: the DWARF does not say */
	bool linkage;       /* `name` is the mangled one */
	const char *file;   /* may be relative to `folder`; NULL: unknown */
	const char *folder; /* that the compiler ran in; NULL: unknown */
	uint32_t line;      /* 0: unknown */
	uint64_t start;     /* vaddr where the function (or this inlined copy of it) begins */
};

/*
 * The frames of `vaddr`, innermost first: of the innermost file:line is where the code comes from,
 * of the others the place of the call. Returns how many; 0: it is not in any unit. One without a
 * name where only the line is known. Strings are good until debug_info_free().
 */
uint32_t debug_info_find(struct debug_info *info, uint64_t vaddr,
			 struct debug_frame out[static INLINES_DEPTH_MAX]);

#endif
