/*
 * Owns the making of a call's record, as collect/bpf/record.bpf.h does: arguments, what the call
 * wrote, registers, and the stack's number or a copy of it. Knows no call by name.
 */
#include "agent.h"

#include "altstack.h"
#include "data.h"
#include "known.h"
#include "touched.h"

#include <linux/errno.h>
#include <linux/resource.h>
#include <linux/sched.h>

enum {
	UNKNOWN_STACK_BYTES = 32 * 1024, /* of a stack whose end is not known */
	LIMIT_PAUSE_NS = 1000 * 1000 * 1000,
	RING_SHARE = 4, /* a copy takes no more than so many parts of the ring */
};

/* What a record is made of, before there is room for it. */
struct call {
	struct agent_thread *thread;
	const struct call_frame *frame;
	uint64_t site_ip, sp;
	uint32_t number;
	uint16_t flags; /* enum event_syscall_flags */
	enum event_phase phase;
	struct syscall_plan plan;
	struct call_data data;
};

void record_header(struct event_header *header, const struct agent_thread *thread, uint16_t flags)
{
	header->flags = flags;
	header->pid = thread->pid;
	header->tid = thread->tid;
	if (!header->time_ns)
		header->time_ns = clock_now();
}

void *record_begin(struct agent_thread *thread, uint32_t bytes, uint16_t flags)
{
	struct event_header *header = ring_reserve(thread, bytes);

	if (header)
		record_header(header, thread, flags);
	return header;
}

/* ---- what the call wrote ---- */

/* struct clone_args begins with flags, pidfd. */
static void fill_clone3(struct event_syscall *event, uint64_t address)
{
	uint64_t words[2] = {0};
	int32_t pidfd = -1;

	safe_copy(words, address, sizeof(words));
	if (words[0] & CLONE_PIDFD)
		safe_copy(&pidfd, words[1], sizeof(pidfd));
	event->out[0] = words[0];
	event->out[1] = (uint64_t)(int64_t)pidfd;
}

static void fill_out(struct event_syscall *event, const struct call *call)
{
	uint64_t address = call_argument(call->frame, call->plan.out_arg) + call->plan.out_offset;
	int32_t numbers[2] = {-1, -1};

	switch (call->plan.out) {
	case PLAN_OUT_INT:
		safe_copy(numbers, address, sizeof(numbers[0]));
		break;
	case PLAN_OUT_INT_PAIR:
		if (!call->plan.out_offset && touched_pair(call->number, call->plan.out_arg)) {
			numbers[0] = ((const int32_t *)address)[0];
			numbers[1] = ((const int32_t *)address)[1];
		} else {
			safe_copy(numbers, address, sizeof(numbers));
		}
		break;
	case PLAN_OUT_CLONE3:
		fill_clone3(event, address);
		return;
	default:
		return;
	}
	event->out[0] = (uint64_t)(int64_t)numbers[0];
	event->out[1] = (uint64_t)(int64_t)numbers[1];
}

/* ---- parts of the record ---- */

/*
 * The soft RLIMIT_NOFILE, for a program may end of it before anybody can look; 0: not told. A
 * program that fails at full speed is not asked again and again.
 */
static uint64_t handle_limit(uint64_t now_ns)
{
	static uint64_t asked_ns;
	uint64_t before_ns = __atomic_load_n(&asked_ns, __ATOMIC_RELAXED);
	struct rlimit64 limit;

	if (before_ns && now_ns - before_ns < LIMIT_PAUSE_NS)
		return 0;
	__atomic_store_n(&asked_ns, now_ns, __ATOMIC_RELAXED);
	if (system_call6(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, (uint64_t)&limit, 0, 0))
		return 0;
	return limit.rlim_cur;
}

/* All that a short record has. */
static void fill_call(struct event_syscall *event, const struct call *call, uint32_t known)
{
	const struct call_frame *frame = call->frame;

	record_header(&event->header, call->thread, call->flags);
	event->number = call->number;
	event->phase = (uint16_t)call->phase;
	event->stacks_n = 0;
	event->result = call->phase == EVENT_LEAVE ? (int64_t)frame->ax : 0;
	event->args[0] = frame->di;
	event->args[1] = frame->si;
	event->args[2] = frame->dx;
	event->args[3] = frame->r10;
	event->args[4] = frame->r8;
	event->args[5] = frame->r9;
	event->out[0] = event->out[1] = 0;
	event->mappings = __atomic_load_n(&agent.mappings, __ATOMIC_RELAXED);
	event->known_stack = known;
	event->reserved = 0;
	if (event->result >= 0 && call->phase == EVENT_LEAVE && call->plan.out)
		fill_out(event, call);
	if (call->phase == EVENT_LEAVE && (event->result == -EMFILE || event->result == -ENFILE))
		event->out[0] = handle_limit(event->header.time_ns);
}

static void fill_registers(struct event_syscall *event, const struct call *call)
{
	const struct call_frame *frame = call->frame;

	event->registers = (struct event_registers){
	    .ip = call->site_ip,
	    .sp = call->sp,
	    .bp = frame->bp,
	    .bx = frame->bx,
	    .r12 = frame->r12,
	    .r13 = frame->r13,
	    .r14 = frame->r14,
	    .r15 = frame->r15,
	};
}

/*
 * Completes the call's record and the data before it, which are one piece of `reserved` bytes: no
 * handler's record comes in between, and the reader sees both or none.
 */
static void complete(const struct call *call, uint8_t *piece, uint32_t bytes, uint32_t reserved)
{
	uint32_t data_bytes = data_record_bytes(&call->data);
	uint32_t left = reserved - data_bytes - bytes;

	if (left)
		ring_cancel(piece + data_bytes + bytes, left);
	if (data_bytes)
		data_fill(&call->data, (struct event_data *)piece, call->thread, &call->plan,
			  call->frame);
	if (data_bytes)
		ring_commit(piece + data_bytes, EVENT_SYSCALL, bytes);
	ring_commit_call(call->thread, piece, data_bytes ? EVENT_DATA : EVENT_SYSCALL,
			 data_bytes ?: bytes);
}

/* The call's part of a piece; its time is that of the piece. */
static struct event_syscall *event_in(const struct call *call, uint8_t *piece)
{
	struct event_syscall *event =
	    (struct event_syscall *)(piece + data_record_bytes(&call->data));

	event->header.time_ns = ((const struct event_header *)piece)->time_ns;
	return event;
}

static void complete_short(const struct call *call, uint8_t *piece, uint32_t known,
			   uint32_t reserved)
{
	fill_call(event_in(call, piece), call, known);
	complete(call, piece, EVENT_SYSCALL_SHORT_BYTES, reserved);
}

/* ---- the stack ---- */

static void copy_words(void *to, uint64_t from, uint64_t bytes)
{
	uint64_t words = bytes / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static uint64_t copy_most(const struct agent_thread *thread)
{
	uint64_t most = __atomic_load_n(&agent.arena->stack_bytes_max, __ATOMIC_RELAXED);

	if (most > EVENT_STACK_BYTES_MAX)
		most = EVENT_STACK_BYTES_MAX;
	if (most > thread->ring_bytes / RING_SHARE)
		most = thread->ring_bytes / RING_SHARE;
	return most & ~7ull;
}

static void fill_stack(struct event_stack *piece, uint64_t start, uint64_t bytes, bool cut)
{
	piece->start = start;
	piece->size = (uint32_t)bytes;
	piece->flags = cut ? EVENT_STACK_CUT : 0;
}

/* Completes a record whose pieces are in place, `stack_bytes` in all: what stands in shared memory
 * is not read again. */
static void complete_long(const struct call *call, uint8_t *piece, uint16_t stacks_n,
			  uint32_t stack_bytes, uint32_t reserved)
{
	struct event_syscall *event = event_in(call, piece);
	uint32_t used =
	    (uint32_t)((uint8_t *)event - piece) + (uint32_t)sizeof(*event) + stack_bytes;

	fill_call(event, call, 0);
	fill_registers(event, call);
	event->stacks_n = stacks_n;
	if (stacks_n < 2)
		event->stacks[1] = (struct event_stack){0};
	if (reserved > used)
		ring_give_back(call->thread, piece + used, reserved - used);
	complete(call, piece, (uint32_t)sizeof(*event) + stack_bytes, used);
}

static void record_copy(const struct call *call, uint64_t readable)
{
	uint64_t most = copy_most(call->thread), bytes = readable & ~7ull;
	struct event_syscall *event;
	uint32_t reserved;
	uint8_t *piece;

	bytes = bytes > most ? most : bytes;
	reserved = data_record_bytes(&call->data) + (uint32_t)(sizeof(*event) + bytes);
	piece = ring_reserve_call(call->thread, reserved);
	if (!piece)
		return;
	event = event_in(call, piece);
	copy_words(event->bytes, call->sp, bytes);
	fill_stack(&event->stacks[0], call->sp, bytes, bytes < (readable & ~7ull));
	complete_long(call, piece, 1, (uint32_t)bytes, reserved);
}

/* Copies what a handler on an alternative stack has interrupted behind its own `used` bytes, at
 * most `room`. Bytes; 0: that is not known. */
static uint64_t add_interrupted(const struct call *call, struct event_syscall *event,
				const stack_t *alternative, uint64_t used, uint64_t room)
{
	uint64_t sp = altstack_interrupted(alternative, (const uint64_t *)event->bytes, used);
	uint64_t readable = sp ? stack_readable(call->thread, sp) & ~7ull : 0;
	uint64_t bytes = readable > room ? room : readable;

	copy_words(event->bytes + used, sp, bytes);
	fill_stack(&event->stacks[1], sp, bytes, bytes < readable);
	return bytes;
}

/*
 * Of a stack whose end is not known, as much as there is. It is looked up in the copy: the room
 * for it was there before, so the collector saw that too.
 */
static void record_unknown(const struct call *call)
{
	uint64_t most = copy_most(call->thread), end = ~0ull, got, second = 0;
	uint32_t known, reserved;
	struct event_syscall *event;
	stack_t alternative;
	bool is_alternative = altstack_in_use(&alternative);
	uint8_t *piece;

	if (is_alternative)
		end = (uint64_t)alternative.ss_sp + alternative.ss_size - call->sp;
	most = most > UNKNOWN_STACK_BYTES ? UNKNOWN_STACK_BYTES : most;
	reserved = data_record_bytes(&call->data) +
		   (uint32_t)(sizeof(*event) + (is_alternative ? 2 * most : most));
	piece = ring_reserve_call(call->thread, reserved);
	if (!piece)
		return;
	event = event_in(call, piece);
	got = safe_copy(event->bytes, call->sp, most < end ? most : end) & ~7ull;
	known = known_stack(call->thread, call->frame, call->site_ip, call->sp, event->bytes, got);
	if (known) {
		complete_short(call, piece, known, reserved);
		return;
	}
	/* What ends before its time ends where memory does. */
	fill_stack(&event->stacks[0], call->sp, got, got == most);
	if (is_alternative)
		second = add_interrupted(call, event, &alternative, got, most);
	complete_long(call, piece, second ? 2 : 1, (uint32_t)(got + second), reserved);
}

/* There is room first, so that the collector sees that a number may be about to be told. */
static void record_with_stack(const struct call *call)
{
	uint32_t bytes = data_record_bytes(&call->data) + EVENT_SYSCALL_SHORT_BYTES;
	uint64_t readable = stack_readable(call->thread, call->sp);
	uint32_t known = 0;
	uint8_t *piece;

	if (!readable) {
		record_unknown(call);
		return;
	}
	piece = ring_reserve_call(call->thread, bytes);
	if (!piece)
		return;
	known = known_stack(call->thread, call->frame, call->site_ip, call->sp,
			    (const uint8_t *)call->sp, readable);
	if (known) {
		complete_short(call, piece, known, bytes);
		return;
	}
	ring_commit_call(call->thread, piece, ARENA_PAD, bytes);
	record_copy(call, readable);
}

void record_call(struct agent_thread *thread, const struct call_frame *frame, uint32_t number,
		 uint64_t site_ip, uint64_t sp, enum event_phase phase, bool with_stack,
		 uint16_t flags)
{
	int64_t result = (int64_t)frame->ax;
	struct call call = {
	    .thread = thread,
	    .frame = frame,
	    .site_ip = site_ip,
	    .sp = sp,
	    .number = number,
	    .flags = flags,
	    .phase = phase,
	    .plan = agent.arena->plan.calls[number < PLAN_SYSCALLS_MAX ? number : 0],
	};
	uint8_t *piece;

	if (phase == EVENT_LEAVE && call.plan.data &&
	    (result >= 0 || call.plan.data == PLAN_DATA_SETS) &&
	    !data_find(&call.data, &call.plan, number, frame, result))
		return;
	if (with_stack) {
		record_with_stack(&call);
		return;
	}
	piece =
	    ring_reserve_call(thread, data_record_bytes(&call.data) + EVENT_SYSCALL_SHORT_BYTES);
	if (piece)
		complete_short(&call, piece, 0,
			       data_record_bytes(&call.data) + EVENT_SYSCALL_SHORT_BYTES);
}
