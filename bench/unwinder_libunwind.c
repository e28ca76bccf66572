/*
 * Owns what libunwind asks for: an address space of it for each of ours, and the bytes of mapped
 * files. Set up as perf does it (tools/perf/util/unwind-libunwind-local.c: .eh_frame_hdr as a
 * remote table), but with all that is ours to give for speed: the global cache at its largest, and
 * files mapped once, so that a read is a search and a copy. Trusts its files: they are installed.
 */
#include "unwinder_libunwind.h"

#include "base/array.h"
#include "base/map.h"
#include "unwind/stack_copy.h"
#include "unwind/stack_event.h"

#include <dwarf.h>
#include <elf.h>
#include <libunwind.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Exported for perf's sake, declared nowhere. */
#define dwarf_search_unwind_table UNW_OBJ(dwarf_search_unwind_table)
extern int dwarf_search_unwind_table(unw_addr_space_t, unw_word_t, unw_dyn_info_t *,
				     unw_proc_info_t *, int, void *);

enum { PAGE_BYTES = 4096, CACHE_ENTRIES = 1 << 15 };

/* A mapped file, and where its .eh_frame_hdr has the table (vaddr). */
struct file {
	const uint8_t *bytes;
	uint64_t size;
	uint64_t header, table, rows; /* rows 0: it has none */
};

/* Pages [start, end) of the target have the bytes of a file. */
struct range {
	uint64_t start, end;
	uint64_t file_offset;
	const struct file *file;
};

struct space {
	unw_addr_space_t unw;
	ARRAY(struct range) ranges; /* ascending */
};

struct unwinder {
	const struct image_table *images;
	struct map files;  /* struct module * -> struct file * */
	struct map spaces; /* generation -> struct space * */
	/* Of the stack that is being unwound: */
	const struct address_space *mappings;
	const struct space *space;
	const struct event_registers *registers;
	struct stack_copy copy;
	struct trail trail; /* nobody looks at it */
};

static void read_header(struct file *file)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)file->bytes;
	const Elf64_Phdr *phdr = (const Elf64_Phdr *)(file->bytes + ehdr->e_phoff);
	const uint8_t *header = NULL;
	uint32_t rows;

	for (unsigned i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_GNU_EH_FRAME) {
			header = file->bytes + phdr[i].p_offset;
			file->header = phdr[i].p_vaddr;
		}
	/* Version, and the encodings of eh_frame, count and table, as every linker writes them. */
	if (!header || header[0] != 1 || header[1] != (DW_EH_PE_pcrel | DW_EH_PE_sdata4) ||
	    header[2] != DW_EH_PE_udata4 || header[3] != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
		return;
	memcpy(&rows, header + 8, sizeof(rows));
	file->rows = rows;
	file->table = file->header + 12;
}

static const struct file *file_get(struct unwinder *unwinder, const struct module *module)
{
	struct file *file = map_get_pointer(&unwinder->files, (uintptr_t)module);
	struct stat status;
	void *bytes;

	if (file)
		return file;
	file = xcalloc(1, sizeof(*file));
	map_put_pointer(&unwinder->files, (uintptr_t)module, file);
	if (module->fd < 0 || !module->elf.is_x86_64 || fstat(module->fd, &status) < 0)
		return file;
	bytes = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, module->fd, 0);
	if (bytes != MAP_FAILED) {
		file->bytes = bytes;
		file->size = status.st_size;
		read_header(file);
	}
	return file;
}

/* All segments of an image, not just the executable ones that brought it: CFI lies elsewhere. */
static void add_ranges(struct unwinder *unwinder, struct space *space, const struct image *image)
{
	const struct file *file = file_get(unwinder, image->module);

	array_each (segment, &image->module->elf.segments) {
		uint64_t before = segment->vaddr % PAGE_BYTES;
		uint64_t start = image->bias + segment->vaddr - before;
		uint64_t bytes = segment->file_bytes + before;

		if (file->bytes && segment->file_offset >= before)
			array_push(&space->ranges,
				   (struct range){start,
						  start + (bytes + PAGE_BYTES - 1) / PAGE_BYTES *
							      PAGE_BYTES,
						  segment->file_offset - before, file});
	}
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

static bool file_read(const struct space *space, uint64_t address, uint64_t *out)
{
	size_t low = 0, high = space->ranges.count;
	const struct range *range;
	uint64_t offset, bytes;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (space->ranges.data[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return false;
	range = &space->ranges.data[low - 1];
	if (address >= range->end)
		return false;
	offset = range->file_offset + (address - range->start);
	if (offset >= range->file->size)
		return false;
	bytes = range->file->size - offset;
	*out = 0;
	memcpy(out, range->file->bytes + offset, bytes < sizeof(*out) ? bytes : sizeof(*out));
	return true;
}

static int access_mem(unw_addr_space_t unw, unw_word_t address, unw_word_t *value, int write,
		      void *context)
{
	struct unwinder *unwinder = context;
	uint64_t word;

	if (write || (!stack_copy_read(&unwinder->copy, address, &word) &&
		      !file_read(unwinder->space, address, &word)))
		return -UNW_EINVAL;
	*value = word;
	return 0;
}

static int access_reg(unw_addr_space_t unw, unw_regnum_t number, unw_word_t *value, int write,
		      void *context)
{
	struct unwinder *unwinder = context;
	const struct event_registers *given = unwinder->registers;

	if (write)
		return -UNW_EREADONLYREG;
	switch (number) {
	case UNW_X86_64_RBX:
		*value = given->bx;
		return 0;
	case UNW_X86_64_RBP:
		*value = given->bp;
		return 0;
	case UNW_X86_64_RSP:
		*value = given->sp;
		return 0;
	case UNW_X86_64_R12:
		*value = given->r12;
		return 0;
	case UNW_X86_64_R13:
		*value = given->r13;
		return 0;
	case UNW_X86_64_R14:
		*value = given->r14;
		return 0;
	case UNW_X86_64_R15:
		*value = given->r15;
		return 0;
	case UNW_X86_64_RIP:
		*value = given->ip;
		return 0;
	default:
		return -UNW_EBADREG;
	}
}

static int find_proc_info(unw_addr_space_t unw, unw_word_t ip, unw_proc_info_t *info,
			  int need_unwind_info, void *context)
{
	struct unwinder *unwinder = context;
	const struct mapping *mapping = address_space_find(unwinder->mappings, ip);
	const struct image *image =
	    mapping ? image_table_get(unwinder->images, mapping->image) : NULL;
	const struct file *file;
	unw_dyn_info_t table;

	if (!image || !image->bias_known)
		return -UNW_ENOINFO;
	file = file_get(unwinder, image->module);
	if (!file->rows)
		return -UNW_ENOINFO;
	memset(&table, 0, sizeof(table));
	table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
	table.start_ip = mapping->start;
	table.end_ip = mapping->end;
	table.u.rti.segbase = image->bias + file->header;
	table.u.rti.table_data = image->bias + file->table;
	table.u.rti.table_len = file->rows * 8 / sizeof(unw_word_t);
	return dwarf_search_unwind_table(unw, ip, &table, info, need_unwind_info, context);
}

static void put_unwind_info(unw_addr_space_t unw, unw_proc_info_t *info, void *context)
{
}

static int get_dyn_info_list_addr(unw_addr_space_t unw, unw_word_t *address, void *context)
{
	return -UNW_ENOINFO;
}

static int access_fpreg(unw_addr_space_t unw, unw_regnum_t number, unw_fpreg_t *value, int write,
			void *context)
{
	return -UNW_EINVAL;
}

static int resume(unw_addr_space_t unw, unw_cursor_t *cursor, void *context)
{
	return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t unw, unw_word_t ip, char *name, size_t bytes,
			 unw_word_t *offset, void *context)
{
	return -UNW_EINVAL;
}

static const struct space *space_get(struct unwinder *unwinder)
{
	static unw_accessors_t accessors = {
	    .find_proc_info = find_proc_info,
	    .put_unwind_info = put_unwind_info,
	    .get_dyn_info_list_addr = get_dyn_info_list_addr,
	    .access_mem = access_mem,
	    .access_reg = access_reg,
	    .access_fpreg = access_fpreg,
	    .resume = resume,
	    .get_proc_name = get_proc_name,
	};
	uint64_t generation = address_space_generation(unwinder->mappings);
	struct space *space = map_get_pointer(&unwinder->spaces, generation);
	const struct mapping *mappings;
	size_t count;

	if (space)
		return space;
	space = xcalloc(1, sizeof(*space));
	map_put_pointer(&unwinder->spaces, generation, space);
	space->unw = unw_create_addr_space(&accessors, 0);
	unw_set_caching_policy(space->unw, UNW_CACHE_GLOBAL);
	unw_set_cache_size(space->unw, CACHE_ENTRIES, 0);
	mappings = address_space_mappings(unwinder->mappings, &count);
	for (size_t i = 0; i < count; i++) {
		const struct image *image = image_table_get(unwinder->images, mappings[i].image);

		if (image && image->bias_known)
			add_ranges(unwinder, space, image);
	}
	if (space->ranges.count)
		qsort(space->ranges.data, space->ranges.count, sizeof(struct range),
		      compare_ranges);
	return space;
}

static enum stack_end walk(struct unwinder *unwinder, struct frame *frames, uint32_t *frames_n)
{
	bool exact = true;
	unw_cursor_t cursor;
	unw_word_t pc;
	int step;

	if (unw_init_remote(&cursor, unwinder->space->unw, unwinder) < 0)
		return STACK_END_NO_CFI;
	do {
		bool signal = unw_is_signal_frame(&cursor) > 0;

		if (unw_get_reg(&cursor, UNW_REG_IP, &pc) < 0 || pc == 0)
			return STACK_END_COMPLETE;
		if (*frames_n == STACK_FRAMES_MAX)
			return STACK_END_TOO_DEEP;
		frames[(*frames_n)++] = (struct frame){
		    .pc = pc,
		    .image = stack_event_image(unwinder->mappings, exact ? pc : pc - 1),
		    .exact = exact || signal,
		};
		exact = signal;
	} while ((step = unw_step(&cursor)) > 0);
	return step == 0 ? STACK_END_COMPLETE : STACK_END_NO_CFI;
}

static enum stack_end unwind(struct unwinder *unwinder, const struct address_space *space,
			     const struct event_syscall *event,
			     struct frame frames[static STACK_FRAMES_MAX], uint32_t *frames_n)
{
	enum stack_end end;

	if (stack_event_is_ready(space, event, frames, frames_n, &end))
		return end;
	unwinder->mappings = space;
	unwinder->space = space_get(unwinder);
	unwinder->registers = &event->registers;
	stack_copy_init(&unwinder->copy, event, &unwinder->trail);
	return walk(unwinder, frames, frames_n);
}

static struct unwinder *create(const struct image_table *images)
{
	struct unwinder *unwinder = xcalloc(1, sizeof(*unwinder));

	unwinder->images = images;
	return unwinder;
}

static void destroy(struct unwinder *unwinder)
{
	if (!unwinder)
		return;
	map_each (entry, &unwinder->spaces) {
		struct space *space = (struct space *)(uintptr_t)entry->value;

		unw_destroy_addr_space(space->unw);
		array_fini(&space->ranges);
		free(space);
	}
	map_each (entry, &unwinder->files) {
		struct file *file = (struct file *)(uintptr_t)entry->value;

		if (file->bytes)
			munmap((void *)file->bytes, file->size);
		free(file);
	}
	map_fini(&unwinder->spaces);
	map_fini(&unwinder->files);
	free(unwinder);
}

const struct unwinder_ops unwinder_libunwind = {
    .name = "libunwind",
    .create = create,
    .destroy = destroy,
    .unwind = unwind,
};
