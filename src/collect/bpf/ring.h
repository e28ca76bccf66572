/*
 * The user side of a BPF ring buffer (kernel: kernel/bpf/ringbuf.c, "Perf ring buffer
 * implementation"; layout: one page with the consumer's position, one with the producer's, the data
 * mapped twice in a row). libbpf's reader tells the kernel its position after each record, and the
 * cache line in which it does goes to and fro between the CPUs; this one tells it now and then.
 */
#ifndef HTRACE_COLLECT_BPF_RING_H
#define HTRACE_COLLECT_BPF_RING_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct ring {
	int fd; /* of the map, borrowed; readable (poll) when records wait */
	uint64_t *consumer;
	const uint64_t *producer;
	const uint8_t *data;
	size_t bytes;       /* of the ring, a power of two */
	uint64_t position;  /* next to be read */
	uint64_t published; /* what the kernel knows of it */
	uint64_t available; /* producer's position when last looked at */
};

/* Maps the ring of `map_fd`, of `bytes`. ring_fini() unmaps; a zeroed ring may be given to it. */
int ring_init(struct ring *ring, int map_fd, size_t bytes, struct error *error);
void ring_fini(struct ring *ring);

/* The next record's bytes, or NULL where none is complete. Good until ring_release(). */
const void *ring_next(struct ring *ring, size_t *bytes);

/* Gives back to the kernel all records that were read. Call it when ring_next() says NULL, at the
 * latest; it does so by itself after every 64th of the ring, when the next record is asked for. */
void ring_release(struct ring *ring);

#endif
