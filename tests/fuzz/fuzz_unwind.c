/*
 * The whole way from hostile bytes to frames: sections of call frame information, a stack and
 * registers come from the input. Once by the parts alone, once as an ELF file that the unwinder
 * opens itself.
 *
 * Input: struct input_head, then .eh_frame_hdr, .eh_frame and the stack, of the sizes that it
 * says; what is missing at the end is left out.
 */
#include "base/alloc.h"
#include "os/image.h"
#include "unwind/cfi.h"
#include "unwind/unwind.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	BIAS = 0x100000,
	SECTIONS_VADDR = 0x200,
	IMAGE_BYTES = 0x10000,
	STACK_START = 0x200000,
	STACK_BYTES_MAX = 4096,
	APPLY_MAX = 64,
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
	event->stacks[0] = (struct event_stack){STACK_START, split, input->head.flags & 3};
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
		struct registers registers = {.known = 0x1ffff};

		for (unsigned n = 0; n < REGISTERS_N; n++)
			registers.value[n] = STACK_START + 8 * n;
		registers.value[REGISTER_RIP] = input->head.ip + i;
		if (cfi_rule(&cfi, input->head.ip + i, &table, &rule)) {
			rule_intern(&table, &rule);
			rule_apply(&rule, &table, &copy, &registers, &bad);
		}
	}
	rule_table_fini(&table);
	cfi_fini(&cfi);
}

/* The smallest ELF file that has the sections: one segment, and where .eh_frame_hdr is. */
static int make_file(const struct input *input)
{
	static uint8_t file[IMAGE_BYTES];
	const uint64_t header_bytes = input->eh_frame_hdr.size;
	Elf64_Ehdr ehdr = {
	    .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	    .e_type = ET_DYN,
	    .e_machine = EM_X86_64,
	    .e_version = EV_CURRENT,
	    .e_phoff = sizeof(ehdr),
	    .e_ehsize = sizeof(ehdr),
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_phnum = 2,
	};
	Elf64_Phdr headers[2] = {
	    {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = sizeof(file)},
	    {.p_type = PT_GNU_EH_FRAME,
	     .p_offset = SECTIONS_VADDR,
	     .p_vaddr = SECTIONS_VADDR,
	     .p_filesz = header_bytes},
	};
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	headers[0].p_memsz = headers[0].p_filesz;
	headers[1].p_memsz = headers[1].p_filesz;
	memset(file, 0, sizeof(file));
	memcpy(file, &ehdr, sizeof(ehdr));
	memcpy(file + sizeof(ehdr), headers, sizeof(headers));
	memcpy(file + SECTIONS_VADDR, input->eh_frame_hdr.data, header_bytes);
	memcpy(file + SECTIONS_VADDR + header_bytes, input->eh_frame.data, input->eh_frame.size);
	if (fd >= 0 && write(fd, file, sizeof(file)) != sizeof(file)) {
		close(fd);
		return -1;
	}
	return fd;
}

static uint32_t add_image(struct image_table *images, int fd)
{
	struct event_map *event = xcalloc(1, sizeof(*event) + 64);
	struct stat status;
	uint32_t image;

	fstat(fd, &status);
	event->header.type = EVENT_MAP;
	event->header.pid = getpid();
	event->start = BIAS;
	event->end = BIAS + IMAGE_BYTES;
	event->inode = status.st_ino;
	event->path_size = snprintf(event->path, 64, "/proc/self/fd/%d", fd);
	image = image_table_add(images, event);
	free(event);
	return image;
}

static void try_file(const struct input *input, const struct event_syscall *event)
{
	struct image_table *images = image_table_new();
	struct address_space *space = address_space_new();
	struct unwinder *unwinder = unwinder_cfi.create(images);
	struct frame frames[STACK_FRAMES_MAX];
	int fd = make_file(input);
	uint32_t frames_n;

	if (fd >= 0) {
		address_space_map(space, BIAS, BIAS + IMAGE_BYTES, add_image(images, fd));
		address_space_map(space, BIAS + 2 * IMAGE_BYTES, BIAS + 3 * IMAGE_BYTES, 0);
		for (unsigned i = 0; i < 2; i++) {
			enum stack_end end =
			    unwinder_cfi.unwind(unwinder, space, event, frames, &frames_n);

			if (frames_n > STACK_FRAMES_MAX || end >= STACK_END_N)
				abort();
		}
		close(fd);
	}
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
	try_parts(&input, event, false);
	try_parts(&input, event, true);
	try_file(&input, event);
	free(event);
	return 0;
}
