/* Names for frames, in the place of src/symbol: the pc of a frame says which. */
#ifndef HTRACE_TESTS_FAKE_SYMBOLS_H
#define HTRACE_TESTS_FAKE_SYMBOLS_H

#include "symbol/symbolizer.h"

/* Names: what the symbolizer would say. The pc of a frame is an index of this table. */
struct fake_symbols {
	uint32_t count;
	struct symbol symbols[2];
};

static const struct fake_symbols names[] = {
    [1] = {1, {{0x55550001, "eventfd", 0xb, "libc.so.6", "/lib/libc.so.6", NULL, 0, false}}},
    [2] = {1, {{0x55550002, "fun4", 38, "leaky", "/opt/leaky", "leakyhandles.c", 41, false}}},
    [3] = {2,
	   {{0x55550003, "fun2", 14, "leaky", "/opt/leaky", "leakyhandles.c", 30, true},
	    {0x55550003, "main", 77, "leaky", "/opt/leaky", "leakyhandles.c", 60, false}}},
    [4] = {1,
	   {{0x55550004, "__libc_start_call_main", 0x7a, "libc.so.6", "/lib/libc.so.6",
	     "libc_start_call_main.h", 58, false}}},
    [5] = {1, {{0x55550005, NULL, 0x1234, "libfoo.so", "/lib/libfoo.so", NULL, 0, false}}},
    [6] = {1,
	   {{0x55550006, "evil\033[2Jname\n", 1, "mod\x80ule\r", "/opt/mod", "a\tb\xc3\x28.c",
	     UINT32_MAX, false}}},
    [7] = {1,
	   {{UINT64_MAX,
	     "std::vector<std::basic_string<char>, std::allocator<std::basic_string<char>>>::"
	     "push_back(std::basic_string<char> const&)",
	     UINT64_MAX, "leaky", "/opt/leaky", "vector.cc", 7, false}}},
    [8] = {1, {{0x55550008, "close", 0x10, "libc.so.6", "/lib/libc.so.6", NULL, 0, false}}},
    [9] = {1, {{0x55550009, "daemonize", 9, "leaky", "/opt/leaky", "daemon.c", 12, false}}},
    [10] = {1, {{0x5555000a, "__libc_open64", 0x2c, "static", "/opt/static", NULL, 0, false}}},
    [11] = {1, {{0x5555000b, "handler", 1, "static", "/opt/static", "main.c", 7, false}}},
    [12] = {1, {{0x5555000c, "open_it", 3, "static", "/opt/static", NULL, 0, false}}},
};

static uint32_t fake_looked_up; /* bit N: names[N] was asked for */

uint32_t symbolizer_lookup(struct symbolizer *symbolizer, const struct frame *frame,
			   const struct symbol **out)
{
	(void)symbolizer;
	fake_looked_up |= 1u << frame->pc;
	*out = names[frame->pc].symbols;
	return names[frame->pc].count;
}

static struct symbolizer_stats fake_stats;

void symbolizer_stats(const struct symbolizer *symbolizer, struct symbolizer_stats *out)
{
	(void)symbolizer;
	*out = fake_stats;
}

#endif
