/* Holds the compiled htrace.bpf.c; libbpf wants it aligned like an ELF file in memory. */
#include "collect/bpf/object.h"

_Alignas(16) const uint8_t bpf_object[] = {
#include "collect/bpf_object.inc"
};
const size_t bpf_object_bytes = sizeof(bpf_object);
