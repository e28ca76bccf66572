/*
 * The line table of a unit (DWARF 5, section 6.2; versions 2 to 5): which line each place of its
 * code comes from, and the files that lines and calls refer to. A fifth of what libdw's takes: rows
 * that say nothing new are not kept. Knows no function.
 */
#ifndef HTRACE_SYMBOL_LINE_TABLE_H
#define HTRACE_SYMBOL_LINE_TABLE_H

#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

struct line_table;

/* That at `offset` of .debug_line; `elf` is borrowed for the table's life. NULL: there is none. A
 * damaged one gives fewer lines; `items_left` as in symbol/inlines.h. */
struct line_table *line_table_new(Elf *elf, uint64_t offset, uint64_t *items_left);
void line_table_free(struct line_table *table);

struct line_place {
	uint32_t file; /* as the unit numbers its files */
	uint32_t line; /* 0: the compiler made it */
};

bool line_table_find(const struct line_table *table, uint64_t vaddr, struct line_place *out);

/* The path of a file, relative to the compiler's folder or absolute; NULL: there is none. Borrowed,
 * good until the free. */
const char *line_table_file(struct line_table *table, uint64_t file);

#endif
