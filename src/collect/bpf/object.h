/* The compiled BPF program, put into htrace at build time. */
#ifndef HTRACE_COLLECT_BPF_OBJECT_H
#define HTRACE_COLLECT_BPF_OBJECT_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t bpf_object[];
extern const size_t bpf_object_bytes;

#endif
