/* The list of processes as each format writes it (report_format.write_processes). */
#ifndef HTRACE_REPORT_LIST_PROCESSES_H
#define HTRACE_REPORT_LIST_PROCESSES_H

#include "report/report.h"

int text_processes(const struct report *report, const struct report_style *style, FILE *stream);
int json_processes(const struct report *report, const struct report_style *style, FILE *stream);
int windbg_processes(const struct report *report, const struct report_style *style, FILE *stream);

#endif
