/*
 * The same by elfutils' libdwfl: slow, and written by others, which makes it the oracle of the
 * tests. Owns one Dwfl for each of the last few address spaces.
 */
#include "unwind/unwind.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/map.h"
#include "unwind/stack_copy.h"
#include "unwind/stack_event.h"

#include <elfutils/libdwfl.h>
#include <fcntl.h>

enum { SPACES_MAX = 64, THREAD_ID = 1 };

struct space {
	uint64_t generation; /* 0: not in use */
	uint64_t used;       /* the larger, the later */
	Dwfl *dwfl;
};

struct unwinder {
	const struct image_table *images;
	struct space spaces[SPACES_MAX];
	uint64_t uses;
	/* Of the stack that is being unwound: */
	const struct event_syscall *event;
	const struct address_space *mappings;
	struct stack_copy copy;
	struct trail trail;
	struct frame *frames;
	uint32_t frames_n;
	uint64_t bad_address;
	bool bad_read;
	enum stack_end end;
};

/* Nothing is looked for outside the module: no separate debug files, no network. */
static int find_elf(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
		    char **file_name, Elf **elf)
{
	return -1;
}

static int find_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
			  const char *file_name, const char *link, GElf_Word crc, char **found)
{
	return -1;
}

static pid_t next_thread(Dwfl *dwfl, void *context, void **thread)
{
	if (*thread)
		return 0;
	*thread = context;
	return THREAD_ID;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *context, void **thread)
{
	*thread = context;
	return tid == THREAD_ID;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *out, void *context)
{
	struct unwinder *unwinder = context;
	uint64_t value;

	if (!stack_copy_read(&unwinder->copy, address, &value)) {
		unwinder->bad_read = true;
		unwinder->bad_address = address;
		return false;
	}
	*out = value;
	return true;
}

/* DWARF register numbers: rbx 3, rbp 6, rsp 7, r12-r15 12-15, rip 16. */
static bool set_initial_registers(Dwfl_Thread *thread, void *context)
{
	const struct unwinder *unwinder = context;
	const struct event_registers *given = &unwinder->event->registers;
	const Dwarf_Word frame[] = {given->bp, given->sp}, bx = given->bx;
	/* rip too: the rule of .plt asks for it. */
	const Dwarf_Word high[] = {given->r12, given->r13, given->r14, given->r15, given->ip};

	return dwfl_thread_state_registers(thread, 3, 1, &bx) &&
	       dwfl_thread_state_registers(thread, 6, 2, frame) &&
	       dwfl_thread_state_registers(thread, 12, 5, high);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = memory_read,
    .set_initial_registers = set_initial_registers,
};

static void report_module(struct unwinder *unwinder, Dwfl *dwfl, struct map *reported,
			  const struct mapping *mapping)
{
	const struct image *image = image_table_get(unwinder->images, mapping->image);
	char name[32];
	uint64_t *slot;
	int fd;

	if (!image || !image->bias_known || image->module->fd < 0)
		return;
	/* A file has an image for each of its executable mappings, and one place. */
	slot = map_put(reported, (uintptr_t)image->module ^ image->bias << 8);
	if (*slot)
		return;
	*slot = 1;
	snprintf(name, sizeof(name), "image%u", mapping->image);
	fd = fcntl(image->module->fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && !dwfl_report_elf(dwfl, name, image->module->path, fd, image->bias, true))
		close(fd);
}

static void space_open(struct unwinder *unwinder, struct space *space)
{
	static const Dwfl_Callbacks callbacks = {
	    .find_elf = find_elf,
	    .find_debuginfo = find_debuginfo,
	    .section_address = dwfl_offline_section_address,
	};
	size_t count;
	const struct mapping *mappings = address_space_mappings(unwinder->mappings, &count);
	struct map reported = {0};

	if (space->dwfl)
		dwfl_end(space->dwfl);
	space->dwfl = dwfl_begin(&callbacks);
	space->generation = address_space_generation(unwinder->mappings);
	if (!space->dwfl)
		return;
	dwfl_report_begin(space->dwfl);
	for (size_t i = 0; i < count; i++)
		report_module(unwinder, space->dwfl, &reported, &mappings[i]);
	dwfl_report_end(space->dwfl, NULL, NULL);
	map_fini(&reported);
	dwfl_attach_state(space->dwfl, NULL, THREAD_ID, &thread_callbacks, unwinder);
}

static struct space *space_get(struct unwinder *unwinder)
{
	uint64_t generation = address_space_generation(unwinder->mappings);
	struct space *oldest = &unwinder->spaces[0];

	for (unsigned i = 0; i < SPACES_MAX; i++) {
		struct space *space = &unwinder->spaces[i];

		if (space->generation == generation) {
			space->used = ++unwinder->uses;
			return space;
		}
		if (space->used < oldest->used)
			oldest = space;
	}
	space_open(unwinder, oldest);
	oldest->used = ++unwinder->uses;
	return oldest;
}

static int add_frame(Dwfl_Frame *state, void *context)
{
	struct unwinder *unwinder = context;
	const struct mapping *mapping;
	bool exact;
	Dwarf_Addr pc;

	if (!dwfl_frame_pc(state, &pc, &exact))
		return DWARF_CB_ABORT;
	mapping = address_space_find(unwinder->mappings, exact ? pc : pc - 1);
	if (!mapping && unwinder->frames_n) {
		unwinder->end = pc == 0 ? STACK_END_COMPLETE : STACK_END_BAD_PC;
		return DWARF_CB_ABORT;
	}
	if (unwinder->frames_n == STACK_FRAMES_MAX) {
		unwinder->end = STACK_END_TOO_DEEP;
		return DWARF_CB_ABORT;
	}
	unwinder->frames[unwinder->frames_n++] = (struct frame){
	    .pc = pc,
	    .image = mapping ? mapping->image : 0,
	    .exact = exact,
	};
	if (!mapping) {
		unwinder->end = STACK_END_BAD_PC;
		return DWARF_CB_ABORT;
	}
	/* Reads that failed for this frame's sake only are no reason to stop. */
	unwinder->bad_read = false;
	return DWARF_CB_OK;
}

static enum stack_end unwind(struct unwinder *unwinder, const struct address_space *space,
			     const struct event_syscall *event,
			     struct frame frames[static STACK_FRAMES_MAX], uint32_t *frames_n)
{
	enum stack_end end;
	int result;

	if (stack_event_is_ready(space, event, frames, frames_n, &end))
		return end;
	unwinder->event = event;
	unwinder->mappings = space;
	unwinder->frames = frames;
	unwinder->frames_n = 0;
	unwinder->bad_read = false;
	unwinder->end = STACK_END_N;
	stack_copy_init(&unwinder->copy, event, &unwinder->trail);
	result = dwfl_getthread_frames(space_get(unwinder)->dwfl, THREAD_ID, add_frame, unwinder);
	*frames_n = unwinder->frames_n;
	if (*frames_n == 0)
		frames[(*frames_n)++] = (struct frame){
		    .pc = event->registers.ip,
		    .image = stack_event_image(space, event->registers.ip),
		    .exact = true,
		};
	if (unwinder->end != STACK_END_N)
		return unwinder->end;
	if (result == 0)
		return STACK_END_COMPLETE;
	return unwinder->bad_read ? stack_copy_why(&unwinder->copy, unwinder->bad_address)
				  : STACK_END_NO_CFI;
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
	for (unsigned i = 0; i < SPACES_MAX; i++)
		if (unwinder->spaces[i].dwfl)
			dwfl_end(unwinder->spaces[i].dwfl);
	free(unwinder);
}

const struct unwinder_ops unwinder_dwfl = {
    .name = "dwfl",
    .create = create,
    .destroy = destroy,
    .unwind = unwind,
};
