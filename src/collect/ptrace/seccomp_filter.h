/* The plan as a seccomp filter (classic BPF): calls that can be of interest stop, others run. */
#ifndef HTRACE_COLLECT_PTRACE_SECCOMP_FILTER_H
#define HTRACE_COLLECT_PTRACE_SECCOMP_FILTER_H

#include "base/array.h"
#include "event/plan.h"

#include <linux/filter.h>

struct seccomp_filter {
	ARRAY(struct sock_filter) code;
};

/* seccomp_filter_fini() frees. */
void seccomp_filter_build(struct seccomp_filter *filter, const struct plan *plan);
void seccomp_filter_fini(struct seccomp_filter *filter);

/* Puts it on this process; async-signal-safe. 0 or a negative errno. */
int seccomp_filter_install(const struct seccomp_filter *filter);

#endif
