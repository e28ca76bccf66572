/*
 * Call frame information of one ELF file: finds the entry (FDE) of an address in .eh_frame or
 * .debug_frame and makes it a rule. Works on bytes in memory and trusts none of them; where they
 * come from is module_cfi's business. Formats: Linux Standard Base Core 5.0, chapter 10.6;
 * DWARF 5, section 6.4.
 */
#ifndef HTRACE_UNWIND_CFI_H
#define HTRACE_UNWIND_CFI_H

#include "base/array.h"
#include "unwind/byte_reader.h"
#include "unwind/rule.h"

#include <stdbool.h>
#include <stdint.h>

/* A section's bytes, at their address in the file's own tables. */
struct cfi_section {
	const uint8_t *data;
	uint64_t size; /* bytes; 0: the file has none */
	uint64_t vaddr;
	bool debug_frame; /* its entries are laid out as in .debug_frame */
};

struct cfi_index_entry {
	uint64_t start;  /* vaddr of the first byte covered */
	uint64_t offset; /* of the FDE in its section */
};

struct cfi_index {
	ARRAY(struct cfi_index_entry) entries; /* ascending */
	bool built;
};

/* Zero it, set the sections, then cfi_open(). The bytes are borrowed until cfi_fini(). */
struct cfi {
	struct cfi_section eh_frame, eh_frame_hdr, debug_frame;
	const uint8_t *table; /* of .eh_frame_hdr: {int32 start, int32 FDE}, relative to it */
	uint64_t table_n;     /* 0: there is none that we can search; then by eh_index */
	struct cfi_index eh_index, debug_index;
};

void cfi_open(struct cfi *cfi);
void cfi_fini(struct cfi *cfi);

/* Where .eh_frame starts, as .eh_frame_hdr says; false where it does not. */
bool cfi_header_eh_frame(const struct cfi_section *eh_frame_hdr, uint64_t *vaddr);

/* The rule at `vaddr`. False: nothing covers it, or what does is damaged or not understood. */
bool cfi_rule(struct cfi *cfi, uint64_t vaddr, struct rule_table *table, struct rule *rule);

/* One entry as it was parsed, for the modules of this folder. */
struct cfi_cie {
	uint64_t code_align;
	int64_t data_align;
	uint8_t pointer_encoding; /* DW_EH_PE_* of the FDEs' addresses */
	bool augmented;           /* 'z': FDEs have a length of augmentation data */
	bool signal_frame;        /* 'S' */
	struct byte_reader program;
};

struct cfi_fde {
	struct cfi_cie cie;
	uint64_t start, end; /* vaddr range that it covers */
	const struct cfi_section *section;
	struct byte_reader program;
};

/* A pointer in one of the encodings of .eh_frame; `data_base` is what datarel adds to. */
uint64_t cfi_encoded(struct byte_reader *reader, const struct cfi_section *section,
		     uint8_t encoding, uint64_t data_base);

/* Reads the FDE at `offset`; false where there is none or it is damaged. */
bool cfi_fde_read(const struct cfi_section *section, uint64_t offset, struct cfi_fde *fde);

/* Calls for every FDE of a section in file order, until it ends or is damaged. */
void cfi_fdes_each(const struct cfi_section *section,
		   void (*each)(void *context, uint64_t offset, const struct cfi_fde *fde),
		   void *context);

/* Runs the programs of an FDE up to `vaddr`. */
bool cfi_program_run(const struct cfi_fde *fde, uint64_t vaddr, struct rule_table *table,
		     struct rule *rule);

#endif
