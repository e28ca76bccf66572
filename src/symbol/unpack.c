/*
 * Owns the choice of the libraries. libdeflate takes a third of zlib's time, which is most of what
 * naming an address of a large library takes.
 */
#include "symbol/unpack.h"

#ifdef HTRACE_LIBDEFLATE
#include <libdeflate.h>

bool unpack_zlib(const uint8_t *packed, size_t packed_bytes, uint8_t *out, size_t bytes)
{
	struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
	enum libdeflate_result result;

	if (!decompressor)
		return false;
	/* NULL: anything but `bytes` is an error. */
	result = libdeflate_zlib_decompress(decompressor, packed, packed_bytes, out, bytes, NULL);
	libdeflate_free_decompressor(decompressor);
	return result == LIBDEFLATE_SUCCESS;
}
#else
#include <zlib.h>

bool unpack_zlib(const uint8_t *packed, size_t packed_bytes, uint8_t *out, size_t bytes)
{
	uLongf got = bytes;

	return uncompress(out, &got, packed, packed_bytes) == Z_OK && got == bytes;
}
#endif

#ifdef HTRACE_ZSTD
#include <zstd.h>

bool unpack_zstd(const uint8_t *packed, size_t packed_bytes, uint8_t *out, size_t bytes)
{
	return ZSTD_decompress(out, bytes, packed, packed_bytes) == bytes;
}
#else
bool unpack_zstd(const uint8_t *packed, size_t packed_bytes, uint8_t *out, size_t bytes)
{
	return false;
}
#endif
