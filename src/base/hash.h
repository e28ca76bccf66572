/* Hash functions for tables in memory; never stored, never sent. */
#ifndef HTRACE_BASE_HASH_H
#define HTRACE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Mixes all bits of a 64-bit key (the finaliser of splitmix64). */
static inline uint64_t hash_u64(uint64_t key)
{
	key ^= key >> 30;
	key *= 0xbf58476d1ce4e5b9u;
	key ^= key >> 27;
	key *= 0x94d049bb133111ebu;
	return key ^ (key >> 31);
}

static inline uint64_t hash_combine(uint64_t seed, uint64_t value)
{
	return hash_u64(seed * 0x9e3779b97f4a7c15u + value);
}

static inline uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed)
{
	const unsigned char *byte = bytes;
	uint64_t hash = seed ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3u;
	return hash_u64(hash);
}

#endif
