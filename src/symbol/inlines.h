/*
 * The functions of one compile unit and what was inlined into them. The functions are read when the
 * unit is first asked for, what was inlined into one when that one is: both once, and kept, so that
 * a look-up walks no tree. Knows no line table and no names.
 */
#ifndef HTRACE_SYMBOL_INLINES_H
#define HTRACE_SYMBOL_INLINES_H

#include <elfutils/libdw.h>
#include <stdint.h>

enum { INLINES_DEPTH_MAX = 128 };

struct inlines;

/* One function that an address lies in. */
struct inlines_scope {
	Dwarf_Die die; /* DW_TAG_subprogram, or DW_TAG_inlined_subroutine for all but the last */
	uint64_t
	    start; /* where its code begins; of its split-off (cold) part for an address there */
};

/*
 * `unit` is the DIE of the compile unit (of the split one where there is one). `items_left` is how
 * many things (address ranges, attributes of abbreviations, rows of line tables) may still be read
 * of this file: a damaged one may claim endless ones, or have many units share the same. Borrowed
 * for the life of the result.
 */
struct inlines *inlines_new(Dwarf_Die *unit, uint64_t *items_left);
void inlines_free(struct inlines *inlines);

/* The functions around `vaddr`, innermost first; returns how many (0: none is known). */
uint32_t inlines_find(struct inlines *inlines, uint64_t vaddr,
		      struct inlines_scope out[static INLINES_DEPTH_MAX]);

#endif
