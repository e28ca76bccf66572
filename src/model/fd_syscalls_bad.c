/* Owns which numbers a call took that are not open, as it said itself; the table has the last word.
 */
#include "model/fd_syscalls_private.h"

#include <errno.h>
#include <string.h>

enum { AT_FDCWD_NUMBER = -100 };

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
void decode_polled(struct op_list *list, const struct event_data *data)
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

void decode_bad_reference(struct op_list *list, const struct event_data *data)
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
