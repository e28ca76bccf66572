/*
 * Memory that a call which just worked has read or written itself, and that we may read without
 * asking whether it is there: exactly so far, and only of calls where no driver has a say. The plan
 * lies in shared memory and is not believed here.
 */
#ifndef HTRACE_AGENT_TOUCHED_H
#define HTRACE_AGENT_TOUCHED_H

#include <asm/unistd.h>
#include <stdbool.h>
#include <stdint.h>

/* args[arg] is a string, read to its NUL. */
static inline bool touched_string(uint32_t number, uint8_t arg)
{
	switch (number) {
	case __NR_open:
	case __NR_creat:
	case __NR_memfd_create:
		return arg == 0;
	case __NR_openat:
	case __NR_openat2:
		return arg == 1;
	}
	return false;
}

/* args[arg] is int[2]. */
static inline bool touched_pair(uint32_t number, uint8_t arg)
{
	return ((number == __NR_pipe || number == __NR_pipe2) && arg == 0) ||
	       (number == __NR_socketpair && arg == 3);
}

/* args[1] is a struct msghdr, or as many of struct mmsghdr as the result says. */
static inline bool touched_message(uint32_t number, uint8_t arg)
{
	return number == __NR_recvmsg && arg == 1;
}

static inline bool touched_messages(uint32_t number, uint8_t arg)
{
	return number == __NR_recvmmsg && arg == 1;
}

/* args[0] is as many struct pollfd as args[1] says: read, and revents written. */
static inline bool touched_polled(uint32_t number, uint8_t arg)
{
	return (number == __NR_poll || number == __NR_ppoll) && arg == 0;
}

#endif
