/* What the files of this folder share. Nobody outside includes it. */
#ifndef HTRACE_DETAIL_PRIVATE_H
#define HTRACE_DETAIL_PRIVATE_H

#include "base/map.h"
#include "detail/detail.h"

/* A handle that is wanted, and its detail in the making. */
struct wanted {
	struct detail detail;
	int32_t opener_pid, opener_tid;
	enum socket_table table; /* 0: it is no socket of a table that can be read */
	uint64_t link;           /* hash of its link in /proc/PID/fd; 0: it has gone */
	bool is_pipe;            /* or a fifo */
	bool is_memfd;
};

struct details {
	ARRAY(struct wanted) wanted;
	struct map index; /* pid, number -> index + 1 */
	struct map comms; /* pid -> its name (char *) */
	struct details_limits limits;
	uint64_t until_ns, until_cpu_ns; /* time is up then */
};

/* Whether it is; cut is set then. Others may keep us waiting: what counts is the time that we work,
 * and how long somebody waits for the answer only when it is very long. */
bool details_time_is_up(struct details *details);

/* The name of a process, or "". Borrowed. */
const char *details_comm(struct details *details, int32_t pid);

/* Hash of a link's text. */
uint64_t details_link(const char *link);

void detail_holders_add(struct details *details, struct detail_holders *holders, int32_t pid,
			int32_t number);

/* Fills in detail.socket of all. (sockets.c) */
void details_find_sockets(struct details *details);

/* Fills in holders and peers. (holders.c) */
void details_find_holders(struct details *details);

/* Fills in what is in pipes. (pipes.c) */
void details_look_into_pipes(struct details *details);

#endif
