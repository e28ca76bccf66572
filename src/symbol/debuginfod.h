/* Asks a debuginfod server for a debug file, through elfutils' library where it is installed. */
#ifndef HTRACE_SYMBOL_DEBUGINFOD_H
#define HTRACE_SYMBOL_DEBUGINFOD_H

#include <stddef.h>
#include <stdint.h>

struct debuginfod;

/* NULL where DEBUGINFOD_URLS is not set or the library is missing. */
struct debuginfod *debuginfod_new(void);
void debuginfod_free(struct debuginfod *debuginfod);

/* A descriptor (the caller's) of the debug file of this build ID, or a negative errno. After a
 * server that does not answer no other file is asked for. */
int debuginfod_find(struct debuginfod *debuginfod, const uint8_t *build_id, size_t bytes);

#endif
