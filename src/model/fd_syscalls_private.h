/* What the files of fd_syscalls share: the row of a call, and operations under construction. */
#ifndef HTRACE_MODEL_FD_SYSCALLS_PRIVATE_H
#define HTRACE_MODEL_FD_SYSCALLS_PRIVATE_H

#include "model/fd_syscalls.h"
#include "model/fd_syscalls_table.h"

/* A full list ends with HANDLE_RECONCILE. */
struct op_list {
	struct handle_op *ops;
	size_t count;
	const struct event_syscall *event;
	const struct fd_syscall *row;
	bool cloexec;
};

/* fd_syscalls.c: NULL: the call is none of our business; when it is recorded for what it does. */
const struct fd_syscall *fd_syscalls_row(uint32_t number);
uint8_t fd_syscalls_when(const struct fd_syscall *row);

/* fd_syscalls_decode.c */
void op_add(struct op_list *list, struct handle_op op);

/* fd_syscalls_bad.c: a call that said EBADF, and a poll() that found what is not open. */
void decode_bad_reference(struct op_list *list, const struct event_data *data);
void decode_polled(struct op_list *list, const struct event_data *data);

#endif
