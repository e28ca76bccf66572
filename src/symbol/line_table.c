/* Owns the rows of one line program, and the header that comes before it. */
#include "symbol/line_table.h"

#include "base/array.h"
#include "symbol/dwarf_cursor.h"
#include "symbol/range_index.h"

#include <dwarf.h>

enum { FORMATS_MAX = 256, OPCODES_MAX = 256 };

/* From here to the next row of its run, or to the run's end. */
struct row {
	uint32_t offset; /* from the run's start */
	struct line_place place;
};

/* Rows in the order of their addresses. */
struct run {
	uint64_t start, end;
	size_t rows_first, rows_n;
};

struct file {
	const char *name;
	uint64_t folder;
	char *path; /* NULL: not asked for yet */
};

struct line_table {
	struct dwarf_format format;
	ARRAY(struct row) rows;
	ARRAY(struct run) runs;
	struct range_index ranges; /* payload: index into runs */
	ARRAY(const char *) folders;
	ARRAY(struct file) files; /* of number N at N; before DWARF 5 there is no 0 */
};

/* What is read while a table is made. */
struct program {
	struct line_table *table;
	struct dwarf_cursor cursor;
	Elf_Data *strings, *line_strings;
	uint64_t *items_left;
	uint8_t min_bytes, line_range, opcode_base;
	int8_t line_base;
	uint8_t operands[OPCODES_MAX]; /* of standard opcodes */
};

static bool take_item(struct program *program)
{
	if (*program->items_left == 0)
		return false;
	--*program->items_left;
	return true;
}

/* ---- folders and files ---- */

static const char *string_at(const Elf_Data *strings, uint64_t offset)
{
	if (!strings || !strings->d_buf || offset >= strings->d_size ||
	    !memchr((const char *)strings->d_buf + offset, 0, strings->d_size - offset))
		return NULL;
	return (const char *)strings->d_buf + offset;
}

/* Before DWARF 5: strings up to an empty one; files with three numbers behind. */
static bool read_lists(struct program *program)
{
	struct line_table *table = program->table;
	uint64_t folder, unused;
	const char *name;

	array_push(&table->folders, NULL); /* 0: where the compiler ran */
	array_push(&table->files, (struct file){0});
	while ((name = dwarf_cursor_string(&program->cursor)) && *name)
		array_push(&table->folders, name);
	if (!name)
		return false;
	while ((name = dwarf_cursor_string(&program->cursor)) && *name) {
		if (!dwarf_cursor_uleb(&program->cursor, &folder) ||
		    !dwarf_cursor_uleb(&program->cursor, &unused) ||
		    !dwarf_cursor_uleb(&program->cursor, &unused))
			return false;
		array_push(&table->files, (struct file){.name = name, .folder = folder});
	}
	return name;
}

struct entry_format {
	uint64_t content, form;
};

/* A string in any of its forms; NULL in one that is not known here. */
static const char *read_string(struct program *program, unsigned form)
{
	const struct dwarf_format *format = &program->table->format;
	uint64_t offset;

	switch (form) {
	case DW_FORM_string:
		return dwarf_cursor_string(&program->cursor);
	case DW_FORM_strp:
	case DW_FORM_line_strp:
		if (!dwarf_cursor_number(&program->cursor, format->offset_bytes, &offset))
			return NULL;
		return string_at(form == DW_FORM_strp ? program->strings : program->line_strings,
				 offset);
	default:
		return dwarf_cursor_skip(&program->cursor, format, form) ? "?" : NULL;
	}
}

static bool read_number(struct program *program, unsigned form, uint64_t *value)
{
	int bytes = dwarf_form_bytes(&program->table->format, form);

	if (form == DW_FORM_udata)
		return dwarf_cursor_uleb(&program->cursor, value);
	return bytes > 0 && bytes <= 8 && dwarf_cursor_number(&program->cursor, bytes, value);
}

static bool read_entry(struct program *program, const struct entry_format *formats, unsigned count,
		       struct file *file)
{
	for (unsigned i = 0; i < count; i++) {
		if (formats[i].content == DW_LNCT_path) {
			file->name = read_string(program, formats[i].form);
			if (!file->name)
				return false;
		} else if (formats[i].content == DW_LNCT_directory_index) {
			if (!read_number(program, formats[i].form, &file->folder))
				return false;
		} else if (!dwarf_cursor_skip(&program->cursor, &program->table->format,
					      formats[i].form)) {
			return false;
		}
	}
	return true;
}

/* DWARF 5: both lists say themselves how their entries look. */
static bool read_described_list(struct program *program, bool folders)
{
	struct entry_format formats[FORMATS_MAX];
	uint64_t formats_n, count;

	if (!dwarf_cursor_number(&program->cursor, 1, &formats_n))
		return false;
	for (unsigned i = 0; i < formats_n; i++)
		if (!dwarf_cursor_uleb(&program->cursor, &formats[i].content) ||
		    !dwarf_cursor_uleb(&program->cursor, &formats[i].form))
			return false;
	if (!dwarf_cursor_uleb(&program->cursor, &count))
		return false;
	for (; count > 0; count--) {
		struct file file = {0};

		/* One may take no bytes: only the budget ends a list of such. */
		if (!take_item(program) || !read_entry(program, formats, formats_n, &file))
			return false;
		if (folders)
			array_push(&program->table->folders, file.name);
		else
			array_push(&program->table->files, file);
	}
	return true;
}

/* ---- the header ---- */

/* Sets the cursor to the program that follows. */
static bool read_header(struct program *program)
{
	struct dwarf_format *format = &program->table->format;
	struct dwarf_cursor *cursor = &program->cursor;
	uint64_t bytes, version, header_bytes, value;
	struct dwarf_cursor after;

	format->offset_bytes = 4;
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
	format->address_bytes = 8;
	if (version >= 5 && !dwarf_cursor_number(cursor, 2, &value))
		return false;
	if (!dwarf_cursor_number(cursor, format->offset_bytes, &header_bytes) ||
	    header_bytes > dwarf_cursor_left(cursor))
		return false;
	after = (struct dwarf_cursor){.at = cursor->at + header_bytes, .end = cursor->end};
	cursor->end = after.at;
	/* min_inst_length, max_ops_per_inst (from 4 on), default_is_stmt, line_base, line_range,
	 * opcode_base */
	if (dwarf_cursor_left(cursor) < 6)
		return false;
	program->min_bytes = *cursor->at++;
	cursor->at += 1 + (version >= 4);
	program->line_base = (int8_t)*cursor->at++;
	program->line_range = *cursor->at++;
	if (cursor->at >= cursor->end)
		return false;
	program->opcode_base = *cursor->at++;
	for (unsigned opcode = 1; opcode < program->opcode_base; opcode++) {
		if (cursor->at >= cursor->end)
			return false;
		program->operands[opcode] = *cursor->at++;
	}
	if (version >= 5
		? !read_described_list(program, true) || !read_described_list(program, false)
		: !read_lists(program))
		return false;
	*cursor = after;
	return program->line_range > 0 && program->opcode_base > 0;
}

/* ---- the program ---- */

struct state {
	uint64_t address;
	uint64_t file;
	uint32_t line;
	struct run run; /* that is being filled */
	bool in_run;
};

static void end_run(struct line_table *table, struct state *state, uint64_t end)
{
	struct run *run = &state->run;

	if (!state->in_run)
		return;
	state->in_run = false;
	run->end = end;
	run->rows_n = table->rows.count - run->rows_first;
	/* Code that the linker dropped is left at 0. */
	if (run->start == 0 || run->end <= run->start) {
		table->rows.count = run->rows_first;
		return;
	}
	range_index_add(&table->ranges, run->start, run->end, table->runs.count);
	array_push(&table->runs, *run);
}

/* Of several rows at one address the last holds. */
static void add_row(struct line_table *table, struct state *state)
{
	struct row row = {.place = {.file = state->file <= UINT32_MAX ? state->file : UINT32_MAX,
				    .line = state->line}};
	struct row *last = table->rows.count ? &table->rows.data[table->rows.count - 1] : NULL;

	if (state->in_run && (state->address < state->run.start + last->offset ||
			      state->address - state->run.start > UINT32_MAX))
		end_run(table, state, state->run.start + last->offset + 1);
	if (!state->in_run) {
		state->in_run = true;
		state->run = (struct run){.start = state->address, .rows_first = table->rows.count};
	}
	row.offset = state->address - state->run.start;
	if (table->rows.count > state->run.rows_first && last->offset == row.offset)
		*last = row;
	else if (table->rows.count == state->run.rows_first || last->place.file != row.place.file ||
		 last->place.line != row.place.line)
		array_push(&table->rows, row);
}

static void reset(struct state *state)
{
	*state = (struct state){.file = 1, .line = 1};
}

static bool run_extended(struct program *program, struct state *state)
{
	struct dwarf_cursor *cursor = &program->cursor, operand;
	uint64_t bytes, opcode;

	if (!dwarf_cursor_uleb(cursor, &bytes) || bytes == 0 || bytes > dwarf_cursor_left(cursor))
		return false;
	operand = (struct dwarf_cursor){.at = cursor->at + 1, .end = cursor->at + bytes};
	opcode = *cursor->at;
	cursor->at += bytes;
	switch (opcode) {
	case DW_LNE_end_sequence:
		end_run(program->table, state, state->address);
		reset(state);
		return true;
	case DW_LNE_set_address:
		return bytes - 1 <= 8 && dwarf_cursor_number(&operand, bytes - 1, &state->address);
	default: /* files that are defined here, discriminators, what is to come */
		return true;
	}
}

static bool run_standard(struct program *program, struct state *state, uint8_t opcode)
{
	struct dwarf_cursor *cursor = &program->cursor;
	uint64_t value = 0;
	int64_t advance;

	switch (opcode) {
	case DW_LNS_copy:
		add_row(program->table, state);
		return true;
	case DW_LNS_advance_pc:
		if (!dwarf_cursor_uleb(cursor, &value))
			return false;
		state->address += value * program->min_bytes;
		return true;
	case DW_LNS_advance_line:
		if (!dwarf_cursor_sleb(cursor, &advance))
			return false;
		state->line += (uint32_t)advance;
		return true;
	case DW_LNS_set_file:
		return dwarf_cursor_uleb(cursor, &state->file);
	case DW_LNS_const_add_pc:
		state->address += (uint64_t)((255 - program->opcode_base) / program->line_range) *
				  program->min_bytes;
		return true;
	case DW_LNS_fixed_advance_pc:
		if (!dwarf_cursor_number(cursor, 2, &value))
			return false;
		state->address += value;
		return true;
	default: /* columns, basic blocks, what is to come */
		for (unsigned i = 0; i < program->operands[opcode]; i++)
			if (!dwarf_cursor_uleb(cursor, &value))
				return false;
		return true;
	}
}

/* Where it breaks off is where what is known ends. */
static void run_program(struct program *program)
{
	struct state state;
	bool good = true;

	reset(&state);
	while (good && program->cursor.at < program->cursor.end && take_item(program)) {
		uint8_t opcode = *program->cursor.at++;

		if (opcode >= program->opcode_base) {
			unsigned special = opcode - program->opcode_base;

			state.address +=
			    (uint64_t)(special / program->line_range) * program->min_bytes;
			state.line +=
			    (uint32_t)(program->line_base + (int)(special % program->line_range));
			add_row(program->table, &state);
		} else if (opcode == 0) {
			good = run_extended(program, &state);
		} else {
			good = run_standard(program, &state, opcode);
		}
	}
	end_run(program->table, &state, state.address);
}

/* ---- the table ---- */

struct line_table *line_table_new(Elf *elf, uint64_t offset, uint64_t *items_left)
{
	struct line_table *table = xcalloc(1, sizeof(*table));
	Elf_Data *lines = dwarf_section(elf, ".debug_line");
	struct program program = {
	    .table = table,
	    .items_left = items_left,
	    .strings = dwarf_section(elf, ".debug_str"),
	    .line_strings = dwarf_section(elf, ".debug_line_str"),
	};

	if (lines && offset < lines->d_size) {
		program.cursor.at = (const uint8_t *)lines->d_buf + offset;
		program.cursor.end = (const uint8_t *)lines->d_buf + lines->d_size;
		if (read_header(&program)) {
			run_program(&program);
			range_index_sort(&table->ranges);
			return table;
		}
	}
	line_table_free(table);
	return NULL;
}

void line_table_free(struct line_table *table)
{
	if (!table)
		return;
	array_each (file, &table->files)
		free(file->path);
	array_fini(&table->rows);
	array_fini(&table->runs);
	array_fini(&table->folders);
	array_fini(&table->files);
	range_index_fini(&table->ranges);
	free(table);
}

bool line_table_find(const struct line_table *table, uint64_t vaddr, struct line_place *out)
{
	const struct range *range = range_index_find(&table->ranges, vaddr, NULL);
	const struct run *run;
	size_t low = 0, high;

	if (!range)
		return false;
	run = &table->runs.data[range->payload];
	high = run->rows_n;
	/* The last row at or before it; the first row is at the run's start. */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (run->start + table->rows.data[run->rows_first + middle].offset <= vaddr)
			low = middle;
		else
			high = middle;
	}
	*out = table->rows.data[run->rows_first + low].place;
	return true;
}

const char *line_table_file(struct line_table *table, uint64_t number)
{
	struct file *file = number < table->files.count ? &table->files.data[number] : NULL;
	const char *folder = NULL;

	if (!file || !file->name)
		return NULL;
	if (file->folder < table->folders.count)
		folder = table->folders.data[file->folder];
	if (!folder || file->name[0] == '/')
		return file->name;
	if (!file->path)
		file->path = xasprintf("%s/%s", folder, file->name);
	return file->path;
}
