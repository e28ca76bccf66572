/*
 * Makes the record of one call of a stopped tracee, as the plan says: registers, stack, what the
 * call wrote, what its arguments point to. Knows no call by name.
 */
#include "collect/ptrace/tracer.h"

#include "os/procfs.h"
#include "os/remote.h"

#include "base/array.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

enum {
	CLONE3_FLAG_PIDFD = 0x1000, /* CLONE_PIDFD of linux/sched.h */
	PATH_BYTES_MAX = 4096,
	PAGE_BYTES = 4096,
};

static struct event_data *data_begin(struct collector *collector, const struct tracee *tracee,
				     enum event_data_kind kind)
{
	struct event_data *data;

	data = outbox_begin(&collector->outbox, EVENT_DATA, tracee->process->pid, tracee->tid,
			    sizeof(*data), EVENT_DATA_BYTES_MAX);
	data->kind = kind;
	return data;
}

static void data_end(struct collector *collector, struct event_data *data)
{
	outbox_end(&collector->outbox, sizeof(*data) + data->size);
}

/* A page at a time: the string may end right before one that is not mapped. */
static void capture_path(struct collector *collector, const struct tracee *tracee, uint64_t address)
{
	struct event_data *data = data_begin(collector, tracee, EVENT_DATA_PATH);
	uint32_t size = 0;

	while (size < PATH_BYTES_MAX) {
		size_t wanted = PAGE_BYTES - (address + size) % PAGE_BYTES;
		char *at = (char *)data->bytes + size;
		size_t got;

		if (wanted > PATH_BYTES_MAX - size)
			wanted = PATH_BYTES_MAX - size;
		got = remote_read(tracee->tid, address + size, at, wanted);
		size += strnlen(at, got);
		if (got < wanted || at + got > (char *)data->bytes + size)
			break;
	}
	data->size = size;
	data->header.flags = size == PATH_BYTES_MAX ? EVENT_DATA_CUT : 0;
	if (size)
		data_end(collector, data);
}

/* Appends the control bytes of the struct msghdr at `address`, padded to whole control messages. */
static void append_control(const struct tracee *tracee, uint64_t address, struct event_data *data)
{
	struct msghdr message;
	size_t room = EVENT_DATA_BYTES_MAX - data->size, got;

	if (remote_read(tracee->tid, address, &message, sizeof(message)) != sizeof(message) ||
	    !message.msg_controllen)
		return;
	if (message.msg_controllen > room) {
		message.msg_controllen = room;
		data->header.flags = EVENT_DATA_CUT;
	}
	got = remote_read(tracee->tid, (uintptr_t)message.msg_control, data->bytes + data->size,
			  message.msg_controllen);
	for (; got % 8 && got < room; got++)
		data->bytes[data->size + got] = 0;
	data->size += got;
}

/* False where the call received no control bytes: then there is nothing to record. */
static bool capture_control(struct collector *collector, const struct tracee *tracee,
			    uint64_t address, uint64_t count)
{
	struct event_data *data = data_begin(collector, tracee, EVENT_DATA_CONTROL);

	for (uint64_t i = 0; i < count && i < 1024; i++)
		append_control(tracee, address + i * sizeof(struct mmsghdr), data);
	if (!data->size)
		return false;
	data_end(collector, data);
	return true;
}

/* False where all were open. */
static bool capture_polled(struct collector *collector, const struct tracee *tracee,
			   uint64_t address, uint64_t count, int64_t result)
{
	ARRAY(struct event_polled) entries = {0};
	struct event_data *data;
	size_t got;

	if (result <= 0)
		return false;
	count = (uint32_t)count < PLAN_POLLED_MAX ? (uint32_t)count : PLAN_POLLED_MAX;
	array_reserve(&entries, count);
	got = remote_read(tracee->tid, address, entries.data, count * sizeof(*entries.data));
	entries.count = got / sizeof(*entries.data);
	data = data_begin(collector, tracee, EVENT_DATA_POLLED);
	array_each (entry, &entries) {
		if (!(entry->revents & POLLNVAL) || data->size == EVENT_POLLED_MAX * sizeof(*entry))
			continue;
		memcpy(data->bytes + data->size, entry, sizeof(*entry));
		data->size += sizeof(*entry);
	}
	array_fini(&entries);
	if (!data->size)
		return false;
	data_end(collector, data);
	return true;
}

static void capture_sets(struct collector *collector, const struct tracee *tracee,
			 const uint64_t sets[3], uint64_t bits)
{
	struct event_data *data = data_begin(collector, tracee, EVENT_DATA_SETS);
	size_t bytes = ((uint32_t)bits + 63ul) / 64 * 8;

	memset(data->bytes, 0, 3 * EVENT_SET_BYTES);
	if (bytes > EVENT_SET_BYTES) {
		bytes = EVENT_SET_BYTES;
		data->header.flags = EVENT_DATA_CUT;
	}
	for (size_t i = 0; i < 3; i++)
		if (sets[i])
			remote_read(tracee->tid, sets[i], data->bytes + i * EVENT_SET_BYTES, bytes);
	data->size = 3 * EVENT_SET_BYTES;
	data_end(collector, data);
}

/* False where the plan wants no record after all. */
static bool capture_data(struct collector *collector, const struct tracee *tracee,
			 const struct syscall_plan *call, int64_t result)
{
	uint64_t address = call->data_arg < 6 ? tracee->args[call->data_arg] : 0;

	switch (call->data) {
	case PLAN_DATA_PATH:
		capture_path(collector, tracee, address);
		return true;
	case PLAN_DATA_CONTROL:
		return result < 0 || capture_control(collector, tracee, address, 1);
	case PLAN_DATA_CONTROL_VECTOR:
		return result < 0 || capture_control(collector, tracee, address, result);
	case PLAN_DATA_POLLED:
		return capture_polled(collector, tracee, address, tracee->args[call->data_arg + 1],
				      result);
	case PLAN_DATA_SETS:
		capture_sets(collector, tracee, &tracee->args[call->data_arg],
			     tracee->args[call->data_arg - 1]);
		return true;
	}
	return true;
}

static uint64_t read_int(pid_t tid, uint64_t address)
{
	uint32_t value = UINT32_MAX; /* -1: no descriptor, where it cannot be read */

	remote_read(tid, address, &value, sizeof(value));
	return value;
}

static void capture_out(const struct tracee *tracee, const struct syscall_plan *call,
			struct event_syscall *event)
{
	uint64_t address = call->out_arg < 6 ? tracee->args[call->out_arg] : 0;
	uint64_t clone_args[2] = {0}; /* flags, pidfd: clone(2) */

	switch (call->out) {
	case PLAN_OUT_INT:
		if (address)
			event->out[0] = read_int(tracee->tid, address + call->out_offset);
		break;
	case PLAN_OUT_INT_PAIR:
		event->out[0] = read_int(tracee->tid, address + call->out_offset);
		event->out[1] = read_int(tracee->tid, address + call->out_offset + 4);
		break;
	case PLAN_OUT_CLONE3:
		remote_read(tracee->tid, address, clone_args, sizeof(clone_args));
		event->out[0] = clone_args[0];
		if (clone_args[0] & CLONE3_FLAG_PIDFD)
			event->out[1] = read_int(tracee->tid, clone_args[1]);
		break;
	}
}

static void capture_call(struct collector *collector, struct tracee *tracee, enum event_phase phase,
			 int64_t result, const struct user_regs_struct *registers, bool with_stack,
			 uint16_t flags)
{
	const struct syscall_plan *call = &collector->plan->calls[tracee->number];
	struct event_syscall *event;
	uint32_t stack_bytes = 0;

	if (with_stack && !capture_data(collector, tracee, call, result))
		return;
	event = outbox_begin(&collector->outbox, EVENT_SYSCALL, tracee->process->pid, tracee->tid,
			     sizeof(*event), 2ul * collector->stack_bytes_max);
	event->header.flags = flags;
	event->number = tracee->number;
	event->phase = phase;
	event->result = result;
	memcpy(event->args, tracee->args, sizeof(event->args));
	event->registers = (struct event_registers){
	    .ip = registers->rip,
	    .sp = registers->rsp,
	    .bp = registers->rbp,
	    .bx = registers->rbx,
	    .r12 = registers->r12,
	    .r13 = registers->r13,
	    .r14 = registers->r14,
	    .r15 = registers->r15,
	};
	if (phase == EVENT_LEAVE && result >= 0)
		capture_out(tracee, call, event);
	if ((result == -EMFILE || result == -ENFILE) &&
	    procfs_handle_limit(tracee->process->pid, &event->out[0]) < 0)
		event->out[0] = 0;
	if (with_stack)
		stack_bytes = stack_copy(collector, tracee, registers, event);
	outbox_end(&collector->outbox, sizeof(*event) + stack_bytes);
}

void capture_enter(struct collector *collector, struct tracee *tracee)
{
	struct user_regs_struct registers;

	if (tracee_registers(tracee, &registers))
		capture_call(collector, tracee, EVENT_ENTER, 0, &registers, true, 0);
}

void capture_leave(struct collector *collector, struct tracee *tracee,
		   const struct user_regs_struct *registers, bool signalled)
{
	uint16_t flags = signalled ? EVENT_SYSCALL_SIGNALLED : 0;
	int64_t result = registers->rax;

	/* ERESTARTSYS, -NOINTR, -NOHAND, _RESTARTBLOCK (linux/errno.h): the kernel begins the call
	 * again; it comes back as a new entry. */
	if (result <= -512 && result >= -516)
		return;
	if (result >= 0 && tracee->wanted & PLAN_LEAVE_OK)
		capture_call(collector, tracee, EVENT_LEAVE, result, registers, true, flags);
	else if (result == -EBADF && tracee->wanted & PLAN_LEAVE_EBADF)
		capture_call(collector, tracee, EVENT_LEAVE, result, registers, true, flags);
	else if ((result == -EMFILE || result == -ENFILE) && tracee->wanted & PLAN_LEAVE_FULL)
		capture_call(collector, tracee, EVENT_LEAVE, result, registers, true, flags);
	else if (result < 0 && tracee->wanted & PLAN_LEAVE_FAILED)
		capture_call(collector, tracee, EVENT_LEAVE, result, registers, false, flags);
}
