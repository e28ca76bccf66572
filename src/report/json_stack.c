/* Owns how single values and stacks look in JSON. Knows nothing of processes and groups. */
#include "report/json_stack.h"

#include "base/cleanup.h"
#include "report/names.h"
#include "report/words.h"

#include <inttypes.h>

json_t *json_text(const char *text)
{
	_cleanup_(words_fini) struct words valid = {0};

	if (!text)
		return json_null();
	words_add_utf8(&valid, text);
	return json_string_nocheck(words_text(&valid));
}

json_t *json_count(uint64_t count)
{
	return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

json_t *json_known_ns(uint64_t time_ns)
{
	return time_ns ? json_count(time_ns) : json_null();
}

json_t *json_symbol(const struct symbol *symbol)
{
	char address[24];

	snprintf(address, sizeof(address), "0x%" PRIx64, symbol->pc);
	return json_pack(
	    "{s:o, s:o, s:o, s:s, s:o, s:o, s:b}", "function", json_text(symbol->function),
	    "module", json_text(symbol->module), "offset", json_count(symbol->offset), "address",
	    address, "file", json_text(symbol->file), "line",
	    symbol->line ? json_count(symbol->line) : json_null(), "inlined", symbol->inlined);
}

json_t *json_stack(const struct report *report, uint32_t stack_id)
{
	struct stack stack = stack_table_get(report->stacks, stack_id);
	json_t *frames = json_array();

	for (uint32_t i = 0; i < stack.frames_n; i++) {
		const struct symbol *symbols;
		uint32_t count = symbolizer_lookup(report->symbolizer, &stack.frames[i], &symbols);

		for (uint32_t j = 0; j < count; j++)
			json_array_append_new(frames, json_symbol(&symbols[j]));
	}
	return frames;
}

json_t *json_stack_ends(const uint64_t ends[static STACK_END_N])
{
	json_t *object = json_object();

	for (int end = 0; end < STACK_END_N; end++)
		json_object_set_new(object, name_of_stack_end(end), json_count(ends[end]));
	return object;
}
