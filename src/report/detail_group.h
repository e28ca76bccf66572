/* What the handles of a group are, all together: how many are in which state, where they lead to,
 * what they cost. */
#ifndef HTRACE_REPORT_DETAIL_GROUP_H
#define HTRACE_REPORT_DETAIL_GROUP_H

#include "detail/detail.h"
#include "report/report.h"

/* How many handles have something in common: "CLOSE_WAIT", "10.0.0.1:443", "nginx (41)". */
struct tally {
	char *text; /* as the kernel tells it: of a target */
	uint64_t count;
};

struct tallies {
	ARRAY(struct tally) items; /* the largest first */
};

struct group_detail {
	uint64_t known; /* handles of which details are known */
	struct tallies types, states, remotes, locals;
	struct tallies peers;  /* processes at the other ends */
	struct tallies shared; /* processes that hold the same open file descriptions */
	uint64_t without_peer; /* pipes and unix sockets with nobody at the other end */
	uint64_t deleted;      /* files without a name */
	uint64_t ended;        /* pidfds of processes that have ended */
	uint64_t receive_bytes, send_bytes; /* in queues and pipes */
	bool memory_known, disk_known;      /* of some of them the kernel tells the cost */
	uint64_t memory_bytes, disk_bytes;  /* each object counts once */
};

/* group_detail_fini() frees. `details` may be NULL: nothing is known then. */
void group_detail_make(struct group_detail *out, const struct details *details, int32_t pid,
		       const struct group *group);
void group_detail_fini(struct group_detail *detail);

/* What report->sort goes by, the largest first: handles open, bytes, age. After report_detail(). */
uint64_t group_weight(const struct report *report, const struct report_process *process,
		      const struct group *group);

#define cleanup_group_detail_fini group_detail_fini

#endif
