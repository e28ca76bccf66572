/* Owns the table of compile units of one DWARF file and what was read of those that were asked. */
#include "symbol/debug_info.h"

#include "base/map.h"
#include "symbol/line_table.h"
#include "symbol/range_index.h"

#include <dwarf.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ITEMS_MAX = 64 << 20 };

struct unit {
	Dwarf_Die die;  /* of the skeleton, where the unit is split */
	Dwarf_Die tree; /* with the functions */
	Dwarf_Half version;
	uint8_t type;
	bool has_ranges;
	bool opened;
	struct inlines *inlines;
	struct line_table *lines; /* NULL: it has none */
};

struct debug_info {
	Dwarf *dwarf;
	ARRAY(struct unit) units;
	struct range_index ranges; /* payload: see payload_of() */
	struct map lines;    /* offset + 1 of a line table -> the table; units may share one */
	uint64_t items_left; /* see symbol/inlines.h */
};

/*
 * Of several functions of the same name and size in different units the linker keeps that of the
 * first, and has the debug information of the others point there, too (GNU ld does). So the first
 * unit tells the truth; range_index_find() hands out the greatest payload first.
 */
static uint32_t payload_of(uint32_t unit)
{
	return UINT32_MAX - unit;
}

static uint32_t unit_of(uint32_t payload)
{
	return UINT32_MAX - payload;
}

static void add_unit_ranges(struct debug_info *info, struct unit *unit, uint32_t index)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t offset = 0;

	while (info->items_left &&
	       (offset = dwarf_ranges(&unit->die, offset, &base, &low, &high)) > 0) {
		info->items_left--;
		/* Code that the linker dropped is left at 0. */
		if (low != 0 && low < high) {
			range_index_add(&info->ranges, low, high, payload_of(index));
			unit->has_ranges = true;
		}
	}
}

static void read_units(struct debug_info *info)
{
	Dwarf_CU *cu = NULL;
	struct unit unit = {0};

	while (dwarf_get_units(info->dwarf, cu, &cu, &unit.version, &unit.type, &unit.die, NULL) ==
	       0) {
		if (unit.type != DW_UT_compile && unit.type != DW_UT_skeleton)
			continue;
		unit.has_ranges = false;
		add_unit_ranges(info, &unit, info->units.count);
		array_push(&info->units, unit);
	}
}

/* Some producers give a unit's ranges in .debug_aranges only. */
static void read_aranges(struct debug_info *info)
{
	Dwarf_Aranges *aranges;
	Dwarf_Off offset;
	Dwarf_Addr start;
	Dwarf_Word bytes;
	size_t count;

	if (dwarf_getaranges(info->dwarf, &aranges, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		size_t low = 0, high = info->units.count;

		if (dwarf_getarangeinfo(dwarf_onearange(aranges, i), &start, &bytes, &offset) != 0)
			continue;
		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (dwarf_dieoffset(&info->units.data[middle].die) < offset)
				low = middle + 1;
			else
				high = middle;
		}
		if (low < info->units.count && !info->units.data[low].has_ranges &&
		    dwarf_dieoffset(&info->units.data[low].die) == offset && start &&
		    start + bytes > start)
			range_index_add(&info->ranges, start, start + bytes, payload_of(low));
	}
}

struct debug_info *debug_info_new(Elf *elf, Dwarf *alt, uint64_t bytes)
{
	Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	struct debug_info *info;

	if (!dwarf)
		return NULL;
	if (alt)
		dwarf_setalt(dwarf, alt);
	info = xcalloc(1, sizeof(*info));
	info->dwarf = dwarf;
	/* Each takes two bytes at the least, most of them more; sections may be compressed. */
	info->items_left = bytes < ITEMS_MAX / 4 ? bytes * 4 + 1024 : ITEMS_MAX;
	read_units(info);
	read_aranges(info);
	range_index_sort(&info->ranges);
	return info;
}

void debug_info_free(struct debug_info *info)
{
	if (!info)
		return;
	array_each (unit, &info->units)
		inlines_free(unit->inlines);
	map_each (entry, &info->lines)
		line_table_free((struct line_table *)(uintptr_t)entry->value);
	map_fini(&info->lines);
	array_fini(&info->units);
	range_index_fini(&info->ranges);
	dwarf_end(info->dwarf);
	free(info);
}

static const char *string_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;

	return dwarf_formstring(dwarf_attr_integrate(die, name, &attribute));
}

/* libdw opens the file that a skeleton names, whatever it is; a FIFO would stop us. */
static bool split_file_is_sane(Dwarf_Die *skeleton)
{
	const char *name =
	    string_of(skeleton, DW_AT_dwo_name) ?: string_of(skeleton, DW_AT_GNU_dwo_name);
	const char *folder = string_of(skeleton, DW_AT_comp_dir);
	char *path;
	struct stat status;
	bool sane;

	if (!name)
		return false;
	path = name[0] == '/' || !folder ? xstrdup(name) : xasprintf("%s/%s", folder, name);
	sane = stat(path, &status) == 0 && S_ISREG(status.st_mode);
	free(path);
	return sane;
}

static struct line_table *open_lines(struct debug_info *info, struct unit *unit)
{
	Dwarf_Attribute attribute;
	Dwarf_Word offset;
	uint64_t *slot;

	if (dwarf_formudata(dwarf_attr(&unit->die, DW_AT_stmt_list, &attribute), &offset) != 0)
		return NULL;
	slot = map_put(&info->lines, offset + 1);
	if (!*slot)
		*slot =
		    (uintptr_t)line_table_new(dwarf_getelf(info->dwarf), offset, &info->items_left);
	return (struct line_table *)(uintptr_t)*slot;
}

static void open_unit(struct debug_info *info, struct unit *unit)
{
	uint8_t type;
	Dwarf_Die split = {0};

	unit->opened = true;
	unit->tree = unit->die;
	if (unit->type == DW_UT_skeleton && split_file_is_sane(&unit->die) &&
	    dwarf_cu_info(unit->die.cu, NULL, &type, NULL, &split, NULL, NULL, NULL) == 0 &&
	    split.addr)
		unit->tree = split;
	unit->lines = open_lines(info, unit);
	unit->inlines = inlines_new(&unit->tree, &info->items_left);
}

static void name_frame(Dwarf_Die *die, struct debug_frame *frame)
{
	frame->name = string_of(die, DW_AT_linkage_name) ?: string_of(die, DW_AT_MIPS_linkage_name);
	frame->linkage = frame->name;
	if (!frame->name)
		frame->name = string_of(die, DW_AT_name);
}

static Dwarf_Word number_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	return dwarf_formudata(dwarf_attr(die, name, &attribute), &value) == 0 ? value : 0;
}

/* Where the inlined function `die` was called. */
static void place_call(struct unit *unit, Dwarf_Die *die, struct debug_frame *frame)
{
	Dwarf_Word file = number_of(die, DW_AT_call_file), line = number_of(die, DW_AT_call_line);
	Dwarf_Files *files;
	size_t count;

	frame->line = line <= UINT32_MAX ? line : 0;
	/* Before DWARF 5 files are numbered from 1, and 0 means that it is not known. */
	if (file == 0 && unit->version < 5)
		return;
	if (unit->type != DW_UT_skeleton)
		frame->file = unit->lines ? line_table_file(unit->lines, file) : NULL;
	else if (dwarf_getsrcfiles(&unit->tree, &files, &count) == 0 && file < count)
		frame->file = dwarf_filesrc(files, file, NULL, NULL);
}

static void place_code(struct unit *unit, uint64_t vaddr, struct debug_frame *frame)
{
	struct line_place place;

	if (!unit->lines || !line_table_find(unit->lines, vaddr, &place))
		return;
	frame->file = line_table_file(unit->lines, place.file);
	frame->line = place.line;
}

static uint32_t find_in_unit(struct debug_info *info, struct unit *unit, uint64_t vaddr,
			     struct debug_frame out[static INLINES_DEPTH_MAX])
{
	struct inlines_scope scopes[INLINES_DEPTH_MAX];
	uint32_t count;

	if (!unit->opened)
		open_unit(info, unit);
	count = inlines_find(unit->inlines, vaddr, scopes);
	out[0] = (struct debug_frame){.folder = string_of(&unit->die, DW_AT_comp_dir)};
	place_code(unit, vaddr, &out[0]);
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0) {
			out[i] = (struct debug_frame){0};
			place_call(unit, &scopes[i - 1].die, &out[i]);
		}
		out[i].folder = out[0].folder;
		name_frame(&scopes[i].die, &out[i]);
		out[i].start = scopes[i].start;
	}
	return count;
}

uint32_t debug_info_find(struct debug_info *info, uint64_t vaddr,
			 struct debug_frame out[static INLINES_DEPTH_MAX])
{
	const struct range *range = NULL;
	bool line_known = false;
	struct debug_frame line;

	while ((range = range_index_find(&info->ranges, vaddr, range))) {
		struct unit *unit = &info->units.data[unit_of(range->payload)];
		uint32_t count = find_in_unit(info, unit, vaddr, out);

		if (count)
			return count;
		if (!line_known && out[0].file) {
			line = out[0];
			line_known = true;
		}
	}
	if (!line_known)
		return 0;
	out[0] = line;
	return 1;
}
