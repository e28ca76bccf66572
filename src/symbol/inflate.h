/* Undoes zlib's compression (RFC 1950), with libdeflate where htrace was built with it. */
#ifndef HTRACE_SYMBOL_INFLATE_H
#define HTRACE_SYMBOL_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False unless `packed` gives just `bytes` bytes; then what stands in `out` is worth nothing. */
bool inflate_whole(const uint8_t *packed, size_t packed_bytes, uint8_t *out, size_t bytes);

#endif
