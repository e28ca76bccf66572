/*
 * Owns the decoding of abbreviations and entries (DWARF 5, sections 7.5.1 to 7.5.3). Both come from
 * foreign files: every step is checked against the end of the unit.
 */
#include "symbol/die_reader.h"

#include "base/array.h"
#include "base/map.h"
#include "symbol/dwarf_cursor.h"
#include "symbol/elf_section.h"

#include <dwarf.h>
#include <string.h>

struct attribute {
	uint16_t name, form;
	int8_t bytes; /* DWARF_NOT_FIXED: the value says so itself */
	bool of_interest;
};

/* How the entries of one abbreviation look. */
struct shape {
	uint64_t code;
	uint32_t tag;
	int32_t bytes; /* of all values, where that is fixed and none is of interest; else -1 */
	uint32_t attributes_first, attributes_n;
	bool has_children;
};

struct die_reader {
	Dwarf *dwarf;
	const uint8_t *start;       /* of the unit */
	uint64_t offset;            /* of the unit in its section */
	struct dwarf_cursor cursor; /* to the unit's end */
	struct dwarf_format format;
	ARRAY(struct shape) shapes; /* of code N at N - 1, as everybody numbers them; else ... */
	struct map by_code;         /* ... code -> index + 1 */
	ARRAY(struct attribute) attributes;
	uint64_t *items_left;
};

enum { FIXED_MAX = 1 << 16 };

/* ---- abbreviations ---- */

static bool is_of_interest(unsigned name)
{
	return name == DW_AT_sibling || name == DW_AT_low_pc || name == DW_AT_high_pc ||
	       name == DW_AT_ranges;
}

/* The attributes of one abbreviation, which end with (0, 0). */
static bool read_attributes(struct die_reader *reader, struct dwarf_cursor *cursor,
			    struct shape *shape)
{
	uint64_t name, form, constant;

	shape->attributes_first = reader->attributes.count;
	while (dwarf_cursor_uleb(cursor, &name) && dwarf_cursor_uleb(cursor, &form)) {
		int bytes;

		if (!name && !form) {
			shape->attributes_n = reader->attributes.count - shape->attributes_first;
			return true;
		}
		if (name > UINT16_MAX || form > UINT16_MAX ||
		    !dwarf_take_item(reader->items_left) ||
		    (form == DW_FORM_implicit_const && !dwarf_cursor_uleb(cursor, &constant)))
			return false;
		bytes = dwarf_form_bytes(&reader->format, form);
		array_push(&reader->attributes,
			   (struct attribute){.name = name,
					      .form = form,
					      .bytes = bytes,
					      .of_interest = is_of_interest(name)});
		if (bytes == DWARF_NOT_FIXED || is_of_interest(name) || shape->bytes > FIXED_MAX)
			shape->bytes = DWARF_NOT_FIXED;
		else if (shape->bytes != DWARF_NOT_FIXED)
			shape->bytes += bytes;
	}
	return false;
}

/* What cannot be read is left out; entries that use it end the unit. */
static void read_shapes(struct die_reader *reader, struct dwarf_cursor cursor)
{
	uint64_t code, tag;

	while (dwarf_cursor_uleb(&cursor, &code) && code && dwarf_cursor_uleb(&cursor, &tag) &&
	       tag <= UINT16_MAX && cursor.at < cursor.end && dwarf_take_item(reader->items_left)) {
		struct shape shape = {.code = code, .tag = tag, .has_children = *cursor.at++};

		if (!read_attributes(reader, &cursor, &shape))
			return;
		if (code != reader->shapes.count + 1)
			*map_put(&reader->by_code, code) = reader->shapes.count + 1;
		array_push(&reader->shapes, shape);
	}
}

static const struct shape *find_shape(const struct die_reader *reader, uint64_t code)
{
	const uint64_t *index;

	if (code - 1 < reader->shapes.count && reader->shapes.data[code - 1].code == code)
		return &reader->shapes.data[code - 1];
	index = map_get(&reader->by_code, code);
	return index ? &reader->shapes.data[*index - 1] : NULL;
}

/* ---- the unit ---- */

/* Those of the two sections that the unit stands in, and that its abbreviations do. */
static bool find_sections(Elf *elf, const uint8_t *byte, Elf_Data **info, Elf_Data **abbreviations)
{
	static const char *const names[][2] = {{".debug_info", ".debug_abbrev"},
					       {".debug_info.dwo", ".debug_abbrev.dwo"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*info = elf_section_data(elf, names[i][0]);
		if (!*info || byte < (uint8_t *)(*info)->d_buf ||
		    (size_t)(byte - (uint8_t *)(*info)->d_buf) >= (*info)->d_size)
			continue;
		*abbreviations = elf_section_data(elf, names[i][1]);
		return *abbreviations;
	}
	return false;
}

/* Sets the bounds of the unit; false where its header contradicts them. */
static bool find_unit(struct die_reader *reader, Dwarf_Die *unit, const Elf_Data *section)
{
	const uint8_t *first = section->d_buf;
	uint64_t header_bytes = dwarf_cuoffset(unit), left, bytes;

	reader->cursor.at = unit->addr;
	if (header_bytes > (uint64_t)(reader->cursor.at - first))
		return false;
	reader->start = reader->cursor.at - header_bytes;
	reader->offset = dwarf_dieoffset(unit) - header_bytes;
	left = first + section->d_size - reader->start;
	if (left < 12)
		return false;
	bytes = dwarf_number(reader->start, 4);
	/* 64-bit DWARF: an escape, then the length. */
	if (bytes == UINT32_MAX)
		bytes = dwarf_number(reader->start + 4, 8) + 8;
	bytes += 4;
	reader->cursor.end = reader->start + (bytes < left ? bytes : left);
	return reader->cursor.at < reader->cursor.end;
}

struct die_reader *die_reader_new(Dwarf_Die *unit, uint64_t *items_left)
{
	struct die_reader *reader = xcalloc(1, sizeof(*reader));
	struct dwarf_format *format = &reader->format;
	Elf_Data *info, *abbreviations;
	Dwarf_Off start;
	Dwarf_Die same;

	reader->items_left = items_left;
	reader->dwarf = dwarf_cu_getdwarf(unit->cu);
	if (!find_sections(dwarf_getelf(reader->dwarf), unit->addr, &info, &abbreviations) ||
	    !dwarf_cu_die(unit->cu, &same, &format->version, &start, &format->address_bytes,
			  &format->offset_bytes, NULL, NULL) ||
	    start >= abbreviations->d_size || format->address_bytes > 8 ||
	    format->offset_bytes > 8 || !find_unit(reader, unit, info)) {
		die_reader_free(reader);
		return NULL;
	}
	read_shapes(reader,
		    (struct dwarf_cursor){
			.at = (const uint8_t *)abbreviations->d_buf + start,
			.end = (const uint8_t *)abbreviations->d_buf + abbreviations->d_size,
		    });
	return reader;
}

void die_reader_free(struct die_reader *reader)
{
	if (!reader)
		return;
	array_fini(&reader->shapes);
	array_fini(&reader->attributes);
	map_fini(&reader->by_code);
	free(reader);
}

/* ---- entries ---- */

void die_reader_seek(struct die_reader *reader, uint64_t offset)
{
	uint64_t bytes = reader->cursor.end - reader->start;

	reader->cursor.at = offset >= reader->offset && offset - reader->offset < bytes
				? reader->start + (offset - reader->offset)
				: reader->cursor.end;
}

/* Takes what is known of the value that starts at `at`. */
static void take_value(const struct die_reader *reader, const struct attribute *attribute,
		       const uint8_t *at, struct die_entry *entry)
{
	int bytes = attribute->bytes;
	uint64_t value = bytes > 0 && bytes <= 8 ? dwarf_number(at, bytes) : 0;

	switch (attribute->name) {
	case DW_AT_sibling:
		if (attribute->form != DW_FORM_ref_addr && bytes > 0)
			entry->sibling = reader->offset + value;
		break;
	case DW_AT_low_pc:
		entry->has_code = true;
		entry->low = value;
		entry->code_is_far |= attribute->form != DW_FORM_addr;
		break;
	case DW_AT_high_pc:
		/* Before DWARF 4 an address; a constant is the length. */
		entry->high = attribute->form == DW_FORM_addr ? value : entry->low + value;
		entry->code_is_far |= bytes <= 0 || bytes > 8 || !entry->has_code;
		break;
	case DW_AT_ranges:
		entry->has_code = true;
		entry->code_is_far = true;
		break;
	}
}

/* DW_FORM_indirect: the form stands before the value. */
static bool read_form(struct die_reader *reader, struct attribute *attribute)
{
	uint64_t form;

	if (!dwarf_cursor_uleb(&reader->cursor, &form) || form > UINT16_MAX ||
	    form == DW_FORM_indirect || form == DW_FORM_implicit_const)
		return false;
	attribute->form = form;
	attribute->bytes = dwarf_form_bytes(&reader->format, form);
	return true;
}

static bool read_values(struct die_reader *reader, const struct shape *shape,
			struct die_entry *entry)
{
	const struct attribute *next = reader->attributes.data + shape->attributes_first;

	for (uint32_t i = 0; i < shape->attributes_n; i++) {
		struct attribute attribute = *next++;
		const uint8_t *at;

		if (attribute.form == DW_FORM_indirect && !read_form(reader, &attribute))
			return false;
		at = reader->cursor.at;
		if (attribute.bytes == DWARF_NOT_FIXED) {
			if (!dwarf_cursor_skip(&reader->cursor, &reader->format, attribute.form))
				return false;
		} else if (attribute.bytes > reader->cursor.end - at) {
			return false;
		} else {
			reader->cursor.at += attribute.bytes;
		}
		if (attribute.of_interest)
			take_value(reader, &attribute, at, entry);
	}
	return true;
}

bool die_reader_next(struct die_reader *reader, struct die_entry *entry)
{
	const struct shape *shape;
	uint64_t code;

	*entry = (struct die_entry){.offset = reader->offset + (reader->cursor.at - reader->start)};
	if (!dwarf_cursor_uleb(&reader->cursor, &code))
		return false;
	if (code == 0)
		return true;
	shape = find_shape(reader, code);
	if (!shape)
		return false;
	entry->tag = shape->tag;
	entry->has_children = shape->has_children;
	if (shape->bytes == DWARF_NOT_FIXED)
		return read_values(reader, shape, entry);
	if (shape->bytes > reader->cursor.end - reader->cursor.at)
		return false;
	reader->cursor.at += shape->bytes;
	return true;
}

bool die_reader_die(const struct die_reader *reader, uint64_t offset, Dwarf_Die *die)
{
	return dwarf_offdie(reader->dwarf, offset, die) != NULL;
}
