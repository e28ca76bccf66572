/* Owns the two walks over a unit's DIEs (its functions; what one function inlined) and the tables
 * that they leave. */
#include "symbol/inlines.h"

#include "symbol/die_reader.h"
#include "symbol/range_index.h"

#include <dwarf.h>

enum { TREE_DEPTH_MAX = 512 };

static const uint32_t no_scope = UINT32_MAX;

struct scope {
	uint64_t die;    /* offset */
	uint32_t parent; /* the scope that it was inlined into; no_scope: a function of its own */
};

struct inlined_range {
	uint64_t low, high;
	uint32_t scope;
};

struct function {
	uint64_t die; /* offset */
	uint64_t entry;
	uint32_t scope; /* no_scope: not walked yet */
	/* Ranges of everything inlined into it: [inlined_first, inlined_end) of inlines->inlined,
	 * in the order of the DIEs. */
	size_t inlined_first, inlined_end;
};

struct inlines {
	struct die_reader *reader; /* NULL: the unit is damaged */
	uint64_t *items_left;
	ARRAY(struct scope) scopes;
	ARRAY(struct function) functions;
	ARRAY(struct inlined_range) inlined;
	struct range_index ranges; /* payload: index into functions */
};

/* ---- what both walks do ---- */

static void add_range(struct inlines *inlines, uint64_t low, uint64_t high, uint32_t payload,
		      bool function)
{
	--*inlines->items_left;
	/* Code that the linker dropped is left at 0. */
	if (low == 0 || low >= high)
		return;
	if (function)
		range_index_add(&inlines->ranges, low, high, payload);
	else
		array_push(&inlines->inlined,
			   (struct inlined_range){.low = low, .high = high, .scope = payload});
}

/* Adds each range of `entry` until the budget is spent. */
static void add_ranges(struct inlines *inlines, const struct die_entry *entry, uint32_t payload,
		       bool function)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t offset = 0;
	Dwarf_Die die;

	if (!entry->has_code || !*inlines->items_left)
		return;
	if (!entry->code_is_far) {
		add_range(inlines, entry->low, entry->high, payload, function);
		return;
	}
	if (!die_reader_die(inlines->reader, entry->offset, &die))
		return;
	while (*inlines->items_left &&
	       (offset = dwarf_ranges(&die, offset, &base, &low, &high)) > 0)
		add_range(inlines, low, high, payload, function);
}

static uint32_t add_scope(struct inlines *inlines, uint64_t die, uint32_t parent)
{
	array_push(&inlines->scopes, (struct scope){.die = die, .parent = parent});
	return inlines->scopes.count - 1;
}

/* Whether functions, or calls that were inlined, may stand within. */
static bool holds_code(unsigned tag)
{
	return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
	       tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

static bool holds_functions(unsigned tag)
{
	return holds_code(tag) || tag == DW_TAG_namespace || tag == DW_TAG_module ||
	       tag == DW_TAG_class_type || tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

/* Reading goes on behind all that is within `entry`. */
static void skip_children(struct die_reader *reader, const struct die_entry *entry)
{
	struct die_entry child;
	uint64_t depth = 1;

	if (!entry->has_children)
		return;
	if (entry->sibling > entry->offset) {
		die_reader_seek(reader, entry->sibling);
		return;
	}
	while (depth > 0 && die_reader_next(reader, &child))
		depth += child.tag == 0 ? -1 : child.has_children;
}

/* ---- the functions ---- */

static void add_function(struct inlines *inlines, const struct die_entry *entry)
{
	struct function function = {.die = entry->offset, .scope = no_scope};
	size_t ranges = inlines->ranges.ranges.count;
	Dwarf_Die die;

	add_ranges(inlines, entry, inlines->functions.count, true);
	if (inlines->ranges.ranges.count == ranges)
		return;
	function.entry = inlines->ranges.ranges.data[ranges].low;
	if (entry->code_is_far && die_reader_die(inlines->reader, entry->offset, &die))
		dwarf_entrypc(&die, &function.entry);
	array_push(&inlines->functions, function);
}

/* Functions in functions too: how deep one stands does not matter. */
static void read_functions(struct inlines *inlines)
{
	struct die_entry entry;

	while (die_reader_next(inlines->reader, &entry)) {
		if (entry.tag == DW_TAG_subprogram && entry.has_code)
			add_function(inlines, &entry);
		if (!holds_functions(entry.tag))
			skip_children(inlines->reader, &entry);
	}
}

struct inlines *inlines_new(Dwarf_Die *unit, uint64_t *items_left)
{
	struct inlines *inlines = xcalloc(1, sizeof(*inlines));
	struct die_entry entry;

	inlines->items_left = items_left;
	inlines->reader = die_reader_new(unit, items_left);
	if (!inlines->reader)
		return inlines;
	if (die_reader_next(inlines->reader, &entry) && entry.has_children)
		read_functions(inlines);
	range_index_sort(&inlines->ranges);
	return inlines;
}

void inlines_free(struct inlines *inlines)
{
	if (!inlines)
		return;
	die_reader_free(inlines->reader);
	array_fini(&inlines->scopes);
	array_fini(&inlines->functions);
	array_fini(&inlines->inlined);
	range_index_fini(&inlines->ranges);
	free(inlines);
}

/* ---- what was inlined into one ---- */

static void read_inlined(struct inlines *inlines, struct function *function)
{
	uint32_t scopes[TREE_DEPTH_MAX]; /* that surround what stands at each depth */
	struct die_reader *reader = inlines->reader;
	struct die_entry entry;
	unsigned depth = 1;

	function->inlined_first = inlines->inlined.count;
	function->scope = scopes[1] = add_scope(inlines, function->die, no_scope);
	die_reader_seek(reader, function->die);
	if (!die_reader_next(reader, &entry) || !entry.has_children)
		depth = 0;
	while (depth > 0 && die_reader_next(reader, &entry)) {
		uint32_t scope = scopes[depth];

		if (entry.tag == 0) {
			depth--;
			continue;
		}
		if (!holds_code(entry.tag) || entry.tag == DW_TAG_subprogram) {
			skip_children(reader, &entry);
			continue;
		}
		if (entry.tag == DW_TAG_inlined_subroutine) {
			scope = add_scope(inlines, entry.offset, scope);
			add_ranges(inlines, &entry, scope, false);
		}
		if (!entry.has_children)
			continue;
		if (++depth >= TREE_DEPTH_MAX)
			break;
		scopes[depth] = scope;
	}
	function->inlined_end = inlines->inlined.count;
}

/* ---- look-up ---- */

/*
 * The innermost scope of `function` that holds `vaddr`: of the ranges around it that which starts
 * last, and of those that start together the one that stands last, for what stands later is within
 * what stands before. Ranges of two that are not within each other may overlap (GCC makes them so
 * around code that it merged): then this is what other readers choose, too.
 */
static uint32_t innermost(const struct inlines *inlines, const struct function *function,
			  uint64_t vaddr)
{
	uint32_t scope = function->scope;
	uint64_t low = 0;

	for (size_t i = function->inlined_first; i < function->inlined_end; i++) {
		const struct inlined_range *range = &inlines->inlined.data[i];

		if (vaddr < range->low || vaddr >= range->high || range->low < low)
			continue;
		scope = range->scope;
		low = range->low;
	}
	return scope;
}

/* Where the range of `scope` begins that holds `vaddr`; `other` where none does. */
static uint64_t inlined_start(const struct inlines *inlines, const struct function *function,
			      uint32_t scope, uint64_t vaddr, uint64_t other)
{
	for (size_t i = function->inlined_first; i < function->inlined_end; i++) {
		const struct inlined_range *range = &inlines->inlined.data[i];

		if (range->scope == scope && vaddr >= range->low && vaddr < range->high)
			return range->low;
	}
	return other;
}

uint32_t inlines_find(struct inlines *inlines, uint64_t vaddr,
		      struct inlines_scope out[static INLINES_DEPTH_MAX])
{
	const struct range *range = range_index_find(&inlines->ranges, vaddr, NULL);
	struct function *function;
	uint64_t start;
	uint32_t scope, count = 0;

	if (!range)
		return 0;
	function = &inlines->functions.data[range->payload];
	if (function->scope == no_scope)
		read_inlined(inlines, function);
	/* The entry lies in another range: this is the function's cold part. */
	start = function->entry >= range->low && function->entry < range->high ? function->entry
									       : range->low;
	if (start > vaddr)
		start = range->low;
	for (scope = innermost(inlines, function, vaddr);
	     scope != no_scope && count < INLINES_DEPTH_MAX;
	     scope = inlines->scopes.data[scope].parent) {
		uint64_t die = inlines->scopes.data[scope].die;

		/* One deeper than that is no real one; its function is still told. */
		if (count == INLINES_DEPTH_MAX - 1)
			die = function->die;
		if (!die_reader_die(inlines->reader, die, &out[count].die))
			break;
		out[count++].start = inlined_start(inlines, function, scope, vaddr, start);
	}
	return count;
}
