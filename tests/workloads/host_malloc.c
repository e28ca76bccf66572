/*
 * Two threads that allocate, fill, check and free all the time, and open and close meanwhile, until
 * standard input ends: a program in which somebody always holds the allocator's lock. Ends badly if
 * a byte of its memory is not what it wrote. Memory is never given back, so its mappings stay.
 */
#include "workload.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>

enum { THREADS_N = 2, BLOCKS_N = 256, BLOCK_BYTES_MAX = 2000 };

static atomic_int stopped;
static atomic_ulong rounds;

struct block {
	uint8_t *bytes;
	unsigned size;
	uint8_t filling;
};

static unsigned random_next(unsigned *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void block_check(const struct block *block)
{
	for (unsigned i = 0; i < block->size; i++) {
		if (block->bytes[i] != block->filling) {
			fprintf(stderr, "memory has changed\n");
			_exit(96);
		}
	}
}

static void block_renew(struct block *block, unsigned random)
{
	block_check(block);
	free(block->bytes);
	block->size = 1 + random % BLOCK_BYTES_MAX;
	block->filling = (uint8_t)(random >> 16);
	block->bytes = malloc(block->size);
	memset(block->bytes, block->filling, block->size);
}

static void *work(void *seed)
{
	struct block blocks[BLOCKS_N] = {0};
	unsigned state = (unsigned)(uintptr_t)seed;

	while (!stopped) {
		unsigned random = random_next(&state);

		block_renew(&blocks[random % BLOCKS_N], random);
		if (random % 64 == 0 && close(eventfd(0, 0)) != 0)
			_exit(97);
		rounds++;
	}
	for (unsigned i = 0; i < BLOCKS_N; i++) {
		block_check(&blocks[i]);
		free(blocks[i].bytes);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS_N];
	char byte;

	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	for (uintptr_t i = 0; i < THREADS_N; i++)
		pthread_create(&threads[i], NULL, work, (void *)(i * 7919 + 1));
	truth_write("{\"truth\":\"working\"}\n", 20);
	while (read(0, &byte, 1) > 0) {
		char line[80];
		int used =
		    snprintf(line, sizeof(line), "{\"truth\":\"rounds\",\"rounds\":%lu}\n", rounds);

		truth_write(line, (size_t)used);
	}
	stopped = 1;
	for (int i = 0; i < THREADS_N; i++)
		pthread_join(threads[i], NULL);
	truth_print();
	return 0;
}
