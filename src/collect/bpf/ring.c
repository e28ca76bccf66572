/* Owns the two positions and the mappings of a BPF ring buffer; knows no record's meaning. */
#include "collect/bpf/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RELEASE_SHARE = 64 };

int ring_init(struct ring *ring, int map_fd, size_t bytes, struct error *error)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	void *producer = mmap(NULL, page + 2 * bytes, PROT_READ, MAP_SHARED, map_fd, page);

	*ring = (struct ring){.fd = map_fd, .bytes = bytes};
	if (consumer != MAP_FAILED)
		ring->consumer = consumer;
	if (producer != MAP_FAILED) {
		ring->producer = producer;
		ring->data = (const uint8_t *)producer + page;
	}
	if (!ring->consumer || !ring->producer) {
		int code = -errno;

		ring_fini(ring);
		return error_set_errno(error, code, "cannot map the BPF ring buffer");
	}
	ring->position = ring->published = *ring->consumer;
	return 0;
}

void ring_fini(struct ring *ring)
{
	size_t page = sysconf(_SC_PAGESIZE);

	if (ring->consumer)
		munmap(ring->consumer, page);
	if (ring->producer)
		munmap((void *)ring->producer, page + 2 * ring->bytes);
	*ring = (struct ring){0};
}

void ring_release(struct ring *ring)
{
	if (ring->position == ring->published)
		return;
	__atomic_store_n(ring->consumer, ring->position, __ATOMIC_RELEASE);
	ring->published = ring->position;
}

const void *ring_next(struct ring *ring, size_t *bytes)
{
	if (ring->position - ring->published >= ring->bytes / RELEASE_SHARE)
		ring_release(ring);
	for (;;) {
		const uint8_t *header = ring->data + (ring->position & (ring->bytes - 1));
		uint32_t length;

		if (ring->position >= ring->available) {
			ring->available = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
			if (ring->position >= ring->available)
				return NULL;
		}
		length = __atomic_load_n((const uint32_t *)header, __ATOMIC_ACQUIRE);
		if (length & BPF_RINGBUF_BUSY_BIT)
			return NULL;
		*bytes = length & ~BPF_RINGBUF_DISCARD_BIT;
		ring->position += (*bytes + BPF_RINGBUF_HDR_SZ + 7) & ~(size_t)7;
		if (!(length & BPF_RINGBUF_DISCARD_BIT))
			return header + BPF_RINGBUF_HDR_SZ;
	}
}
