/* Owns the layout of CIEs and FDEs; does not know how one is found or what its program means. */
#include "unwind/cfi.h"

#include <dwarf.h>

enum { RETURN_ADDRESS_COLUMN = REGISTER_RIP };

struct entry {
	struct byte_reader body; /* what follows the CIE pointer */
	uint64_t next;           /* offset of the next entry */
	uint64_t cie;            /* offset of its CIE */
	bool is_cie;
	bool is_end; /* a zero length: .eh_frame ends */
};

uint64_t cfi_encoded(struct byte_reader *reader, const struct cfi_section *section,
		     uint8_t encoding, uint64_t data_base)
{
	uint64_t here = section->vaddr + (reader->at - section->data);
	uint64_t value;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = reader_unsigned(reader, 8);
		break;
	case DW_EH_PE_uleb128:
		value = reader_uleb(reader);
		break;
	case DW_EH_PE_udata2:
		value = reader_unsigned(reader, 2);
		break;
	case DW_EH_PE_udata4:
		value = reader_unsigned(reader, 4);
		break;
	case DW_EH_PE_sleb128:
		value = reader_sleb(reader);
		break;
	case DW_EH_PE_sdata2:
		value = reader_signed(reader, 2);
		break;
	case DW_EH_PE_sdata4:
		value = reader_signed(reader, 4);
		break;
	default:
		reader->failed = true;
		return 0;
	}
	switch (encoding & 0x70) {
	case DW_EH_PE_absptr:
		return value;
	case DW_EH_PE_pcrel:
		return value + here;
	case DW_EH_PE_datarel:
		return value + data_base;
	default: /* textrel, funcrel and aligned: x86-64 tools write none */
		reader->failed = true;
		return 0;
	}
}

/*
 * The head of the entry at `offset`. In .eh_frame the CIE pointer counts back from itself, and a
 * CIE has 0 in its place; in .debug_frame it is an offset, and a CIE has all ones.
 */
static bool entry_read(const struct cfi_section *section, uint64_t offset, struct entry *entry)
{
	struct byte_reader reader = {.at = section->data, .end = section->data + section->size};
	uint64_t length, pointer, at;
	unsigned bytes = 4;

	*entry = (struct entry){0};
	reader_take(&reader, offset);
	length = reader_unsigned(&reader, 4);
	if (reader.failed)
		return false;
	if (length == 0) {
		entry->is_end = true;
		return true;
	}
	if (length == 0xffffffff) {
		length = reader_unsigned(&reader, 8);
		bytes = section->debug_frame ? 8 : 4;
	}
	if (length > reader_left(&reader))
		return false;
	reader.end = reader.at + length;
	entry->next = reader.end - section->data;
	at = reader.at - section->data;
	pointer = reader_unsigned(&reader, bytes);
	if (section->debug_frame) {
		entry->is_cie = pointer == (bytes == 8 ? UINT64_MAX : UINT32_MAX);
		entry->cie = pointer;
	} else {
		entry->is_cie = pointer == 0;
		entry->cie = at - pointer;
	}
	entry->body = reader;
	return !reader.failed;
}

/* The augmentation string without its 'z', each letter of which has its data in order. */
static void read_augmentation(const struct cfi_section *section, const char *letters,
			      struct byte_reader data, struct cfi_cie *cie)
{
	uint8_t encoding;

	for (; *letters && !data.failed; letters++) {
		switch (*letters) {
		case 'R':
			cie->pointer_encoding = reader_unsigned(&data, 1);
			break;
		case 'P':
			encoding = reader_unsigned(&data, 1);
			cfi_encoded(&data, section, encoding & 0x7f, 0);
			break;
		case 'L':
			reader_unsigned(&data, 1);
			break;
		case 'S':
			cie->signal_frame = true;
			break;
		case 'B': /* another architecture's */
			break;
		default: /* its data cannot be skipped, but the whole of it ends where 'z' says */
			return;
		}
	}
}

static bool cie_read(const struct cfi_section *section, uint64_t offset, struct cfi_cie *cie)
{
	struct byte_reader *reader, data;
	const char *letters;
	struct entry entry;
	size_t letters_n;
	uint8_t version;

	*cie = (struct cfi_cie){.pointer_encoding = DW_EH_PE_absptr};
	if (!entry_read(section, offset, &entry) || !entry.is_cie)
		return false;
	reader = &entry.body;
	version = reader_unsigned(reader, 1);
	letters = (const char *)reader->at;
	letters_n = strnlen(letters, reader_left(reader));
	reader_take(reader, letters_n + 1);
	if (version == 4) { /* address and segment selector size */
		if (reader_unsigned(reader, 1) != 8 || reader_unsigned(reader, 1) != 0)
			return false;
	}
	cie->code_align = reader_uleb(reader);
	cie->data_align = reader_sleb(reader);
	if ((version == 1 ? reader_unsigned(reader, 1) : reader_uleb(reader)) !=
	    RETURN_ADDRESS_COLUMN)
		return false;
	if (reader->failed || (version != 1 && version != 3 && version != 4))
		return false;
	if (letters[0] == 'z') {
		uint64_t size = reader_uleb(reader);

		data = *reader;
		if (!reader_take(reader, size))
			return false;
		data.end = reader->at;
		cie->augmented = true;
		read_augmentation(section, letters + 1, data, cie);
	} else if (letters[0]) {
		return false;
	}
	cie->program = *reader;
	return !reader->failed;
}

/* What follows an FDE's CIE pointer, once its CIE is known. */
static bool fde_body_read(const struct cfi_section *section, struct byte_reader reader,
			  struct cfi_fde *fde)
{
	uint8_t encoding = fde->cie.pointer_encoding;
	uint64_t range;

	fde->section = section;
	if (encoding & DW_EH_PE_indirect)
		return false;
	fde->start = cfi_encoded(&reader, section, encoding, 0);
	range = cfi_encoded(&reader, section, encoding & 0x0f, 0);
	/* The length of a signed encoding may be negative, and then seem to be very long. */
	if ((int64_t)range <= 0 || __builtin_add_overflow(fde->start, range, &fde->end))
		return false;
	if (fde->cie.augmented)
		reader_take(&reader, reader_uleb(&reader));
	fde->program = reader;
	return !reader.failed;
}

bool cfi_fde_read(const struct cfi_section *section, uint64_t offset, struct cfi_fde *fde)
{
	struct entry entry;

	return entry_read(section, offset, &entry) && !entry.is_end && !entry.is_cie &&
	       cie_read(section, entry.cie, &fde->cie) && fde_body_read(section, entry.body, fde);
}

void cfi_fdes_each(const struct cfi_section *section,
		   void (*each)(void *context, uint64_t offset, const struct cfi_fde *fde),
		   void *context)
{
	uint64_t cie_offset = UINT64_MAX;
	bool cie_good = false;
	struct cfi_fde fde;
	struct entry entry;

	for (uint64_t offset = 0; entry_read(section, offset, &entry); offset = entry.next) {
		if (entry.is_end) {
			/* In .debug_frame it is nothing but padding. */
			if (!section->debug_frame)
				return;
			entry.next = offset + 4;
			continue;
		}
		if (entry.is_cie)
			continue;
		/* Most FDEs in a row have the same CIE. */
		if (entry.cie != cie_offset) {
			cie_offset = entry.cie;
			cie_good = cie_read(section, cie_offset, &fde.cie);
		}
		if (cie_good && fde_body_read(section, entry.body, &fde))
			each(context, offset, &fde);
	}
}
