/*
 * The symbol tables of a module, sorted once so that a look-up does not read them all. Knows no
 * DWARF; hands out names as they stand in the file.
 */
#ifndef HTRACE_SYMBOL_SYMBOL_INDEX_H
#define HTRACE_SYMBOL_SYMBOL_INDEX_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol_index;

/*
 * From .symtab and .dynsym of the module's own file, of its separate debug file (NULL: none), and
 * the entries of its PLT, named "function@plt". Both are borrowed for the index's life. A damaged
 * table gives fewer names, never an error.
 */
struct symbol_index *symbol_index_new(Elf *main, Elf *debug);
void symbol_index_free(struct symbol_index *index);

struct symbol_hit {
	const char *name; /* mangled; not ended by NUL where a version was cut off */
	size_t name_bytes;
	uint64_t start; /* vaddr */
	bool exported;  /* global or weak */
};

/*
 * The symbol that holds `vaddr`. Sizes are honoured; a symbol without one reaches to the next, but
 * gives way to a sized one around it (a label in a function). Of several names at one address the
 * one that a user knows wins: exported, of a function, with the fewest leading underscores.
 */
bool symbol_index_find(const struct symbol_index *index, uint64_t vaddr, struct symbol_hit *out);

#endif
