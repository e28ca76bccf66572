/* Owns the reading of calls, and the memory of those that were read. */
#include "unwind/calls.h"

#include "unwind/module_cfi.h"

#include <string.h>

enum {
	CALL_BYTES = 5,     /* e8 rel32 */
	CALL_BYTES_MAX = 8, /* ff /2 with a prefix and the longest operand */
};

/* Intel's manual, volume 2, CALL: e8 rel32; ff /2 with an operand of 0 to 6 more bytes. */
static bool ends_in_call(const uint8_t code[static CALL_BYTES_MAX])
{
	if (code[CALL_BYTES_MAX - CALL_BYTES] == 0xe8)
		return true;
	for (unsigned i = 0; i < CALL_BYTES_MAX - 1; i++)
		if (code[i] == 0xff && (code[i + 1] & 0x38) == 0x10)
			return true;
	return false;
}

static void read_call(const struct image_table *images, const struct address_space *space,
		      uint64_t address, struct call *call)
{
	const struct mapping *mapping = address_space_find(space, address - 1);
	const struct image *image = mapping ? image_table_get(images, mapping->image) : NULL;
	uint8_t code[CALL_BYTES_MAX];
	int32_t distance;

	*call = (struct call){.address = address, .generation = address_space_generation(space)};
	if (!image || !image->bias_known ||
	    !module_code_read(image->module, address - sizeof(code) - image->bias, code,
			      sizeof(code)))
		return;
	call->none = !ends_in_call(code);
	memcpy(&distance, code + sizeof(code) - sizeof(distance), sizeof(distance));
	if (code[CALL_BYTES_MAX - CALL_BYTES] == 0xe8)
		call->target = address + distance;
}

const struct call *call_before(struct calls *calls, const struct image_table *images,
			       const struct address_space *space, uint64_t address)
{
	struct call *call = &calls->entries[address * 0x9e3779b97f4a7c15u >> (64 - CALLS_LOG2)];

	if (call->address != address || call->generation != address_space_generation(space))
		read_call(images, space, address, call);
	return call;
}
