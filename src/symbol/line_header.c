/* Owns the lists of folders and files, in their old form and the one that describes itself. */
#include "symbol/line_header.h"

#include "symbol/elf_section.h"

#include <dwarf.h>

enum { FORMATS_MAX = 256 };

/* What is read while a header is made. */
struct reading {
	struct line_header *header;
	struct dwarf_cursor *cursor;
	const Elf_Data *strings, *line_strings;
	uint64_t *items_left;
};

/* ---- folders and files ---- */

static const char *string_at(const Elf_Data *strings, uint64_t offset)
{
	if (!strings || !strings->d_buf || offset >= strings->d_size ||
	    !memchr((const char *)strings->d_buf + offset, 0, strings->d_size - offset))
		return NULL;
	return (const char *)strings->d_buf + offset;
}

/* Before DWARF 5: strings up to an empty one; files with three numbers behind. */
static bool read_lists(struct reading *reading)
{
	struct line_header *header = reading->header;
	uint64_t folder, unused;
	const char *name;

	array_push(&header->folders, NULL); /* 0: where the compiler ran */
	array_push(&header->files, (struct line_file){0});
	while ((name = dwarf_cursor_string(reading->cursor)) && *name &&
	       dwarf_take_item(reading->items_left))
		array_push(&header->folders, name);
	if (!name || *name)
		return false;
	while ((name = dwarf_cursor_string(reading->cursor)) && *name) {
		if (!dwarf_take_item(reading->items_left) ||
		    !dwarf_cursor_uleb(reading->cursor, &folder) ||
		    !dwarf_cursor_uleb(reading->cursor, &unused) ||
		    !dwarf_cursor_uleb(reading->cursor, &unused))
			return false;
		array_push(&header->files, (struct line_file){.name = name, .folder = folder});
	}
	return name;
}

struct entry_format {
	uint64_t content, form;
};

/* A string in any of its forms; NULL in one that is not known here. */
static const char *read_string(struct reading *reading, unsigned form)
{
	const struct dwarf_format *format = &reading->header->format;
	uint64_t offset;

	switch (form) {
	case DW_FORM_string:
		return dwarf_cursor_string(reading->cursor);
	case DW_FORM_strp:
	case DW_FORM_line_strp:
		if (!dwarf_cursor_number(reading->cursor, format->offset_bytes, &offset))
			return NULL;
		return string_at(form == DW_FORM_strp ? reading->strings : reading->line_strings,
				 offset);
	default:
		return dwarf_cursor_skip(reading->cursor, format, form) ? "?" : NULL;
	}
}

static bool read_number(struct reading *reading, unsigned form, uint64_t *value)
{
	int bytes = dwarf_form_bytes(&reading->header->format, form);

	if (form == DW_FORM_udata)
		return dwarf_cursor_uleb(reading->cursor, value);
	return bytes > 0 && bytes <= 8 && dwarf_cursor_number(reading->cursor, bytes, value);
}

static bool read_entry(struct reading *reading, const struct entry_format *formats, unsigned count,
		       struct line_file *file)
{
	for (unsigned i = 0; i < count; i++) {
		if (formats[i].content == DW_LNCT_path) {
			file->name = read_string(reading, formats[i].form);
			if (!file->name)
				return false;
		} else if (formats[i].content == DW_LNCT_directory_index) {
			if (!read_number(reading, formats[i].form, &file->folder))
				return false;
		} else if (!dwarf_cursor_skip(reading->cursor, &reading->header->format,
					      formats[i].form)) {
			return false;
		}
	}
	return true;
}

/* DWARF 5: both lists say themselves how their entries look. */
static bool read_described_list(struct reading *reading, bool folders)
{
	struct entry_format formats[FORMATS_MAX];
	uint64_t formats_n, count;

	if (!dwarf_cursor_number(reading->cursor, 1, &formats_n))
		return false;
	for (unsigned i = 0; i < formats_n; i++)
		if (!dwarf_cursor_uleb(reading->cursor, &formats[i].content) ||
		    !dwarf_cursor_uleb(reading->cursor, &formats[i].form))
			return false;
	if (!dwarf_cursor_uleb(reading->cursor, &count))
		return false;
	for (; count > 0; count--) {
		struct line_file file = {0};

		/* One may take no bytes: only the budget ends a list of such. */
		if (!dwarf_take_item(reading->items_left) ||
		    !read_entry(reading, formats, formats_n, &file))
			return false;
		if (folders)
			array_push(&reading->header->folders, file.name);
		else
			array_push(&reading->header->files, file);
	}
	return true;
}

/* ---- the header ---- */

/* The length of all, the version and the length of the header; sets the cursor to the header's rest
 * and *program to what follows that. */
static bool read_lengths(struct dwarf_cursor *cursor, struct dwarf_format *format,
			 struct dwarf_cursor *program)
{
	uint64_t bytes, version, header_bytes, unused;

	format->offset_bytes = 4;
	format->address_bytes = 8;
	if (!dwarf_cursor_number(cursor, 4, &bytes))
		return false;
	if (bytes == UINT32_MAX) { /* 64-bit DWARF */
		format->offset_bytes = 8;
		if (!dwarf_cursor_number(cursor, 8, &bytes))
			return false;
	}
	if (bytes < dwarf_cursor_left(cursor))
		cursor->end = cursor->at + bytes;
	if (!dwarf_cursor_number(cursor, 2, &version) || version < 2 || version > 5)
		return false;
	format->version = version;
	if ((version >= 5 && !dwarf_cursor_number(cursor, 2, &unused)) ||
	    !dwarf_cursor_number(cursor, format->offset_bytes, &header_bytes) ||
	    header_bytes > dwarf_cursor_left(cursor))
		return false;
	*program = (struct dwarf_cursor){.at = cursor->at + header_bytes, .end = cursor->end};
	cursor->end = program->at;
	return true;
}

/* min_inst_length, max_ops_per_inst (from 4 on), default_is_stmt, line_base, line_range,
 * opcode_base and how many operands each opcode below that has. */
static bool read_parameters(struct dwarf_cursor *cursor, struct line_header *header)
{
	if (dwarf_cursor_left(cursor) < 6)
		return false;
	header->min_bytes = *cursor->at++;
	cursor->at += 1 + (header->format.version >= 4);
	header->line_base = (int8_t)*cursor->at++;
	header->line_range = *cursor->at++;
	if (cursor->at >= cursor->end)
		return false;
	header->opcode_base = *cursor->at++;
	for (unsigned opcode = 1; opcode < header->opcode_base; opcode++) {
		if (cursor->at >= cursor->end)
			return false;
		header->operands[opcode] = *cursor->at++;
	}
	return header->line_range > 0 && header->opcode_base > 0;
}

bool line_header_read(struct line_header *header, Elf *elf, struct dwarf_cursor *cursor,
		      uint64_t *items_left)
{
	struct reading reading = {
	    .header = header,
	    .cursor = cursor,
	    .strings = elf_section_data(elf, ".debug_str"),
	    .line_strings = elf_section_data(elf, ".debug_line_str"),
	    .items_left = items_left,
	};
	struct dwarf_cursor program;

	*header = (struct line_header){0};
	if (!read_lengths(cursor, &header->format, &program) || !read_parameters(cursor, header))
		return false;
	if (header->format.version >= 5
		? !read_described_list(&reading, true) || !read_described_list(&reading, false)
		: !read_lists(&reading))
		return false;
	*cursor = program;
	return true;
}

void line_header_fini(struct line_header *header)
{
	array_each (file, &header->files)
		free(file->path);
	array_fini(&header->folders);
	array_fini(&header->files);
}
