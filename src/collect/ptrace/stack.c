/*
 * Copies the stack of a stopped tracee: from its stack pointer to the end of the mapping, and where
 * that lies on a sigaltstack, a second piece of the stack that the signal interrupted. Knows
 * nothing of frames; every word of the target is hostile.
 */
#include "collect/ptrace/tracer.h"

#include "os/procfs.h"
#include "os/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	RED_ZONE_BYTES = 128, /* System V ABI, x86-64: below the stack pointer, in use */
	CODE_SEGMENT_64 = 0x33,
};

static const uint32_t stack_flags_known = 1u << 31 | 3; /* SS_AUTODISARM, SS_ONSTACK, SS_DISABLE */
static const uint64_t user_address_end = 0x00fffffffffff000; /* with five-level paging */

/*
 * What the kernel writes for a handler (arch/x86/include/asm/sigframe.h: struct rt_sigframe), from
 * its struct ucontext to the segment registers.
 */
struct signal_context {
	uint64_t flags, link;
	uint64_t stack_start;
	uint32_t stack_flags, padding;
	uint64_t stack_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip;
	uint64_t processor_flags;
	uint16_t cs, gs, fs, ss;
};

struct range_search {
	pid_t tid;
	uint64_t address;
	struct stack_range found;
};

/* Field 28 of /proc/TID/stat, proc(5): where the main thread's frames end and its strings begin. */
static uint64_t main_stack_start(pid_t tid)
{
	char path[64], line[1024], *at = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fgets(line, sizeof(line), file))
		at = strrchr(line, ')');
	fclose(file);
	for (int field = 2; at && field < 28; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static int search_range(void *context, const struct procfs_mapping *mapping)
{
	struct range_search *search = context;
	uint64_t start;

	if (mapping->end <= search->address)
		return 0;
	if (mapping->start > search->address)
		return 1;
	search->found = (struct stack_range){mapping->start, mapping->end};
	if (!strcmp(mapping->path, "[stack]")) {
		start = main_stack_start(search->tid) & ~7ull;
		if (start > search->address && start + 16 <= mapping->end)
			search->found.end = start + 16;
	}
	return 1;
}

static struct stack_range *range_find(struct tracee *tracee, uint64_t address)
{
	struct range_search search = {.tid = tracee->tid, .address = address};
	struct stack_range *range;

	for (unsigned i = 0; i < STACK_RANGES; i++) {
		range = &tracee->ranges[i];
		if (address >= range->start && address < range->end)
			return range;
	}
	procfs_maps(tracee->tid, search_range, &search, NULL);
	if (!search.found.end)
		return NULL;
	range = &tracee->ranges[tracee->range_next++ % STACK_RANGES];
	*range = search.found;
	return range;
}

/* Copies from `start` on; false where nothing is readable there. */
static bool piece_copy(struct tracee *tracee, uint64_t start, uint32_t bytes_max, uint8_t *out,
		       struct event_stack *piece)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		struct stack_range *range = range_find(tracee, start);
		uint64_t wanted;
		size_t got;

		if (!range)
			return false;
		wanted = range->end - start;
		if (wanted > bytes_max)
			wanted = bytes_max;
		got = remote_read(tracee->tid, start, out, wanted);
		if (got < wanted && attempt == 0) {
			*range = (struct stack_range){0}; /* it has changed: look again */
			continue;
		}
		piece->start = start;
		piece->size = got & ~7u;
		piece->flags = range->end - start > piece->size + 7ull ? EVENT_STACK_CUT : 0;
		return piece->size > 0;
	}
	return false;
}

static bool context_plausible(const struct signal_context *context, uint64_t at, uint64_t sp)
{
	uint64_t end = context->stack_start + context->stack_size;

	return context->flags <= 7 && context->link == 0 && context->stack_start <= sp &&
	       end > context->stack_start && sp < end && at + sizeof(*context) <= end &&
	       (context->stack_flags & ~stack_flags_known) == 0 && context->cs == CODE_SEGMENT_64 &&
	       context->ip != 0 && context->ip < user_address_end && context->sp != 0 &&
	       context->sp < user_address_end;
}

/*
 * The context of the signal that switched to the sigaltstack that `sp` lies on. No request tells
 * another thread's sigaltstack, but the kernel writes it into every signal frame. A handler that
 * was itself interrupted has frames whose sp still lies on that stack: these are passed over.
 */
static bool context_find(const uint8_t *bytes, const struct event_stack *piece,
			 struct signal_context *out)
{
	const uint64_t *words = (const uint64_t *)bytes;
	size_t last = piece->size / 8;

	for (size_t i = 0; i + sizeof(*out) / 8 <= last; i++) {
		if (words[i] > 7 || words[i + 1] || words[i + 2] > piece->start)
			continue;
		memcpy(out, &words[i], sizeof(*out));
		if (!context_plausible(out, piece->start + 8 * i, piece->start))
			continue;
		if (out->sp < out->stack_start || out->sp > out->stack_start + out->stack_size)
			return true;
	}
	return false;
}

/* The sigaltstack ends before its mapping does: what lies above it is no stack. */
static void piece_trim(struct event_stack *piece, const struct signal_context *context)
{
	uint64_t size = (context->stack_start + context->stack_size - piece->start) & ~7ull;

	if (size > piece->size)
		return;
	piece->size = size;
	piece->flags &= ~EVENT_STACK_CUT;
}

uint32_t stack_copy(struct collector *collector, struct tracee *tracee,
		    const struct user_regs_struct *registers, struct event_syscall *event)
{
	uint32_t bytes_max = collector->stack_bytes_max & ~7u;
	struct event_stack *pieces = event->stacks;
	struct signal_context context;
	uint64_t below;
	uint8_t *out;

	/* A stack was wanted: where it cannot be read, an empty piece says so. */
	event->stacks_n = 1;
	pieces[0] = (struct event_stack){.start = registers->rsp};
	if (!piece_copy(tracee, registers->rsp, bytes_max, event->bytes, &pieces[0]))
		return 0;
	if (!context_find(event->bytes, &pieces[0], &context))
		return pieces[0].size;
	piece_trim(&pieces[0], &context);
	out = event->bytes + pieces[0].size;
	below = (context.sp - RED_ZONE_BYTES) & ~7ull;
	if (piece_copy(tracee, below, bytes_max, out, &pieces[1]) ||
	    piece_copy(tracee, context.sp & ~7ull, bytes_max, out, &pieces[1]))
		event->stacks_n = 2;
	else
		pieces[1] = (struct event_stack){0};
	return pieces[0].size + pieces[1].size;
}
