/*
 * Owns the plan and the decoding of recorded system calls into handle operations, both from the
 * data of fd_syscalls_table.c. Keeps no state: what is open is the model's business.
 */
#include "model/fd_syscalls.h"

#include "model/control_message.h"
#include "model/fd_syscalls_table.h"
#include "model/opening_type.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

enum {
	CLOSE_RANGE_UNSHARE_BIT = 2,
	CLOSE_RANGE_CLOEXEC_BIT = 4,
	CLONE_PIDFD_BIT = 0x1000,
	SOCKET_LEVEL = 1,
	SECCOMP_SET_MODE_FILTER_OP = 1,
	AT_FDCWD_NUMBER = -100,
};

/* Operations under construction; a full list ends with HANDLE_RECONCILE. */
struct op_list {
	struct handle_op *ops;
	size_t count;
	const struct event_syscall *event;
	const struct fd_syscall *row;
	bool cloexec;
};

static const struct fd_syscall *rows[PLAN_SYSCALLS_MAX];

static void rows_fill(void)
{
	for (size_t i = 0; i < fd_syscalls_table_n; i++)
		rows[fd_syscalls_table[i].number] = &fd_syscalls_table[i];
}

static const struct fd_syscall *row_of(uint32_t number)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, rows_fill);
	return number < PLAN_SYSCALLS_MAX ? rows[number] : NULL;
}

const char *fd_syscalls_name(uint32_t number)
{
	const struct fd_syscall *row = row_of(number);

	return row ? row->name : NULL;
}

const char *fd_syscalls_other_limit(uint32_t number, int32_t error)
{
	const struct fd_syscall *row = row_of(number);

	if (!row)
		return NULL;
	return error == -EMFILE ? row->emfile : error == -ENFILE ? row->enfile : NULL;
}

static uint8_t plan_when_of(const struct fd_syscall *row)
{
	switch (row->does) {
	case FD_NOTHING:
	case FD_POLL:
	case FD_SELECT:
		return 0;
	case FD_CLOSE:
	case FD_CLOSE_RANGE:
		return PLAN_ENTER | PLAN_LEAVE_FAILED;
	case FD_UNSHARE:
		return PLAN_LEAVE_OK;
	default:
		return PLAN_LEAVE_OK | PLAN_LEAVE_FULL;
	}
}

static uint8_t plan_when_bad(const struct fd_syscall *row)
{
	switch (row->does) {
	case FD_POLL:
		return PLAN_LEAVE_OK;
	case FD_SELECT:
		return PLAN_LEAVE_EBADF;
	case FD_CLOSE: /* its ENTER has the stack already, and its failure is recorded anyway */
		return 0;
	default:
		return row->fd_arg != PLAN_NO_ARG ? PLAN_LEAVE_EBADF : 0;
	}
}

void fd_syscalls_plan(struct plan *out, bool bad_references)
{
	*out = (struct plan){0};
	for (size_t i = 0; i < PLAN_SYSCALLS_MAX; i++)
		out->calls[i].fd_arg = out->calls[i].fd_arg2 = PLAN_NO_ARG;
	for (size_t i = 0; i < fd_syscalls_table_n; i++) {
		const struct fd_syscall *row = &fd_syscalls_table[i];

		out->calls[row->number] = (struct syscall_plan){
		    .when = plan_when_of(row),
		    .out = row->out,
		    .out_arg = row->out_arg,
		    .out_offset = row->out_offset,
		    .data = row->data,
		    .data_arg = row->data_arg,
		    .fd_arg = row->fd_arg,
		    .fd_arg2 = row->fd_arg2,
		    .guard = row->guard,
		    .guard_arg = row->guard_arg,
		    .guard_value = row->guard_value,
		};
		if (bad_references)
			out->calls[row->number].when |= plan_when_bad(row);
	}
	for (size_t i = 0; i < fd_requests_table_n; i++) {
		const struct fd_request *request = &fd_requests_table[i];

		if (request->does != REQUEST_ELSEWHERE && request->does != REQUEST_TAKES)
			out->guard_values[out->guard_values_n++] =
			    (struct plan_guard_value){request->number, request->value};
	}
	for (size_t i = 0; i < fd_questions_table_n; i++)
		out->questions[out->questions_n++] = fd_questions_table[i];
}

static void op_add(struct op_list *list, struct handle_op op)
{
	if (list->count < HANDLE_OPS_MAX)
		list->ops[list->count++] = op;
	else
		list->ops[HANDLE_OPS_MAX - 1] = (struct handle_op){.kind = HANDLE_RECONCILE};
}

static void op_reconcile(struct op_list *list)
{
	op_add(list, (struct handle_op){.kind = HANDLE_RECONCILE});
}

/* A new handle; a number that cannot be one means that the record is not what it seems. */
static void op_open(struct op_list *list, int64_t number, const char *type, bool cloexec)
{
	if (number < 0 || number > INT32_MAX)
		op_reconcile(list);
	else
		op_add(list, (struct handle_op){.kind = HANDLE_OPEN,
						.number = (int32_t)number,
						.type = type,
						.cloexec = cloexec});
}

static void op_duplicate(struct op_list *list, int64_t number, bool cloexec)
{
	if (number > INT32_MAX)
		op_reconcile(list);
	else
		op_add(list, (struct handle_op){.kind = HANDLE_DUPLICATE,
						.number = (int32_t)number,
						.source = (int32_t)list->event->args[0],
						.cloexec = cloexec});
}

static bool cloexec_of(const struct event_syscall *event, uint8_t source, uint8_t index,
		       uint32_t mask)
{
	switch (source) {
	case CLOEXEC_ALWAYS:
		return true;
	case CLOEXEC_ARG:
		return event->args[index] & mask;
	case CLOEXEC_OUT:
		return event->out[index] & mask;
	default:
		return false;
	}
}

static void decode_open(struct op_list *list, const struct event_data *data)
{
	const char *name = NULL;
	uint32_t bytes = 0;

	if (data && data->kind == EVENT_DATA_PATH && list->row->data == PLAN_DATA_PATH) {
		name = (const char *)data->bytes;
		bytes = strnlen(name, data->size);
	}
	op_open(list, list->event->result, opening_type(list->event, list->row->type, name, bytes),
		list->cloexec);
	if (list->row->alike) {
		list->ops[0].alike = true;
		list->ops[0].source = (int32_t)list->event->args[0];
	}
	if (bytes && list->ops[0].kind == HANDLE_OPEN) {
		list->ops[0].name = name;
		list->ops[0].name_bytes = bytes;
	}
}

/* The calls that a guard narrows: only some of their arguments give a descriptor. */
static bool opens_new(const struct event_syscall *event, const struct fd_syscall *row)
{
	switch (row->guard) {
	case PLAN_GUARD_EQUAL:
		return (uint32_t)event->args[row->guard_arg] == row->guard_value;
	case PLAN_GUARD_MASK: /* seccomp, the only one */
		return event->args[0] == SECCOMP_SET_MODE_FILTER_OP &&
		       event->args[row->guard_arg] & row->guard_value;
	case PLAN_GUARD_SET:
		for (size_t i = 0; i < fd_requests_table_n; i++)
			if (fd_requests_table[i].number == row->number &&
			    fd_requests_table[i].value == (uint32_t)event->args[row->guard_arg])
				return true;
		return false;
	default:
		return true;
	}
}

static void decode_pair(struct op_list *list)
{
	const uint64_t *out = list->event->out;
	const char *type;

	if (out[0] == out[1]) { /* two numbers are never equal: they could not be read */
		op_reconcile(list);
		return;
	}
	type = opening_type(list->event, list->row->type, NULL, 0);
	op_open(list, (int32_t)out[0], type, list->cloexec);
	op_open(list, (int32_t)out[1], type, list->cloexec);
}

static void decode_clone(struct op_list *list)
{
	const struct event_syscall *event = list->event;
	bool clone3 = list->row->does == FD_OPEN_CLONE3;
	uint64_t flags = clone3 ? event->out[0] : event->args[0];

	if (event->result > 0 && flags & CLONE_PIDFD_BIT) /* 0: this is the child's return */
		op_open(list, (int32_t)event->out[clone3], list->row->type, true);
}

static void receive_one(void *context, int32_t number, bool pidfd)
{
	struct op_list *list = context;

	if (pidfd)
		op_open(list, number, "pidfd", true);
	else
		op_add(list, (struct handle_op){.kind = HANDLE_RECEIVE,
						.number = number,
						.cloexec = list->cloexec});
}

static void decode_receive(struct op_list *list, const struct event_data *data)
{
	if (!data || data->kind != EVENT_DATA_CONTROL) {
		op_reconcile(list);
		return;
	}
	if (!control_message_each(data->bytes, data->size, receive_one, list) ||
	    data->header.flags & EVENT_DATA_CUT)
		op_reconcile(list);
}

static void op_cloexec(struct op_list *list, int32_t first, int32_t last, bool cloexec)
{
	op_add(list,
	       (struct handle_op){
		   .kind = HANDLE_CLOEXEC, .number = first, .last = last, .cloexec = cloexec});
}

static void decode_request(struct op_list *list, uint32_t value)
{
	const struct event_syscall *event = list->event;
	int32_t fd = (int32_t)event->args[0];
	const struct fd_request *request = NULL;
	bool cloexec;

	for (size_t i = 0; i < fd_requests_table_n; i++)
		if (fd_requests_table[i].number == event->number &&
		    fd_requests_table[i].value == value)
			request = &fd_requests_table[i];
	if (!request)
		return;
	cloexec = cloexec_of(event, request->cloexec, request->cloexec_arg, request->cloexec_mask);
	switch (request->does) {
	case REQUEST_OPEN:
		op_open(list, event->result, request->type, cloexec);
		break;
	case REQUEST_OPEN_OUT:
		if (event->out[1] & request->none_mask)
			break;
		op_open(list, (int32_t)event->out[request->out_index], request->type, cloexec);
		break;
	case REQUEST_DUP:
		op_duplicate(list, event->result, cloexec);
		break;
	case REQUEST_SET_FD:
		op_cloexec(list, fd, fd, event->args[2] & 1);
		break;
	case REQUEST_SET_CLOEXEC:
	case REQUEST_CLEAR_CLOEXEC:
		op_cloexec(list, fd, fd, request->does == REQUEST_SET_CLOEXEC);
		break;
	}
}

/* Entry, or a failure of a call that could have done something. */
static void decode_close_range(struct op_list *list)
{
	const struct event_syscall *event = list->event;
	uint32_t first = event->args[0], last = event->args[1], flags = event->args[2];

	if (first > last || flags & ~(uint32_t)(CLOSE_RANGE_UNSHARE_BIT | CLOSE_RANGE_CLOEXEC_BIT))
		return; /* EINVAL, and nothing done */
	if (event->phase == EVENT_LEAVE) {
		if (event->result < 0)
			op_reconcile(list);
		return;
	}
	if (flags & CLOSE_RANGE_UNSHARE_BIT)
		op_add(list, (struct handle_op){.kind = HANDLE_UNSHARE});
	if (first > INT32_MAX)
		return;
	if (last > INT32_MAX)
		last = INT32_MAX;
	if (flags & CLOSE_RANGE_CLOEXEC_BIT)
		op_cloexec(list, (int32_t)first, (int32_t)last, true);
	else
		op_add(list, (struct handle_op){.kind = HANDLE_CLOSE_RANGE,
						.number = (int32_t)first,
						.last = (int32_t)last});
}

static void decode_close(struct op_list *list)
{
	const struct event_syscall *event = list->event;
	int32_t fd = (int32_t)event->args[0];

	if (event->phase == EVENT_ENTER)
		op_add(list, (struct handle_op){.kind = HANDLE_CLOSE, .number = fd});
	else if (event->result < 0)
		op_add(list, (struct handle_op){
				 .kind = HANDLE_CLOSE_FAILED,
				 .number = fd,
				 .error = event->result < -4095 ? -EIO : (int32_t)event->result});
}

static bool only_asks(const struct op_list *list)
{
	const struct event_syscall *event = list->event;

	for (size_t i = 0; i < fd_questions_table_n; i++)
		if (fd_questions_table[i].number == event->number &&
		    fd_questions_table[i].value == (uint32_t)event->args[1] &&
		    event->args[2] >= fd_questions_table[i].least)
			return true;
	return false;
}

static void op_bad(struct op_list *list, int32_t number, bool asks)
{
	op_add(list,
	       (struct handle_op){
		   .kind = HANDLE_BAD_REFERENCE, .number = number, .asks = asks, .error = -EBADF});
}

/* The second argument that is a descriptor; NO_ARG: this call has none. */
static uint8_t second_of(const struct op_list *list)
{
	const struct event_syscall *event = list->event;
	const struct fd_syscall *row = list->row;
	uint64_t value = event->args[row->fd2_guard_arg];

	if (row->fd2_values && (value >= 32 || !(row->fd2_values >> value & 1)))
		return PLAN_NO_ARG;
	if (row->does != FD_IOCTL)
		return row->fd_arg2;
	for (size_t i = 0; i < fd_requests_table_n; i++)
		if (fd_requests_table[i].number == row->number &&
		    fd_requests_table[i].does == REQUEST_TAKES &&
		    fd_requests_table[i].value == (uint32_t)event->args[1])
			return 2;
	return PLAN_NO_ARG;
}

/* Any of them; which one is not open, the table says. */
static void decode_sets(struct op_list *list, const struct event_data *data)
{
	uint64_t count = (uint32_t)list->event->args[0];

	if (!data || data->kind != EVENT_DATA_SETS || data->size < 3 * EVENT_SET_BYTES)
		return;
	for (uint32_t number = 0; number < count && number < 8 * EVENT_SET_BYTES; number++) {
		uint8_t bits = 0;

		for (size_t set = 0; set < 3; set++)
			bits |= data->bytes[set * EVENT_SET_BYTES + number / 8];
		if (bits >> number % 8 & 1)
			op_bad(list, (int32_t)number, false);
	}
}

/*
 * poll(2) of no events that does not wait is another way to ask: Rust's start-up does it with 0, 1
 * and 2.
 */
static void decode_polled(struct op_list *list, const struct event_data *data)
{
	bool waits = strcmp(list->row->name, "poll") != 0 || (int32_t)list->event->args[2] != 0;

	if (!data || data->kind != EVENT_DATA_POLLED)
		return;
	for (size_t i = 0; i + sizeof(struct event_polled) <= data->size;
	     i += sizeof(struct event_polled)) {
		struct event_polled polled;

		memcpy(&polled, data->bytes + i, sizeof(polled));
		if (polled.number >= 0)
			op_bad(list, polled.number, !waits && !polled.events);
	}
}

static void decode_bad_reference(struct op_list *list, const struct event_data *data)
{
	const uint8_t args[] = {list->row->fd_arg, second_of(list)};

	if (list->row->does == FD_SELECT) {
		decode_sets(list, data);
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		int32_t number = args[i] < 6 ? (int32_t)list->event->args[args[i]] : 0;

		if (args[i] < 6 && number != AT_FDCWD_NUMBER)
			op_bad(list, number, only_asks(list));
	}
}

/* Only of calls that would have made a handle: another ioctl has its own reasons. */
static void decode_exhausted(struct op_list *list)
{
	const struct event_syscall *event = list->event;
	const struct fd_syscall *row = list->row;

	if (plan_when_of(row) & PLAN_LEAVE_FULL &&
	    (row->guard == PLAN_GUARD_MASK ? event->args[row->guard_arg] & row->guard_value
					   : opens_new(event, row)))
		op_add(list, (struct handle_op){.kind = HANDLE_EXHAUSTED,
						.number = -1,
						.error = (int32_t)event->result});
}

static void decode_success(struct op_list *list, const struct event_data *data)
{
	const struct event_syscall *event = list->event;

	switch (list->row->does) {
	case FD_OPEN:
		decode_open(list, data);
		break;
	case FD_OPEN_IF_NEW:
		if (opens_new(event, list->row))
			decode_open(list, data);
		break;
	case FD_OPEN_OUT: /* getsockopt, the only one */
		if (opens_new(event, list->row) && (uint32_t)event->args[1] == SOCKET_LEVEL)
			op_open(list, (int32_t)event->out[0], list->row->type, list->cloexec);
		break;
	case FD_OPEN_PAIR:
		decode_pair(list);
		break;
	case FD_OPEN_CLONE:
	case FD_OPEN_CLONE3:
		decode_clone(list);
		break;
	case FD_DUP_ONTO:
		if ((uint32_t)event->args[0] == (uint32_t)event->args[1])
			break;
		/* fall through */
	case FD_DUP:
		op_duplicate(list, event->result, list->cloexec);
		break;
	case FD_RECEIVE:
		decode_receive(list, data);
		break;
	case FD_UNSHARE:
		if (event->args[0] & list->row->guard_value)
			op_add(list, (struct handle_op){.kind = HANDLE_UNSHARE});
		break;
	case FD_POLL:
		decode_polled(list, data);
		break;
	case FD_FCNTL:
	case FD_IOCTL:
		decode_request(list, (uint32_t)event->args[1]);
		break;
	}
}

size_t fd_syscalls_decode(const struct event_syscall *event, const struct event_data *data,
			  struct handle_op out[static HANDLE_OPS_MAX])
{
	const struct fd_syscall *row = row_of(event->number);
	struct op_list list = {.ops = out, .event = event, .row = row};

	if (!row)
		return 0;
	list.cloexec = cloexec_of(event, row->cloexec, row->cloexec_arg, row->cloexec_mask);
	if (row->does == FD_CLOSE)
		decode_close(&list);
	else if (row->does == FD_CLOSE_RANGE)
		decode_close_range(&list);
	else if (event->phase != EVENT_LEAVE)
		return 0;
	else if (event->result == -EBADF)
		decode_bad_reference(&list, data);
	else if (event->result == -EMFILE || event->result == -ENFILE)
		decode_exhausted(&list);
	else if (event->result >= 0)
		decode_success(&list, data);
	return list.count;
}

const char *fd_syscalls_fixed_name(const char *type)
{
	/* The kernel's anon_inode_getfd() and anon_inode_getfile() calls. A pidfd and a bpf handle
	 * have several names. */
	static const struct {
		const char *type, *name;
	} names[] = {
	    {"eventfd", "anon_inode:[eventfd]"},   {"epoll", "anon_inode:[eventpoll]"},
	    {"timerfd", "anon_inode:[timerfd]"},   {"signalfd", "anon_inode:[signalfd]"},
	    {"inotify", "anon_inode:inotify"},     {"fanotify", "anon_inode:[fanotify]"},
	    {"io_uring", "anon_inode:[io_uring]"}, {"userfaultfd", "anon_inode:[userfaultfd]"},
	    {"perf", "anon_inode:[perf_event]"},   {"fscontext", "anon_inode:[fscontext]"},
	};

	for (size_t i = 0; type && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(type, names[i].type))
			return names[i].name;
	return NULL;
}
