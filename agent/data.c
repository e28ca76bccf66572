/* Owns what is copied of paths and control messages, as collect/bpf/data.bpf.h does. */
#include "data.h"

#include "touched.h"

enum {
	PATH_ROOM = 512, /* its NUL included */
	PATH_PIECE = 64,
	CONTROL_ROOM = 8192,
	MMSGHDR_BYTES = 64,
	MESSAGES_MAX = 64,
	POLL_PIECE = 16,
	POLLNVAL = 0x20,     /* poll(2) */
	CONTROL_OFFSET = 32, /* of msg_control in struct msghdr; msg_controllen is behind it */
};

/* ---- paths ---- */

static uint32_t length_within(const char *text, uint32_t most)
{
	uint32_t length = 0;

	while (length < most && text[length])
		length++;
	return length;
}

/* The same for a string that may not be there. */
static uint32_t length_unsafe(uint64_t address, uint32_t most)
{
	char piece[PATH_PIECE];
	uint32_t length = 0;

	while (length < most) {
		uint32_t got = (uint32_t)safe_copy(piece, address + length, sizeof(piece));
		uint32_t used = length_within(piece, got);

		length += used;
		if (used < sizeof(piece))
			break;
	}
	return length < most ? length : most;
}

static void find_path(struct call_data *data, uint32_t number)
{
	data->kind = EVENT_DATA_PATH;
	data->bytes = data->touched ? length_within((const char *)data->address, PATH_ROOM - 1)
				    : length_unsafe(data->address, PATH_ROOM - 1);
	if (data->bytes == PATH_ROOM - 1)
		data->flags = EVENT_DATA_CUT;
}

/* ---- control messages ---- */

struct control {
	uint64_t address, bytes;
};

/* Control bytes of one message, with room for the next one's alignment. */
static struct control control_of(const struct call_data *data, uint64_t message)
{
	struct control control = {0};
	uint64_t from = message + CONTROL_OFFSET;

	if (data->touched)
		control = *(const struct control *)from;
	else if (safe_copy(&control, from, sizeof(control)) != sizeof(control))
		control.bytes = 0;
	control.bytes = control.address ? (control.bytes + 7) & ~7ull : 0;
	return control;
}

static void find_control(struct call_data *data)
{
	struct control control = control_of(data, data->address);

	data->kind = control.bytes ? EVENT_DATA_CONTROL : 0;
	data->address = control.address;
	data->bytes = control.bytes > CONTROL_ROOM ? 0 : (uint32_t)control.bytes;
	if (control.bytes > CONTROL_ROOM)
		data->flags = EVENT_DATA_CUT;
}

/* Whether one more message finds room behind `used` bytes. */
static bool fits(uint64_t used, uint64_t bytes)
{
	return used <= CONTROL_ROOM / 2 && bytes <= CONTROL_ROOM / 2;
}

static void find_control_vector(struct call_data *data, int64_t messages)
{
	data->messages = messages < MESSAGES_MAX ? (uint32_t)messages : MESSAGES_MAX;
	if (messages > MESSAGES_MAX)
		data->flags = EVENT_DATA_CUT;
	for (uint32_t i = 0; i < data->messages; i++) {
		struct control control = control_of(data, data->address + i * MMSGHDR_BYTES);

		if (!control.bytes)
			continue;
		if (fits(data->bytes, control.bytes))
			data->bytes += (uint32_t)control.bytes;
		else
			data->flags = EVENT_DATA_CUT;
	}
	data->kind = data->bytes || data->flags ? EVENT_DATA_CONTROL : 0;
}

/* Copies to `to`; what is not there, or is longer than before, is left as zeros. */
static void copy_vector(const struct call_data *data, uint8_t *to)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < data->messages; i++) {
		struct control control = control_of(data, data->address + i * MMSGHDR_BYTES);

		if (control.bytes && control.bytes <= data->bytes - used &&
		    fits(used, control.bytes)) {
			safe_copy(to + used, control.address, control.bytes);
			used += control.bytes;
		}
	}
}

/* ---- descriptors that are waited for ---- */

/* Those of `entries` that are not open go to `to`, as long as there is room: how many they are. */
static uint32_t take_polled(const struct event_polled *entries, uint64_t count,
			    struct event_polled *to, uint32_t room)
{
	uint32_t found = 0;

	for (uint64_t i = 0; i < count && found < room; i++)
		if (entries[i].revents & POLLNVAL)
			to[found++] = entries[i];
	return found;
}

static uint32_t copy_polled(const struct call_data *data, struct event_polled *to, uint32_t room)
{
	struct event_polled piece[POLL_PIECE];
	uint32_t found = 0;

	if (data->touched)
		return take_polled((const struct event_polled *)data->address, data->messages, to,
				   room);
	for (uint64_t at = 0; at < data->messages && found < room; at += POLL_PIECE) {
		uint64_t most = data->messages - at < POLL_PIECE ? data->messages - at : POLL_PIECE;
		uint64_t got =
		    safe_copy(piece, data->address + at * sizeof(*piece), most * sizeof(*piece));

		found += take_polled(piece, got / sizeof(*piece), to + found, room - found);
	}
	return found;
}

static void find_polled(struct call_data *data, uint64_t count)
{
	struct event_polled found[EVENT_POLLED_MAX];

	data->messages = (uint32_t)count < PLAN_POLLED_MAX ? (uint32_t)count : PLAN_POLLED_MAX;
	data->bytes = copy_polled(data, found, EVENT_POLLED_MAX) * (uint32_t)sizeof(*found);
	data->kind = data->bytes ? EVENT_DATA_POLLED : 0;
}

/* Another thread may have changed them since: what is missing is left as number -1. */
static void fill_polled(const struct call_data *data, uint8_t *to)
{
	memset(to, 0xff, data->bytes);
	copy_polled(data, (struct event_polled *)to,
		    data->bytes / (uint32_t)sizeof(struct event_polled));
}

static void find_sets(struct call_data *data, uint64_t bits)
{
	data->kind = EVENT_DATA_SETS;
	data->bytes = 3 * EVENT_SET_BYTES;
	if ((uint32_t)bits > 8 * EVENT_SET_BYTES)
		data->flags = EVENT_DATA_CUT;
}

static void fill_sets(uint8_t *to, const struct syscall_plan *plan, const struct call_frame *frame)
{
	uint64_t bits = (uint32_t)call_argument(frame, plan->data_arg - 1);
	uint64_t bytes = (bits + 63) / 64 * 8;

	bytes = bytes < EVENT_SET_BYTES ? bytes : EVENT_SET_BYTES;
	memset(to, 0, 3 * EVENT_SET_BYTES);
	for (uint8_t i = 0; i < 3; i++) {
		uint64_t from = call_argument(frame, plan->data_arg + i);

		if (from)
			safe_copy(to + i * EVENT_SET_BYTES, from, bytes);
	}
}

/* ---- all of them ---- */

bool data_find(struct call_data *data, const struct syscall_plan *plan, uint32_t number,
	       const struct call_frame *frame, int64_t result)
{
	uint8_t arg = plan->data_arg;

	if (plan->data == PLAN_DATA_POLLED && !result)
		return false;
	*data = (struct call_data){.address = call_argument(frame, arg)};
	switch (plan->data) {
	case PLAN_DATA_PATH:
		data->touched = touched_string(number, arg);
		find_path(data, number);
		return true;
	case PLAN_DATA_CONTROL:
		data->touched = touched_message(number, arg);
		find_control(data);
		return data->kind;
	case PLAN_DATA_CONTROL_VECTOR:
		data->touched = touched_messages(number, arg);
		find_control_vector(data, result);
		return data->kind;
	case PLAN_DATA_POLLED:
		data->touched = touched_polled(number, arg);
		find_polled(data, call_argument(frame, arg + 1));
		return data->kind;
	case PLAN_DATA_SETS:
		find_sets(data, call_argument(frame, arg - 1));
		return true;
	}
	return true;
}

uint32_t data_record_bytes(const struct call_data *data)
{
	return data->kind ? (uint32_t)sizeof(struct event_data) + ((data->bytes + 7) & ~7u) : 0;
}

void data_fill(const struct call_data *data, struct event_data *event,
	       const struct agent_thread *thread, const struct syscall_plan *plan,
	       const struct call_frame *frame)
{
	record_header(&event->header, thread, data->flags);
	event->kind = data->kind;
	event->size = data->bytes;
	if (data->kind == EVENT_DATA_POLLED)
		fill_polled(data, event->bytes);
	else if (data->kind == EVENT_DATA_SETS)
		fill_sets(event->bytes, plan, frame);
	else if (data->messages)
		copy_vector(data, event->bytes);
	else if (data->touched && data->kind == EVENT_DATA_PATH)
		memcpy(event->bytes, (const void *)data->address, data->bytes);
	else
		safe_copy(event->bytes, data->address, data->bytes);
}
