/* The EVENT_DATA that goes before a call's record: what is in it, before there is room for it. */
#ifndef HTRACE_AGENT_DATA_H
#define HTRACE_AGENT_DATA_H

#include "agent.h"

struct call_data {
	uint16_t kind;  /* enum event_data_kind; 0: there is none */
	uint16_t flags; /* enum event_data_flags */
	uint32_t bytes; /* to be copied, a multiple of 8 but of a path */
	uint64_t address;
	uint32_t messages; /* `address` is an array of so many struct mmsghdr or struct pollfd */
	bool touched;      /* touched.h: may be read as it is */
};

/* False: the plan says that without this data there is nothing to record. */
bool data_find(struct call_data *data, const struct syscall_plan *plan, uint32_t number,
	       const struct call_frame *frame, int64_t result);

/* Bytes of the record; 0: there is none. */
uint32_t data_record_bytes(const struct call_data *data);
/* Fills all of the record but its header's size, type and time. */
void data_fill(const struct call_data *data, struct event_data *event,
	       const struct agent_thread *thread, const struct syscall_plan *plan,
	       const struct call_frame *frame);

#endif
