/* Owns handles that went over exec in the debugger's shape, which has none of its own for them:
 * that of an open handle, with the programs that were reached below it. */
#include "base/cleanup.h"
#include "report/cloexec.h"
#include "report/windbg_parts.h"

#include <inttypes.h>

static void write_place(const struct report *report, const struct crossing *place, FILE *stream)
{
	_cleanup_(words_fini) struct words words = {0};

	words_addf(&words,
		   "Handle = 0x%08x - INHERITED\nProcess ID = 0x%08x, Programs = 0x%" PRIx64
		   ", Handles = 0x%" PRIx64 "\nMissing = %s\nReached = ",
		   (unsigned)place->numbers[0], (unsigned)place->opener_pid, place->execs,
		   place->handles, cloexec_remedy(report, place));
	for (uint32_t i = 0; i < place->programs_n; i++) {
		words_add(&words, i ? ", " : "");
		words_add_target(&words, place->programs[i].exe);
	}
	words_add(&words, place->programs_n ? "\n\n" : "<unknown>\n\n");
	windbg_add_stack(&words, report, place->stack_id);
	fprintf(stream, "%s" WINDBG_SEPARATOR, words_text(&words));
}

void windbg_cloexec(const struct report *report, FILE *stream)
{
	_cleanup_(cloexec_list_fini) struct cloexec_list list = {0};
	uint64_t dropped = model_crossings(report->model)->dropped;

	if (report->cloexec == REPORT_CLOEXEC_NO)
		return;
	cloexec_list_make(&list, report);
	fputs("\nHandles inherited over exec:\n" WINDBG_SEPARATOR, stream);
	array_each (place, &list.places)
		write_place(report, place, stream);
	fprintf(stream, "Displayed 0x%zx stack traces for 0x%" PRIx64 " inherited handles.\n",
		list.places.count, list.handles);
	windbg_hidden(&list.hidden, stream);
	if (dropped)
		fprintf(stream, "Warning: 0x%" PRIx64 " more inherited handles are not shown.\n",
			dropped);
}
