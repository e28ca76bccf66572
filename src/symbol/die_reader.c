/*
 * Owns the decoding of abbreviations and the lengths of attribute values (DWARF 5, sections 7.5.3
 * to 7.5.6; GNU's extensions as in elfutils' dwarf.h). Both come from foreign files: every step is
 * checked against the end of the unit.
 */
#include "symbol/die_reader.h"

#include "base/array.h"
#include "base/map.h"

#include <dwarf.h>
#include <string.h>

struct attribute {
	uint16_t name, form;
	int8_t bytes; /* NOT_FIXED: the value says so itself */
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
	const uint8_t *start, *at, *end; /* of the unit */
	uint64_t offset;                 /* of the unit in its section */
	uint16_t version;
	uint8_t address_bytes, offset_bytes;
	ARRAY(struct shape) shapes; /* of code N at N - 1, as everybody numbers them; else ... */
	struct map by_code;         /* ... code -> index + 1 */
	ARRAY(struct attribute) attributes;
};

enum { ATTRIBUTES_MAX = 1 << 20, FIXED_MAX = 1 << 16, NOT_FIXED = -1 };

/* ---- numbers ---- */

static bool read_uleb(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	uint64_t result = 0;
	unsigned shift = 0;

	while (*at < end) {
		uint8_t byte = *(*at)++;

		if (shift < 64)
			result |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (byte < 0x80) {
			*value = result;
			return true;
		}
	}
	return false;
}

static uint64_t read_fixed(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes); /* both are little-endian: symbol/elf_copy.h */
	return value;
}

/* ---- forms ---- */

/* Bytes of a value; NOT_FIXED where the value says so itself. */
static int form_bytes(const struct die_reader *reader, unsigned form)
{
	switch (form) {
	case DW_FORM_flag_present:
	case DW_FORM_implicit_const:
		return 0;
	case DW_FORM_data1:
	case DW_FORM_ref1:
	case DW_FORM_flag:
	case DW_FORM_strx1:
	case DW_FORM_addrx1:
		return 1;
	case DW_FORM_data2:
	case DW_FORM_ref2:
	case DW_FORM_strx2:
	case DW_FORM_addrx2:
		return 2;
	case DW_FORM_strx3:
	case DW_FORM_addrx3:
		return 3;
	case DW_FORM_data4:
	case DW_FORM_ref4:
	case DW_FORM_ref_sup4:
	case DW_FORM_strx4:
	case DW_FORM_addrx4:
		return 4;
	case DW_FORM_data8:
	case DW_FORM_ref8:
	case DW_FORM_ref_sup8:
	case DW_FORM_ref_sig8:
		return 8;
	case DW_FORM_data16:
		return 16;
	case DW_FORM_addr:
		return reader->address_bytes;
	case DW_FORM_ref_addr:
		return reader->version <= 2 ? reader->address_bytes : reader->offset_bytes;
	case DW_FORM_strp:
	case DW_FORM_strp_sup:
	case DW_FORM_line_strp:
	case DW_FORM_sec_offset:
	case DW_FORM_GNU_ref_alt:
	case DW_FORM_GNU_strp_alt:
		return reader->offset_bytes;
	default:
		return NOT_FIXED;
	}
}

/* Passes a value of a form whose length is not fixed. False: it runs over the end, or nobody knows
 * the form. */
static bool skip_value(struct die_reader *reader, unsigned form)
{
	uint64_t bytes = 0;
	const void *zero;

	switch (form) {
	case DW_FORM_string:
		zero = memchr(reader->at, 0, reader->end - reader->at);
		if (zero)
			reader->at = (const uint8_t *)zero + 1;
		return zero;
	case DW_FORM_sdata:
	case DW_FORM_udata:
	case DW_FORM_ref_udata:
	case DW_FORM_strx:
	case DW_FORM_addrx:
	case DW_FORM_loclistx:
	case DW_FORM_rnglistx:
	case DW_FORM_GNU_addr_index:
	case DW_FORM_GNU_str_index:
		return read_uleb(&reader->at, reader->end, &bytes);
	case DW_FORM_block1:
	case DW_FORM_block2:
	case DW_FORM_block4: {
		int length = form == DW_FORM_block1 ? 1 : form == DW_FORM_block2 ? 2 : 4;

		if (reader->end - reader->at < length)
			return false;
		bytes = read_fixed(reader->at, length);
		reader->at += length;
		break;
	}
	case DW_FORM_block:
	case DW_FORM_exprloc:
		if (!read_uleb(&reader->at, reader->end, &bytes))
			return false;
		break;
	default:
		return false;
	}
	if (bytes > (uint64_t)(reader->end - reader->at))
		return false;
	reader->at += bytes;
	return true;
}

/* ---- abbreviations ---- */

static bool is_of_interest(unsigned name)
{
	return name == DW_AT_sibling || name == DW_AT_low_pc || name == DW_AT_high_pc ||
	       name == DW_AT_ranges;
}

/* The attributes of one abbreviation, which end with (0, 0). */
static bool read_attributes(struct die_reader *reader, const uint8_t **at, const uint8_t *end,
			    struct shape *shape)
{
	uint64_t name, form, constant;

	shape->attributes_first = reader->attributes.count;
	while (read_uleb(at, end, &name) && read_uleb(at, end, &form)) {
		int bytes;

		if (!name && !form) {
			shape->attributes_n = reader->attributes.count - shape->attributes_first;
			return true;
		}
		if (name > UINT16_MAX || form > UINT16_MAX ||
		    reader->attributes.count >= ATTRIBUTES_MAX ||
		    (form == DW_FORM_implicit_const && !read_uleb(at, end, &constant)))
			return false;
		bytes = form_bytes(reader, form);
		array_push(&reader->attributes,
			   (struct attribute){.name = name,
					      .form = form,
					      .bytes = bytes,
					      .of_interest = is_of_interest(name)});
		if (bytes == NOT_FIXED || is_of_interest(name) || shape->bytes > FIXED_MAX)
			shape->bytes = NOT_FIXED;
		else if (shape->bytes != NOT_FIXED)
			shape->bytes += bytes;
	}
	return false;
}

/* What cannot be read is left out; entries that use it end the unit. */
static void read_shapes(struct die_reader *reader, const uint8_t *at, const uint8_t *end)
{
	uint64_t code, tag;

	while (read_uleb(&at, end, &code) && code && read_uleb(&at, end, &tag) &&
	       tag <= UINT16_MAX && at < end) {
		struct shape shape = {.code = code, .tag = tag, .has_children = *at++};

		if (!read_attributes(reader, &at, end, &shape))
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

/* The section that holds `byte`, or (NULL) the one named `wanted`; its name in *name. */
static Elf_Data *find_section(Elf *elf, const void *byte, const char *wanted, const char **name)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		Elf_Data *data;

		if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS ||
		    !(*name = elf_strptr(elf, names, header.sh_name)) ||
		    (wanted && strcmp(*name, wanted) != 0) ||
		    (!wanted && !strstr(*name, "debug_info")))
			continue;
		data = elf_rawdata(section, NULL);
		if (data && data->d_buf &&
		    (wanted ||
		     (byte >= data->d_buf &&
		      (size_t)((const char *)byte - (const char *)data->d_buf) < data->d_size)))
			return data;
	}
	return NULL;
}

/* Sets the bounds of the unit; false where its header contradicts them. */
static bool find_unit(struct die_reader *reader, Dwarf_Die *unit, const Elf_Data *section)
{
	const uint8_t *first = section->d_buf;
	uint64_t header_bytes = dwarf_cuoffset(unit), left, bytes;

	reader->at = unit->addr;
	if (header_bytes > (uint64_t)(reader->at - first))
		return false;
	reader->start = reader->at - header_bytes;
	reader->offset = dwarf_dieoffset(unit) - header_bytes;
	left = first + section->d_size - reader->start;
	if (left < 12)
		return false;
	bytes = read_fixed(reader->start, 4);
	/* 64-bit DWARF: an escape, then the length. */
	if (bytes == UINT32_MAX)
		bytes = read_fixed(reader->start + 4, 8) + 8;
	bytes += 4;
	reader->end = reader->start + (bytes < left ? bytes : left);
	return reader->at < reader->end;
}

struct die_reader *die_reader_new(Dwarf_Die *unit)
{
	struct die_reader *reader = xcalloc(1, sizeof(*reader));
	Elf_Data *info, *abbreviations = NULL;
	const char *name;
	Dwarf_Die same;
	Dwarf_Off abbreviations_at;

	reader->dwarf = dwarf_cu_getdwarf(unit->cu);
	info = find_section(dwarf_getelf(reader->dwarf), unit->addr, NULL, &name);
	if (info && dwarf_cu_die(unit->cu, &same, &reader->version, &abbreviations_at,
				 &reader->address_bytes, &reader->offset_bytes, NULL, NULL))
		abbreviations = find_section(
		    dwarf_getelf(reader->dwarf), NULL,
		    strstr(name, ".dwo") ? ".debug_abbrev.dwo"
					 : (name[1] == 'z' ? ".zdebug_abbrev" : ".debug_abbrev"),
		    &name);
	if (!abbreviations || abbreviations_at >= abbreviations->d_size ||
	    reader->address_bytes > 8 || reader->offset_bytes > 8 ||
	    !find_unit(reader, unit, info)) {
		die_reader_free(reader);
		return NULL;
	}
	read_shapes(reader, (const uint8_t *)abbreviations->d_buf + abbreviations_at,
		    (const uint8_t *)abbreviations->d_buf + abbreviations->d_size);
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
	uint64_t bytes = reader->end - reader->start;

	reader->at = offset >= reader->offset && offset - reader->offset < bytes
			 ? reader->start + (offset - reader->offset)
			 : reader->end;
}

/* Takes what is known of the value that starts at `at`. */
static void take_value(const struct die_reader *reader, const struct attribute *attribute,
		       const uint8_t *at, struct die_entry *entry)
{
	int bytes = attribute->bytes;
	uint64_t value = bytes > 0 && bytes <= 8 ? read_fixed(at, bytes) : 0;

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

	if (!read_uleb(&reader->at, reader->end, &form) || form > UINT16_MAX ||
	    form == DW_FORM_indirect || form == DW_FORM_implicit_const)
		return false;
	attribute->form = form;
	attribute->bytes = form_bytes(reader, form);
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
		at = reader->at;
		if (attribute.bytes == NOT_FIXED) {
			if (!skip_value(reader, attribute.form))
				return false;
		} else if (attribute.bytes > reader->end - at) {
			return false;
		} else {
			reader->at += attribute.bytes;
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

	*entry = (struct die_entry){.offset = reader->offset + (reader->at - reader->start)};
	if (!read_uleb(&reader->at, reader->end, &code))
		return false;
	if (code == 0)
		return true;
	shape = find_shape(reader, code);
	if (!shape)
		return false;
	entry->tag = shape->tag;
	entry->has_children = shape->has_children;
	if (shape->bytes == NOT_FIXED)
		return read_values(reader, shape, entry);
	if (shape->bytes > reader->end - reader->at)
		return false;
	reader->at += shape->bytes;
	return true;
}

bool die_reader_die(const struct die_reader *reader, uint64_t offset, Dwarf_Die *die)
{
	return dwarf_offdie(reader->dwarf, offset, die) != NULL;
}
