/* Undoes the ways in which sections are compressed. */
#ifndef HTRACE_SYMBOL_UNPACK_H
#define HTRACE_SYMBOL_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* zlib's (RFC 1950), with libdeflate where htrace was built with it. False unless `packed` gives
 * just `bytes` bytes; then what stands in `out` is worth nothing. */
bool unpack_zlib(const uint8_t *packed, size_t packed_bytes, uint8_t *out, size_t bytes);

/* The same for Zstandard's (RFC 8878); false, too, where htrace was built without it. */
bool unpack_zstd(const uint8_t *packed, size_t packed_bytes, uint8_t *out, size_t bytes);

#endif
