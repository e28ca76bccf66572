/*
 * What the open handles of living processes are, asked of the kernel at the moment of a report:
 * ends and states of sockets, who is at the other end, who else holds the same open file
 * description, what they cost. Nothing is opened in the targets' place and nothing of them changes.
 * Of a process that has ended nothing can be told.
 */
#ifndef HTRACE_DETAIL_DETAIL_H
#define HTRACE_DETAIL_DETAIL_H

#include "base/array.h"
#include "model/model.h"
#include "os/fdinfo.h"
#include "os/socket_info.h"

enum {
	DETAIL_HOLDERS_MAX = 8,
	DETAIL_COMM_BYTES = 16,
};

/* A descriptor of some process. */
struct detail_holder {
	int32_t pid, number;
	char comm[DETAIL_COMM_BYTES]; /* name of the process; "" where it has gone */
};

/* The first of them in ascending order, and how many there are. */
struct detail_holders {
	uint32_t count, shown;
	struct detail_holder items[DETAIL_HOLDERS_MAX];
};

enum detail_cost {
	COST_UNKNOWN = 0, /* the kernel does not tell */
	COST_MEMORY = 1,  /* bytes of the kernel's memory */
	COST_DISK = 2,    /* bytes of a file system, which the last close gives back */
};

struct detail {
	int32_t pid, number;
	uint64_t opened_ns; /* tells it from the number's next handle */
	struct fdinfo info;
	bool has_file; /* the following is known */
	uint32_t mode; /* st_mode */
	uint64_t device, inode;
	uint64_t size_bytes;        /* of a regular file */
	bool deleted;               /* it has no name any more */
	struct socket_info *socket; /* NULL: not one, or not found */
	bool unlisted;              /* a socket that is neither bound nor connected */
	bool reads, writes;         /* of a pipe or fifo: which end it is */
	bool pipe_known;            /* the following is known */
	uint32_t pipe_bytes, pipe_capacity;
	char opener[DETAIL_COMM_BYTES];  /* name of the opening thread; "": it has ended */
	char process[DETAIL_COMM_BYTES]; /* of a pidfd: that process's name */
	bool holders_known;
	struct detail_holders holders; /* of the same open file description, itself left out */
	bool peers_known;
	struct detail_holders peers; /* of the other end of a pipe, a unix socket or a connection
					within this machine */
	enum detail_cost cost;
	uint64_t cost_bytes;
	uint64_t object; /* equal in handles of one object: a sum counts it once */
};

/* What could not be looked at; all zero: everything was. */
struct details_limits {
	bool cut;                  /* there was no time, or room, for all descriptors */
	uint64_t left_out;         /* handles beyond the limit: nothing is known of them */
	uint32_t hidden_processes; /* whose descriptors we may not see */
};

struct details;

struct details *details_new(void);
void details_free(struct details *details);

/* `handle` of `process` is wanted; nothing happens where it cannot be told. The model need not
 * outlive the call. */
void details_want(struct details *details, const struct model *model, const struct process *process,
		  const struct handle *handle);

/* Asks for all that is wanted: once. Takes some milliseconds, and at most about a second. */
void details_gather(struct details *details);

/* NULL: it is not known. Borrowed. `details` may be NULL. */
const struct detail *details_get(const struct details *details, int32_t pid,
				 const struct handle *handle);

const struct details_limits *details_limits(const struct details *details);

#endif
