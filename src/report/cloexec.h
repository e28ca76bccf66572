/*
 * What --cloexec tells: handles that programs received over exec since the snapshot, by the place
 * that opened them. Every format prints this list.
 */
#ifndef HTRACE_REPORT_CLOEXEC_H
#define HTRACE_REPORT_CLOEXEC_H

#include "report/report.h"

struct cloexec_list {
	/* Those that reached most programs come first; behind them what nobody saw being opened,
	 * and what the receivers opened themselves. Places of one code in several address spaces
	 * (each exec lays libraries elsewhere) are one. */
	ARRAY(struct crossing) places;
	ARRAY(char *) keys; /* of them, before they are sorted: what they are told by */
	uint64_t handles;   /* that crossed, of these places */
	struct hidden hidden;
};

void cloexec_list_make(struct cloexec_list *out, const struct report *report);
void cloexec_list_fini(struct cloexec_list *list);

/* Each was opened by the very process that then executed the program: perhaps meant for it. */
bool cloexec_is_own(const struct crossing *place);

/* How a handle of this place is opened with close-on-exec: "O_CLOEXEC". Static. */
const char *cloexec_remedy(const struct report *report, const struct crossing *place);

/* The list as each format writes it; nothing where it was not asked for. */
struct page;
void text_cloexec(const struct page *page);
void windbg_cloexec(const struct report *report, FILE *stream);
void json_cloexec(const struct report *report, FILE *stream); /* a member, with the comma before */

#define cleanup_cloexec_list_fini cloexec_list_fini

#endif
