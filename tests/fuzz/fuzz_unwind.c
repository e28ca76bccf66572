/*
 * The whole way from hostile bytes to frames: sections of call frame information, a stack and
 * registers come from the input. Once as an expression, once by the parts alone, once as an ELF
 * file that the unwinder opens itself: what it makes of it must not depend on its cache.
 *
 * Input: struct input_head, then .eh_frame_hdr, .eh_frame (or .debug_frame) and the stack, of the
 * sizes that it says; what is missing at the end is left out. Code that the unwinder looks at
 * stands in the sections' bytes too.
 */
#include "../unit/unwind_file.h"
#include "base/alloc.h"
#include "unwind/cfi.h"
#include "unwind/expr.h"
#include "unwind/unwind.h"

#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	BIAS = 0x100000,
	SECTIONS_VADDR = UNWIND_FILE_SECTIONS,
	IMAGE_BYTES = UNWIND_FILE_MAPPED_BYTES,
	STACK_START = 0x200000,
	STACK_BYTES_MAX = 4096,
	APPLY_MAX = 64,
};

enum input_flags {
	INPUT_PIECE_FLAGS = 3, /* enum event_stack_flags of the stack's first piece */
	INPUT_SECTION_HEADERS = 4,
	INPUT_DEBUG_FRAME = 8, /* the file has the frames as .debug_frame; needs section headers */
	INPUT_COMPRESSED = 16, /* ... which says that it is compressed */
	INPUT_ENTRY = 32,      /* the program starts at ip */
	INPUT_NO_FRAME_HDR = 64,
};

struct input_head {
	uint16_t header_bytes, frame_bytes, ip, sp; /* ip: vaddr; sp: offset in the stack */
	uint16_t bp, bx, flags, split;              /* offsets; bytes of the stack's first piece */
};

struct input {
	struct input_head head;
	struct cfi_section eh_frame_hdr, eh_frame;
	uint8_t stack[STACK_BYTES_MAX];
	uint32_t stack_bytes;
};

static struct event_syscall *make_event(const struct input *input)
{
	struct event_syscall *event = xcalloc(1, sizeof(*event) + input->stack_bytes);
	uint32_t split = input->head.split & ~7u;

	if (split > input->stack_bytes)
		split = input->stack_bytes;
	event->header.type = EVENT_SYSCALL;
	event->header.size = sizeof(*event) + input->stack_bytes;
	event->phase = EVENT_ENTER;
	event->stacks_n = 2;
	event->stacks[0] =
	    (struct event_stack){STACK_START, split, input->head.flags & INPUT_PIECE_FLAGS};
	event->stacks[1] = (struct event_stack){STACK_START + 0x10000, input->stack_bytes - split,
						EVENT_STACK_CUT};
	event->registers = (struct event_registers){
	    .ip = BIAS + input->head.ip,
	    .sp = STACK_START + input->head.sp,
	    .bp = input->head.bp ? STACK_START + input->head.bp : 0,
	    .bx = STACK_START + input->head.bx,
	    .r12 = STACK_START + 8,
	};
	memcpy(event->bytes, input->stack, input->stack_bytes);
	return event;
}

static void all_known(struct registers *registers, uint64_t rip)
{
	registers->known = (1u << REGISTERS_N) - 1;
	for (unsigned n = 0; n < REGISTERS_N; n++)
		registers->value[n] = STACK_START + 8 * n;
	registers->value[REGISTER_RIP] = rip;
}

/* The frames' bytes as one expression, and the stack's. */
static void try_expression(const struct input *input, const struct event_syscall *event)
{
	const uint64_t cfa = STACK_START + input->head.sp;
	struct registers registers;
	struct stack_copy copy;
	struct trail trail;
	uint64_t value, bad;

	all_known(&registers, input->head.ip);
	stack_copy_init(&copy, event, &trail);
	expr_evaluate(input->eh_frame.data, input->eh_frame.size, NULL, &copy, &registers, &value,
		      &bad);
	registers.known = 1u << REGISTER_RSP;
	expr_evaluate(event->bytes, input->stack_bytes, &cfa, &copy, &registers, &value, &bad);
}

/* Search, programs, rules and expressions, without a file around them. */
static void try_parts(const struct input *input, const struct event_syscall *event, bool debug)
{
	struct cfi cfi = {.eh_frame_hdr = input->eh_frame_hdr};
	struct rule_table table;
	struct stack_copy copy;
	struct trail trail;
	struct rule rule;
	uint64_t bad;

	*(debug ? &cfi.debug_frame : &cfi.eh_frame) = input->eh_frame;
	cfi_open(&cfi);
	rule_table_init(&table);
	stack_copy_init(&copy, event, &trail);
	for (unsigned i = 0; i < APPLY_MAX; i++) {
		struct registers registers;

		all_known(&registers, input->head.ip + i);
		if (i & 1) /* as a frame further out has them */
			registers.known &= ~0x38u;
		if (cfi_rule(&cfi, input->head.ip + i, &table, &rule)) {
			rule_intern(&table, &rule);
			rule_apply(&rule, &table, &copy, &registers, &bad);
		}
	}
	rule_table_fini(&table);
	cfi_fini(&cfi);
}

/*
 * Three times: what the first leaves in the cache must not change the second, nor a new generation
 * of the address space in which the same file lies.
 */
static void unwind_repeatedly(struct unwinder *unwinder, struct address_space *space,
			      const struct event_syscall *event)
{
	struct frame first[STACK_FRAMES_MAX], frames[STACK_FRAMES_MAX];
	enum stack_end first_end, end;
	uint32_t first_n, frames_n;

	first_end = unwinder_cfi.unwind(unwinder, space, event, first, &first_n);
	if (first_n > STACK_FRAMES_MAX || first_end >= STACK_END_N)
		abort();
	for (unsigned i = 0; i < 2; i++) {
		end = unwinder_cfi.unwind(unwinder, space, event, frames, &frames_n);
		if (end != first_end || frames_n != first_n)
			abort();
		for (uint32_t n = 0; n < frames_n; n++)
			if (frames[n].pc != first[n].pc || frames[n].image != first[n].image ||
			    frames[n].exact != first[n].exact)
				abort();
		/* Cuts a mapping in two, so that nothing becomes or ceases to be code. */
		address_space_map(space, BIAS + 2 * IMAGE_BYTES, BIAS + 2 * IMAGE_BYTES + 4096, 0);
	}
}

static void try_file(const struct input *input, const struct event_syscall *event)
{
	const unsigned flags = input->head.flags;
	const struct unwind_file file = {
	    .header = input->eh_frame_hdr.data,
	    .header_bytes = input->eh_frame_hdr.size,
	    .frames = input->eh_frame.data,
	    .frames_bytes = input->eh_frame.size,
	    .entry = flags & INPUT_ENTRY ? input->head.ip : 0,
	    .has_header = !(flags & INPUT_NO_FRAME_HDR),
	    .section_headers = flags & INPUT_SECTION_HEADERS,
	    .debug_frame = flags & INPUT_DEBUG_FRAME,
	    .compressed = flags & INPUT_COMPRESSED,
	};
	int fd = unwind_file_make(&file);
	struct image_table *images;
	struct address_space *space;
	struct unwinder *unwinder;

	if (fd < 0)
		return;
	images = image_table_new();
	space = address_space_new();
	unwinder = unwinder_cfi.create(images);
	address_space_map(space, BIAS, BIAS + IMAGE_BYTES, unwind_file_map(images, fd, BIAS));
	address_space_map(space, BIAS + 2 * IMAGE_BYTES, BIAS + 3 * IMAGE_BYTES, 0);
	unwind_repeatedly(unwinder, space, event);
	close(fd);
	unwinder_cfi.destroy(unwinder);
	address_space_free(space);
	image_table_free(images);
}

/* Takes a section of `bytes` bytes from the front of the input. */
static struct cfi_section take(const uint8_t **data, size_t *size, size_t bytes, uint64_t vaddr)
{
	struct cfi_section section = {.vaddr = vaddr};

	if (bytes > *size)
		bytes = *size;
	section.size = bytes;
	section.data = *data;
	*data += bytes;
	*size -= bytes;
	return section;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct input input;
	struct event_syscall *event;
	struct cfi_section stack;

	if (size < sizeof(input.head))
		return 0;
	memcpy(&input.head, data, sizeof(input.head));
	data += sizeof(input.head);
	size -= sizeof(input.head);
	input.eh_frame_hdr = take(&data, &size, input.head.header_bytes % 4096, SECTIONS_VADDR);
	input.eh_frame = take(&data, &size, input.head.frame_bytes % 16384,
			      SECTIONS_VADDR + input.eh_frame_hdr.size);
	stack = take(&data, &size, STACK_BYTES_MAX, 0);
	input.stack_bytes = stack.size & ~7u;
	memcpy(input.stack, stack.data, input.stack_bytes);
	event = make_event(&input);
	try_expression(&input, event);
	try_parts(&input, event, false);
	try_parts(&input, event, true);
	try_file(&input, event);
	free(event);
	return 0;
}
