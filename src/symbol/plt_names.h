/* Which function each entry of a procedure linkage table jumps to (x86-64 psABI, chapter 5.2). */
#ifndef HTRACE_SYMBOL_PLT_NAMES_H
#define HTRACE_SYMBOL_PLT_NAMES_H

#include <gelf.h>
#include <stdint.h>

/* Calls `each` with the place of every entry and the name of its symbol (NUL-terminated, borrowed).
 */
void plt_names(Elf *elf,
	       void (*each)(void *context, const char *name, uint64_t vaddr, uint64_t bytes),
	       void *context);

#endif
