/* Owns the rows of one line program, and how it is run. */
#include "symbol/line_table.h"

#include "base/array.h"
#include "symbol/elf_section.h"
#include "symbol/line_header.h"
#include "symbol/range_index.h"

#include <dwarf.h>

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

struct line_table {
	struct line_header header;
	ARRAY(struct row) rows;
	ARRAY(struct run) runs;
	struct range_index ranges; /* payload: index into runs */
};

/* One that is being run. */
struct program {
	struct line_table *table;
	const struct line_header *header;
	struct dwarf_cursor cursor;
	uint64_t *items_left;
};

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
		state->address += value * program->header->min_bytes;
		return true;
	case DW_LNS_advance_line:
		if (!dwarf_cursor_sleb(cursor, &advance))
			return false;
		state->line += (uint32_t)advance;
		return true;
	case DW_LNS_set_file:
		return dwarf_cursor_uleb(cursor, &state->file);
	case DW_LNS_const_add_pc:
		state->address +=
		    (uint64_t)((255 - program->header->opcode_base) / program->header->line_range) *
		    program->header->min_bytes;
		return true;
	case DW_LNS_fixed_advance_pc:
		if (!dwarf_cursor_number(cursor, 2, &value))
			return false;
		state->address += value;
		return true;
	default: /* columns, basic blocks, what is to come */
		for (unsigned i = 0; i < program->header->operands[opcode]; i++)
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
	while (good && program->cursor.at < program->cursor.end &&
	       dwarf_take_item(program->items_left)) {
		uint8_t opcode = *program->cursor.at++;

		if (opcode >= program->header->opcode_base) {
			unsigned special = opcode - program->header->opcode_base;

			state.address += (uint64_t)(special / program->header->line_range) *
					 program->header->min_bytes;
			state.line += (uint32_t)(program->header->line_base +
						 (int)(special % program->header->line_range));
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
	Elf_Data *lines = elf_section_data(elf, ".debug_line");
	struct line_table *table;
	struct program program = {.items_left = items_left};

	if (!lines || offset >= lines->d_size)
		return NULL;
	program.cursor.at = (const uint8_t *)lines->d_buf + offset;
	program.cursor.end = (const uint8_t *)lines->d_buf + lines->d_size;
	table = xcalloc(1, sizeof(*table));
	program.table = table;
	program.header = &table->header;
	if (!line_header_read(&table->header, elf, &program.cursor, items_left)) {
		line_table_free(table);
		return NULL;
	}
	run_program(&program);
	range_index_sort(&table->ranges);
	return table;
}

void line_table_free(struct line_table *table)
{
	if (!table)
		return;
	line_header_fini(&table->header);
	array_fini(&table->rows);
	array_fini(&table->runs);
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
	const struct line_header *header = &table->header;
	struct line_file *file = number < header->files.count ? &header->files.data[number] : NULL;
	const char *folder = NULL;

	if (!file || !file->name)
		return NULL;
	if (file->folder < header->folders.count)
		folder = header->folders.data[file->folder];
	if (!folder || file->name[0] == '/')
		return file->name;
	if (!file->path)
		file->path = xasprintf("%s/%s", folder, file->name);
	return file->path;
}
