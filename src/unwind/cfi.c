/* Owns the search for the FDE of an address: .eh_frame_hdr's table, or an index of our own. */
#include "unwind/cfi.h"

#include <dwarf.h>

struct header {
	uint64_t eh_frame; /* vaddr */
	struct byte_reader table;
	uint64_t count;
};

/* Linux Standard Base Core 5.0, 10.6.2. Only the table that every linker writes is taken. */
static bool header_read(const struct cfi_section *section, struct header *header)
{
	uint8_t version, frame, count, table;
	struct byte_reader reader;

	*header = (struct header){0};
	if (!section->size)
		return false;
	reader = (struct byte_reader){.at = section->data, .end = section->data + section->size};
	version = reader_unsigned(&reader, 1);
	frame = reader_unsigned(&reader, 1);
	count = reader_unsigned(&reader, 1);
	table = reader_unsigned(&reader, 1);
	if (reader.failed || version != 1 || frame == DW_EH_PE_omit || frame & DW_EH_PE_indirect)
		return false;
	header->eh_frame = cfi_encoded(&reader, section, frame, section->vaddr);
	if (reader.failed)
		return false;
	if (count == DW_EH_PE_omit || table != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
		return true;
	header->count = cfi_encoded(&reader, section, count, section->vaddr);
	header->table = reader;
	if (header->count > reader_left(&reader) / 8)
		header->count = reader_left(&reader) / 8;
	return true;
}

bool cfi_header_eh_frame(const struct cfi_section *eh_frame_hdr, uint64_t *vaddr)
{
	struct header header;

	if (!header_read(eh_frame_hdr, &header))
		return false;
	*vaddr = header.eh_frame;
	return true;
}

void cfi_open(struct cfi *cfi)
{
	struct header header;

	cfi->debug_frame.debug_frame = true;
	if (!cfi->eh_frame.size || !header_read(&cfi->eh_frame_hdr, &header) ||
	    header.eh_frame != cfi->eh_frame.vaddr)
		return;
	cfi->table = header.table.at;
	cfi->table_n = header.count;
}

void cfi_fini(struct cfi *cfi)
{
	array_fini(&cfi->eh_index.entries);
	array_fini(&cfi->debug_index.entries);
}

/* The header table's row `row`: two int32 relative to the header. */
static uint64_t table_address(const struct cfi *cfi, uint64_t row, unsigned column)
{
	int32_t value;

	memcpy(&value, cfi->table + 8 * row + 4 * column, sizeof(value));
	return cfi->eh_frame_hdr.vaddr + value;
}

/* The offset of the last FDE that starts at or before `vaddr`, by the header's table. */
static bool find_in_table(const struct cfi *cfi, uint64_t vaddr, uint64_t *offset)
{
	uint64_t low = 0, high = cfi->table_n;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (table_address(cfi, middle, 0) <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return false;
	*offset = table_address(cfi, low - 1, 1) - cfi->eh_frame.vaddr;
	return *offset < cfi->eh_frame.size;
}

static void add_to_index(void *context, uint64_t offset, const struct cfi_fde *fde)
{
	struct cfi_index *index = context;

	array_push(&index->entries, (struct cfi_index_entry){fde->start, offset});
}

static int compare_entries(const void *a, const void *b)
{
	const struct cfi_index_entry *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

static bool find_in_index(struct cfi_index *index, const struct cfi_section *section,
			  uint64_t vaddr, uint64_t *offset)
{
	size_t low = 0, high;

	if (!index->built) {
		cfi_fdes_each(section, add_to_index, index);
		if (index->entries.count)
			qsort(index->entries.data, index->entries.count,
			      sizeof(index->entries.data[0]), compare_entries);
		index->built = true;
	}
	high = index->entries.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (index->entries.data[middle].start <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return false;
	*offset = index->entries.data[low - 1].offset;
	return true;
}

static bool covers(const struct cfi_section *section, uint64_t offset, uint64_t vaddr,
		   struct cfi_fde *fde)
{
	return cfi_fde_read(section, offset, fde) && fde->start <= vaddr && vaddr < fde->end;
}

bool cfi_rule(struct cfi *cfi, uint64_t vaddr, struct rule_table *table, struct rule *rule)
{
	struct cfi_fde fde;
	uint64_t offset;
	bool found = false;

	if (cfi->table_n)
		found = find_in_table(cfi, vaddr, &offset);
	else if (cfi->eh_frame.size)
		found = find_in_index(&cfi->eh_index, &cfi->eh_frame, vaddr, &offset);
	if (found && covers(&cfi->eh_frame, offset, vaddr, &fde) &&
	    cfi_program_run(&fde, vaddr, table, rule))
		return true;
	return cfi->debug_frame.size &&
	       find_in_index(&cfi->debug_index, &cfi->debug_frame, vaddr, &offset) &&
	       covers(&cfi->debug_frame, offset, vaddr, &fde) &&
	       cfi_program_run(&fde, vaddr, table, rule);
}
