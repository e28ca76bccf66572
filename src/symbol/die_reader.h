/*
 * The entries (DIEs) of one unit, read straight from the bytes of its section in the order in which
 * they stand. libdw takes about ten times as long for a walk over all of them; what is decided to
 * matter is then asked of libdw. Knows no function and no name.
 */
#ifndef HTRACE_SYMBOL_DIE_READER_H
#define HTRACE_SYMBOL_DIE_READER_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct die_reader;

/* `unit` is the DIE of a unit; its Dwarf must outlive the reader. NULL: the unit is damaged.
 * `items_left` as in symbol/inlines.h. */
struct die_reader *die_reader_new(Dwarf_Die *unit, uint64_t *items_left);
void die_reader_free(struct die_reader *reader);

struct die_entry {
	uint64_t offset; /* as dwarf_offdie() takes it */
	unsigned tag;    /* 0: the end of a list of siblings */
	bool has_children;
	bool has_code;    /* it says where its code is */
	bool code_is_far; /* and elsewhere: dwarf_ranges() must be asked; else it is [low, high) */
	uint64_t low, high;
	uint64_t sibling; /* offset of the next entry that is not within this one; 0: not said */
};

/* Reading goes on at `offset`; one outside the unit ends it. */
void die_reader_seek(struct die_reader *reader, uint64_t offset);

/* The next entry: a child of the one before where that has children. False: the unit ends here. */
bool die_reader_next(struct die_reader *reader, struct die_entry *entry);

/* The entry for libdw; false where it does not agree that there is one. */
bool die_reader_die(const struct die_reader *reader, uint64_t offset, Dwarf_Die *die);

#endif
