/* Owns the decoding of recorded system calls into handle operations. */
#include "model/fd_syscalls_private.h"

#include "model/control_message.h"
#include "model/opening_type.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum {
	CLOSE_RANGE_UNSHARE_BIT = 2,
	CLOSE_RANGE_CLOEXEC_BIT = 4,
	CLONE_PIDFD_BIT = 0x1000,
	SOCKET_LEVEL = 1,
	SECCOMP_SET_MODE_FILTER_OP = 1,
};

void op_add(struct op_list *list, struct handle_op op)
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

/* Only of calls that would have made a handle: another ioctl has its own reasons. */
static void decode_exhausted(struct op_list *list)
{
	const struct event_syscall *event = list->event;
	const struct fd_syscall *row = list->row;

	if (fd_syscalls_when(row) & PLAN_LEAVE_FULL &&
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
	const struct fd_syscall *row = fd_syscalls_row(event->number);
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
