/* What a handle is (detail/detail.h), in words: the same in the text report and WinDbg's shape. */
#ifndef HTRACE_REPORT_DETAIL_WORDS_H
#define HTRACE_REPORT_DETAIL_WORDS_H

#include "detail/detail.h"
#include "report/words.h"

/* "127.0.0.1:80 -> 127.0.0.1:40000, CLOSE_WAIT, 12 bytes unread"; nothing where there is nothing to
 * say. `detail` may be NULL. */
void detail_add_object(struct words *words, const struct detail *detail);

/* "read and write, non-blocking, append"; "at 4,096 of 8,192 bytes" */
void detail_add_flags(struct words *words, const struct detail *detail);
void detail_add_position(struct words *words, const struct detail *detail);

/* "FLOCK for writing by process 12"; one for each lock */
void detail_add_locks(struct words *words, const struct detail *detail);

/* "worker (41) handle 7, worker (42) handle 7 and 3 more" */
void detail_add_holders(struct words *words, const struct detail_holders *holders);

/* "4.2 MiB of memory", "1,024 bytes on disk"; nothing of a cost that is not known. */
void detail_add_cost(struct words *words, enum detail_cost cost, uint64_t bytes);

/* "O_RDWR|O_APPEND" */
void detail_add_flag_names(struct words *words, uint32_t flags);

/* "CLOCK_MONOTONIC"; NULL: not known. */
const char *detail_clock(int32_t clock);

/* "0 bytes", "1 byte", "1,023 bytes", "4.0 KiB", "1.5 GiB" */
void words_add_size(struct words *words, uint64_t bytes);

#endif
