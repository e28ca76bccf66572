/* Owns the rules. Knows CFI by libdw only. */
#include "differences.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "unwind/stack_copy.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <string.h>
#include <unistd.h>

enum {
	ENTRY_BYTES = 16, /* ld.so's _start: mov %rsp,%rdi; call _dl_start; what follows the call */
	LEAF_BYTES = 4096, /* a function without a frame is shorter */
};

struct cfi_file {
	Elf *elf;
	Dwarf *dwarf;
	Dwarf_CFI *eh, *debug; /* NULL: there is none */
	uint64_t entry;
};

/* Where the CFI of a pc says that the return address is. */
enum answer {
	ANSWER_NO_CFI,
	ANSWER_UNDEFINED, /* the outermost frame */
	ANSWER_REGISTER,
	ANSWER_MEMORY,
};

static const char *const texts[DIFFERENCES_N] = {
    [DIFFERENCE_NONE] = "equal",
    [DIFFERENCE_LEAF] =
	"leaf: a function without CFI or frame was called directly, as the word at sp and the code "
	"before it show; libdwfl follows rbp, which is still the caller's, and loses the caller",
    [DIFFERENCE_NOT_CALLED] =
	"not called: no CFI, and no call instruction precedes what libdwfl takes for the return "
	"address, so rbp is no frame pointer there; we stop before that frame",
    [DIFFERENCE_LOST_CFA] =
	"lost CFA: the CFA hangs on a register (rbx in _dl_runtime_resolve) that libdwfl does not "
	"carry "
	"on from a frame that has not saved it yet, so it stops there and says complete",
    [DIFFERENCE_ENTRY] = "entry: the last frame is the file's entry point, which nobody called; it "
			 "has no CFI, which "
			 "libdwfl says instead of complete",
    [DIFFERENCE_OUTERMOST] =
	"outermost: no CFI, and the last frame's rbp is 0, the ABI's mark of the outermost frame; "
	"libdwfl says that it has no CFI",
    [DIFFERENCE_NO_RULE] = "no rule: no CFI, and rbp leads nowhere, so we say that a rule is "
			   "missing; libdwfl says what "
			   "it found there (no memory, no code)",
    [DIFFERENCE_LOST_REGISTER] = "lost register: the rule needs a register that no event brings or "
				 "no frame kept; libdwfl takes "
				 "that for the outermost frame",
    [DIFFERENCE_NOT_COPIED] = "not copied: the return address lies outside of what was copied, so "
			      "the stack is not complete; "
			      "libdwfl takes that for the outermost frame",
    [DIFFERENCE_UNEXPLAINED] = "UNEXPLAINED",
};

const char *difference_text(enum difference difference)
{
	return texts[difference];
}

static struct cfi_file *file_get(struct differences *differences, const struct module *module)
{
	struct cfi_file *file = map_get_pointer(&differences->files, (uintptr_t)module);
	GElf_Ehdr header;

	if (file)
		return file;
	file = xcalloc(1, sizeof(*file));
	map_put_pointer(&differences->files, (uintptr_t)module, file);
	elf_version(EV_CURRENT);
	file->elf = module->fd >= 0 ? elf_begin(module->fd, ELF_C_READ_MMAP, NULL) : NULL;
	if (!file->elf)
		return file;
	if (gelf_getehdr(file->elf, &header))
		file->entry = header.e_entry;
	file->eh = dwarf_getcfi_elf(file->elf);
	file->dwarf = dwarf_begin_elf(file->elf, DWARF_C_READ, NULL);
	if (file->dwarf)
		file->debug = dwarf_getcfi(file->dwarf);
	return file;
}

void differences_fini(struct differences *differences)
{
	map_each (entry, &differences->files) {
		struct cfi_file *file = (struct cfi_file *)(uintptr_t)entry->value;

		if (file->eh)
			dwarf_cfi_end(file->eh);
		if (file->dwarf)
			dwarf_end(file->dwarf);
		if (file->elf)
			elf_end(file->elf);
		free(file);
	}
	map_fini(&differences->files);
	map_fini(&differences->calls);
}

static enum answer answer_of(Dwarf_Frame *frame)
{
	Dwarf_Op memory[3], *ops;
	size_t ops_n;
	int number = dwarf_frame_info(frame, NULL, NULL, NULL);

	if (number < 0 || dwarf_frame_register(frame, number, memory, &ops, &ops_n) < 0)
		return ANSWER_NO_CFI;
	if (ops_n == 0)
		return ops == memory ? ANSWER_UNDEFINED : ANSWER_REGISTER;
	if (ops_n == 1 &&
	    (ops->atom == DW_OP_regx || (ops->atom >= DW_OP_reg0 && ops->atom <= DW_OP_reg31)))
		return ANSWER_REGISTER;
	return ANSWER_MEMORY;
}

/* What libdw has for a frame; NULL: no CFI. To be freed. */
static Dwarf_Frame *find_cfi(struct differences *differences, const struct capture *capture,
			     const struct frame *frame)
{
	const struct image *image = image_table_get(capture->images, frame->image);
	struct cfi_file *file;
	Dwarf_Frame *found;
	uint64_t vaddr;

	if (!image || !image->bias_known)
		return NULL;
	file = file_get(differences, image->module);
	vaddr = frame->pc - image->bias - (frame->exact ? 0 : 1);
	if (file->eh && dwarf_cfi_addrframe(file->eh, vaddr, &found) == 0)
		return found;
	if (file->debug && dwarf_cfi_addrframe(file->debug, vaddr, &found) == 0)
		return found;
	return NULL;
}

static enum answer ask(struct differences *differences, const struct capture *capture,
		       const struct frame *frame)
{
	_cleanup_(free) Dwarf_Frame *found = find_cfi(differences, capture, frame);

	return found ? answer_of(found) : ANSWER_NO_CFI;
}

/* Does the CFA of a frame hang on a register other than rsp (7) and rbp (6)? */
static bool has_other_cfa(struct differences *differences, const struct capture *capture,
			  const struct frame *frame)
{
	_cleanup_(free) Dwarf_Frame *found = find_cfi(differences, capture, frame);
	Dwarf_Op *ops;
	size_t ops_n;

	if (!found || dwarf_frame_cfa(found, &ops, &ops_n) < 0 || ops_n == 0)
		return false;
	if (ops->atom == DW_OP_bregx)
		return ops->number != 6 && ops->number != 7;
	return ops->atom >= DW_OP_breg0 && ops->atom <= DW_OP_breg31 && ops->atom != DW_OP_breg6 &&
	       ops->atom != DW_OP_breg7;
}

static bool read_word(const struct capture *capture, uint64_t address, uint64_t *out)
{
	struct stack_copy copy;
	struct trail trail;

	stack_copy_init(&copy, &capture->event, &trail);
	return stack_copy_read(&copy, address, out);
}

/* The `bytes` bytes of code that end at the return address of `frame`. */
static bool read_code(const struct capture *capture, const struct frame *frame, uint8_t *out,
		      size_t bytes)
{
	const struct image *image = image_table_get(capture->images, frame->image);
	uint64_t vaddr;

	if (!image || !image->bias_known)
		return false;
	vaddr = frame->pc - image->bias - bytes;
	array_each (segment, &image->module->elf.segments) {
		uint64_t offset = vaddr - segment->vaddr;

		if (offset < segment->file_bytes)
			return pread(image->module->fd, out, bytes,
				     segment->file_offset + offset) == (ssize_t)bytes;
	}
	return false;
}

/* Is there, right before `caller`, a call of something that begins shortly before `pc`? */
static bool follows_call_of(const struct capture *capture, const struct frame *caller, uint64_t pc)
{
	uint8_t code[5];
	int32_t distance;

	if (!read_code(capture, caller, code, sizeof(code)) || code[0] != 0xe8)
		return false;
	memcpy(&distance, code + 1, sizeof(distance));
	return pc - (caller->pc + distance) < LEAF_BYTES;
}

/* e8 rel32, or ff /2 with any operand; true where the code cannot be read. */
static bool follows_call(const struct capture *capture, const struct frame *frame)
{
	uint8_t code[8];

	if (!read_code(capture, frame, code, sizeof(code)))
		return true;
	if (code[3] == 0xe8)
		return true;
	for (unsigned i = 0; i <= 6; i++)
		if (code[i] == 0xff && (code[i + 1] & 0x38) == 0x10)
			return true;
	return false;
}

bool last_is_not_called(struct differences *differences, const struct capture *capture,
			const struct comparison *comparison)
{
	const struct frame *frame = &comparison->cfi[comparison->cfi_n - 1];
	uint64_t *known = map_put(&differences->calls, hash_combine(frame->image, frame->pc));

	if (frame->exact || comparison->cfi_end == STACK_END_COMPLETE)
		return false;
	if (!*known)
		*known = follows_call(capture, frame) ? 1 : 2;
	return *known == 2;
}

static bool frames_equal(const struct frame *a, const struct frame *b, uint32_t count)
{
	return count == 0 || !memcmp(a, b, count * sizeof(*a));
}

/* The innermost function, or one that a signal interrupted. */
static bool is_leaf(struct differences *differences, const struct capture *capture,
		    const struct comparison *comparison)
{
	const struct frame *cfi = comparison->cfi, *dwfl = comparison->dwfl;
	uint32_t at = 0;
	uint64_t word;

	while (at < comparison->dwfl_n && at < comparison->cfi_n &&
	       frames_equal(&cfi[at], &dwfl[at], 1))
		at++;
	return at > 0 && at < comparison->cfi_n && comparison->cfi_n > comparison->dwfl_n &&
	       cfi[at - 1].exact && ask(differences, capture, &cfi[at - 1]) == ANSWER_NO_CFI &&
	       (at > 1 ||
		(read_word(capture, capture->event.registers.sp, &word) && word == cfi[1].pc)) &&
	       follows_call_of(capture, &cfi[at], cfi[at - 1].pc) &&
	       frames_equal(cfi + at + 1, dwfl + at, comparison->dwfl_n - at);
}

static bool is_not_called(struct differences *differences, const struct capture *capture,
			  const struct comparison *comparison)
{
	uint32_t count = comparison->cfi_n;

	return count < comparison->dwfl_n && comparison->cfi_end == STACK_END_NO_CFI &&
	       frames_equal(comparison->cfi, comparison->dwfl, count) &&
	       ask(differences, capture, &comparison->cfi[count - 1]) == ANSWER_NO_CFI &&
	       !follows_call(capture, &comparison->dwfl[count]);
}

static bool is_lost_cfa(struct differences *differences, const struct capture *capture,
			const struct comparison *comparison)
{
	uint32_t count = comparison->dwfl_n;

	return count < comparison->cfi_n && comparison->dwfl_end == STACK_END_COMPLETE &&
	       frames_equal(comparison->cfi, comparison->dwfl, count) &&
	       has_other_cfa(differences, capture, &comparison->dwfl[count - 1]);
}

static bool is_entry(struct differences *differences, const struct capture *capture,
		     const struct frame *frame)
{
	const struct image *image = image_table_get(capture->images, frame->image);
	const struct cfi_file *file;

	if (!image || !image->bias_known)
		return false;
	file = file_get(differences, image->module);
	return file->entry && frame->pc - image->bias - file->entry <= ENTRY_BYTES;
}

/* Is rbp 0 from the start, or in the record {0, last return address} of the stack? */
static bool has_outermost_record(const struct capture *capture, const struct comparison *comparison)
{
	const struct event_syscall *event = &capture->event;
	uint64_t pc = comparison->cfi[comparison->cfi_n - 1].pc;

	if (event->registers.bp == 0)
		return true;
	for (unsigned i = 0; i < event->stacks_n; i++) {
		uint64_t start = event->stacks[i].start, record[2];

		for (uint64_t at = start; read_word(capture, at + 8, &record[1]); at += 8)
			if (record[1] == pc && read_word(capture, at, &record[0]) && record[0] == 0)
				return true;
	}
	return false;
}

/* The frames are equal, or ours are right: why our end is, too. */
static enum difference end_difference(struct differences *differences,
				      const struct capture *capture,
				      const struct comparison *comparison)
{
	const struct frame *last = &comparison->cfi[comparison->cfi_n - 1];
	enum answer answer = ask(differences, capture, last);
	enum stack_end end = comparison->cfi_end, dwfl_end = comparison->dwfl_end;

	if (answer == ANSWER_NO_CFI && end == STACK_END_COMPLETE) {
		if (is_entry(differences, capture, last))
			return DIFFERENCE_ENTRY;
		if (has_outermost_record(capture, comparison))
			return DIFFERENCE_OUTERMOST;
	}
	if (answer == ANSWER_NO_CFI && end == STACK_END_NO_CFI && dwfl_end != STACK_END_COMPLETE)
		return DIFFERENCE_NO_RULE;
	if ((answer == ANSWER_REGISTER || answer == ANSWER_MEMORY) && end == STACK_END_NO_CFI &&
	    dwfl_end == STACK_END_COMPLETE)
		return DIFFERENCE_LOST_REGISTER;
	if (answer == ANSWER_MEMORY && (end == STACK_END_BAD_READ || end == STACK_END_TRUNCATED) &&
	    dwfl_end == STACK_END_COMPLETE)
		return DIFFERENCE_NOT_COPIED;
	return DIFFERENCE_UNEXPLAINED;
}

enum difference difference_of(struct differences *differences, const struct capture *capture,
			      const struct comparison *comparison)
{
	bool same_frames = comparison->cfi_n == comparison->dwfl_n &&
			   frames_equal(comparison->cfi, comparison->dwfl, comparison->cfi_n);
	bool same_end = comparison->cfi_end == comparison->dwfl_end;

	if (same_frames)
		return same_end ? DIFFERENCE_NONE
				: end_difference(differences, capture, comparison);
	if (is_not_called(differences, capture, comparison))
		return DIFFERENCE_NOT_CALLED;
	if (is_lost_cfa(differences, capture, comparison))
		return DIFFERENCE_LOST_CFA;
	if (!is_leaf(differences, capture, comparison))
		return DIFFERENCE_UNEXPLAINED;
	/* Where libdwfl stopped at the leaf, its reason says nothing of our end. */
	if (same_end || comparison->dwfl_n == 1 ||
	    end_difference(differences, capture, comparison) != DIFFERENCE_UNEXPLAINED)
		return DIFFERENCE_LEAF;
	return DIFFERENCE_UNEXPLAINED;
}
