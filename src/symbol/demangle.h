/* Readable names for mangled C++ (Itanium ABI), Rust (legacy and v0), D: libiberty does it. */
#ifndef HTRACE_SYMBOL_DEMANGLE_H
#define HTRACE_SYMBOL_DEMANGLE_H

/* The readable name, or a copy of `name`; owned by the caller. What follows an '@' ("@plt") stays.
 */
char *demangle_dup(const char *name);

#endif
