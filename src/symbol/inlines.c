/* Owns the walk over a unit's DIEs and the table that it leaves. */
#include "symbol/inlines.h"

#include "symbol/range_index.h"

#include <dwarf.h>

enum { TREE_DEPTH_MAX = 512 };

static const uint32_t no_scope = UINT32_MAX;

struct scope {
	Dwarf_Die die;
	uint32_t parent; /* the scope that it was inlined into; no_scope: a function of its own */
	uint32_t depth;
};

struct inlined_range {
	uint64_t low, high;
	uint32_t scope;
};

struct function {
	uint32_t scope;
	/* Ranges of everything inlined into it: [inlined_first, inlined_end) of inlines->inlined.
	 */
	size_t inlined_first, inlined_end;
	uint64_t entry;
};

struct inlines {
	ARRAY(struct scope) scopes;
	ARRAY(struct function) functions;
	ARRAY(struct inlined_range) inlined;
	struct range_index ranges; /* payload: index into functions */
};

struct walk {
	struct inlines *inlines;
	uint64_t *ranges_left;
	Dwarf_Off last; /* DIEs must come in the order of the file, or a loop has no end */
};

static void walk_children(struct walk *walk, Dwarf_Die *parent, uint32_t scope, unsigned depth);

/* Calls for each range of `die` until the budget is spent. */
static void add_ranges(struct walk *walk, Dwarf_Die *die, uint32_t payload, bool function)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t offset = 0;

	while (*walk->ranges_left && (offset = dwarf_ranges(die, offset, &base, &low, &high)) > 0) {
		--*walk->ranges_left;
		/* Code that the linker dropped is left at 0. */
		if (low == 0 || low >= high)
			continue;
		if (function)
			range_index_add(&walk->inlines->ranges, low, high, payload);
		else
			array_push(
			    &walk->inlines->inlined,
			    (struct inlined_range){.low = low, .high = high, .scope = payload});
	}
}

static uint32_t add_scope(struct walk *walk, Dwarf_Die *die, uint32_t parent)
{
	struct inlines *inlines = walk->inlines;
	uint32_t depth = parent == no_scope ? 0 : inlines->scopes.data[parent].depth + 1;

	array_push(&inlines->scopes, (struct scope){.die = *die, .parent = parent, .depth = depth});
	return inlines->scopes.count - 1;
}

static void walk_function(struct walk *walk, Dwarf_Die *die, unsigned depth)
{
	struct inlines *inlines = walk->inlines;
	size_t index = inlines->functions.count, ranges = inlines->ranges.ranges.count;
	struct function function = {.inlined_first = inlines->inlined.count};

	add_ranges(walk, die, index, true);
	if (inlines->ranges.ranges.count == ranges) { /* a declaration, an abstract instance */
		walk_children(walk, die, no_scope, depth);
		return;
	}
	if (dwarf_entrypc(die, &function.entry) < 0)
		function.entry = inlines->ranges.ranges.data[ranges].low;
	function.scope = add_scope(walk, die, no_scope);
	array_push(&inlines->functions, function);
	walk_children(walk, die, function.scope, depth);
	inlines->functions.data[index].inlined_end = inlines->inlined.count;
}

static void walk_die(struct walk *walk, Dwarf_Die *die, uint32_t scope, unsigned depth)
{
	switch (dwarf_tag(die)) {
	case DW_TAG_subprogram:
		walk_function(walk, die, depth);
		break;
	case DW_TAG_inlined_subroutine:
		if (scope != no_scope) { /* in an abstract instance it stands for no code */
			scope = add_scope(walk, die, scope);
			add_ranges(walk, die, scope, false);
		}
		walk_children(walk, die, scope, depth);
		break;
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
		walk_children(walk, die, scope, depth);
		break;
	default:
		break;
	}
}

static void walk_children(struct walk *walk, Dwarf_Die *parent, uint32_t scope, unsigned depth)
{
	Dwarf_Die die;

	if (depth >= TREE_DEPTH_MAX || !dwarf_haschildren(parent) || dwarf_child(parent, &die) != 0)
		return;
	do {
		Dwarf_Off offset = dwarf_dieoffset(&die);

		if (offset <= walk->last)
			return;
		walk->last = offset;
		walk_die(walk, &die, scope, depth + 1);
	} while (dwarf_siblingof(&die, &die) == 0);
}

struct inlines *inlines_new(Dwarf_Die *unit, uint64_t *ranges_left)
{
	struct inlines *inlines = xcalloc(1, sizeof(*inlines));
	struct walk walk = {.inlines = inlines, .ranges_left = ranges_left};

	walk.last = dwarf_dieoffset(unit);
	walk_children(&walk, unit, no_scope, 0);
	range_index_sort(&inlines->ranges);
	return inlines;
}

void inlines_free(struct inlines *inlines)
{
	if (!inlines)
		return;
	array_fini(&inlines->scopes);
	array_fini(&inlines->functions);
	array_fini(&inlines->inlined);
	range_index_fini(&inlines->ranges);
	free(inlines);
}

/* The deepest scope of `function` that holds `vaddr`. */
static uint32_t deepest(const struct inlines *inlines, const struct function *function,
			uint64_t vaddr)
{
	uint32_t found = function->scope;

	for (size_t i = function->inlined_first; i < function->inlined_end; i++) {
		const struct inlined_range *range = &inlines->inlined.data[i];

		if (vaddr >= range->low && vaddr < range->high &&
		    inlines->scopes.data[range->scope].depth > inlines->scopes.data[found].depth)
			found = range->scope;
	}
	return found;
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

uint32_t inlines_find(const struct inlines *inlines, uint64_t vaddr,
		      struct inlines_scope out[static INLINES_DEPTH_MAX])
{
	const struct range *range = range_index_find(&inlines->ranges, vaddr, NULL);
	const struct function *function;
	uint64_t start;
	uint32_t scope, count = 0;

	if (!range)
		return 0;
	function = &inlines->functions.data[range->payload];
	/* The entry lies in another range: this is the function's cold part. */
	start = function->entry >= range->low && function->entry < range->high ? function->entry
									       : range->low;
	if (start > vaddr)
		start = range->low;
	for (scope = deepest(inlines, function, vaddr);
	     /* A function inside this one has scopes of its own that do not lead here: they hold no
	      * address of this one, unless the ranges of the two overlap (damaged). */
	     scope != function->scope && scope != no_scope && count < INLINES_DEPTH_MAX - 1;
	     scope = inlines->scopes.data[scope].parent)
		out[count++] = (struct inlines_scope){
		    .die = inlines->scopes.data[scope].die,
		    .start = inlined_start(inlines, function, scope, vaddr, start),
		};
	out[count++] = (struct inlines_scope){.die = inlines->scopes.data[function->scope].die,
					      .start = start};
	return count;
}
