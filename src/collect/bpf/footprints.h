/* The table of known stacks, which the BPF program looks at: its user half. */
#ifndef HTRACE_COLLECT_BPF_FOOTPRINTS_H
#define HTRACE_COLLECT_BPF_FOOTPRINTS_H

#include "base/error.h"
#include "collect/bpf/shared.h"
#include "event/footprint.h"

struct footprints {
	struct bpf_footprint *entries; /* BPF_FOOTPRINTS_N, shared with the kernel */
	uint32_t turn;                 /* which one of a full set has to go next */
};

/* Maps the BPF map `map_fd`, which must live as long. */
int footprints_init(struct footprints *footprints, int map_fd, struct error *error);
void footprints_fini(struct footprints *footprints);

/* From now on stacks with `footprint`, while `mappings` is current, are recognised as `stack`. */
void footprints_add(struct footprints *footprints, uint64_t mappings,
		    const struct footprint *footprint, uint32_t stack);

#endif
