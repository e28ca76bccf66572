/* The table of known stacks, which the BPF program looks at: its user half. */
#ifndef HTRACE_COLLECT_BPF_FOOTPRINTS_H
#define HTRACE_COLLECT_BPF_FOOTPRINTS_H

#include "base/array.h"
#include "base/error.h"
#include "collect/bpf/ring.h"
#include "collect/bpf/shared.h"
#include "event/footprint.h"

/* A stack that is recognised no more; records that were made before may still name it. */
struct retired_stack {
	uint64_t until; /* ring.position; behind it there are none */
	uint32_t stack;
};

struct footprints {
	struct bpf_footprint *entries; /* BPF_FOOTPRINTS_N, shared with the kernel */
	const struct ring *ring;
	uint32_t turn; /* which one of a full set has to go next */
	ARRAY(struct retired_stack) retired;
	size_t retired_most; /* so many are looked through for those that are over */
};

/* Maps the BPF map `map_fd`; that and `ring`, which the records come from, must live as long. */
int footprints_init(struct footprints *footprints, int map_fd, const struct ring *ring,
		    struct error *error);
void footprints_fini(struct footprints *footprints);

/* From now on stacks with `footprint`, while `mappings` is current, are recognised as `stack`. */
void footprints_add(struct footprints *footprints, uint64_t mappings,
		    const struct footprint *footprint, uint32_t stack);

/* Each number of a stack that a record may still name, some more than once. */
void footprints_each_stack(const struct footprints *footprints,
			   void (*each)(void *context, uint32_t stack), void *context);

#endif
