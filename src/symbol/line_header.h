/*
 * The header of a line table (DWARF 5, section 6.2.4; versions 2 to 5): the files that rows refer
 * to, and how the program that follows is written. Knows no row.
 */
#ifndef HTRACE_SYMBOL_LINE_HEADER_H
#define HTRACE_SYMBOL_LINE_HEADER_H

#include "base/array.h"
#include "symbol/dwarf_cursor.h"

struct line_file {
	const char *name;
	uint64_t folder;
	char *path; /* NULL: not asked for yet */
};

struct line_header {
	struct dwarf_format format;
	ARRAY(const char *) folders;
	ARRAY(struct line_file) files; /* of number N at N; before DWARF 5 there is no 0 */
	uint8_t min_bytes, line_range, opcode_base;
	int8_t line_base;
	uint8_t operands[256]; /* of standard opcodes */
};

/*
 * Reads the header at the cursor and moves it to the program, whose end becomes the cursor's.
 * False: it is damaged, or of a version that is not known. Strings point into `elf`, which is
 * borrowed; `items_left` as in symbol/inlines.h. line_header_fini() in either case.
 */
bool line_header_read(struct line_header *header, Elf *elf, struct dwarf_cursor *cursor,
		      uint64_t *items_left);
void line_header_fini(struct line_header *header);

#endif
