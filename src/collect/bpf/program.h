/* The kernel half of the BPF collector, loaded and attached. */
#ifndef HTRACE_COLLECT_BPF_PROGRAM_H
#define HTRACE_COLLECT_BPF_PROGRAM_H

#include "base/error.h"
#include "collect/bpf/shared.h"
#include "collect/collector.h"

#include <stdbool.h>
#include <stdint.h>

enum { PROGRAM_LINKS_MAX = 8 };

struct program {
	struct bpf_object *object;
	struct bpf_link *links[PROGRAM_LINKS_MAX];
	unsigned links_n;
	int ring_fd, traced_fd, known_stacks_fd; /* of its maps; owned by the object */
	struct bpf_counters *counters;           /* its .bss, mapped */
	bool everything;                         /* as collector_options says */
};

/* Loads it with the plan and sizes of `options`; -EPERM where that is not permitted, -EOPNOTSUPP in
 * a pid namespace that BPF does not count in. program_fini() detaches and unloads. */
int program_init(struct program *program, const struct collector_options *options,
		 struct error *error);
void program_fini(struct program *program);

/* From here on, and until then, it makes records. */
int program_attach(struct program *program, struct error *error);
void program_detach(struct program *program);

/*
 * Its runs that the kernel left out, because the same program was under way on that CPU (a kernel
 * that preempts it may do so). They are counted for all processes of the machine alike.
 */
uint64_t program_missed(const struct program *program);

#endif
