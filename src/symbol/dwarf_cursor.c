/* Owns the lengths of values. */
#include "symbol/dwarf_cursor.h"

#include <dwarf.h>

int dwarf_form_bytes(const struct dwarf_format *format, unsigned form)
{
	switch (form) {
	case DW_FORM_flag_present:
	case DW_FORM_implicit_const:
		return 0;
	case DW_FORM_data1:
	case DW_FORM_ref1:
	case DW_FORM_flag:
	case DW_FORM_strx1:
	case DW_FORM_addrx1:
		return 1;
	case DW_FORM_data2:
	case DW_FORM_ref2:
	case DW_FORM_strx2:
	case DW_FORM_addrx2:
		return 2;
	case DW_FORM_strx3:
	case DW_FORM_addrx3:
		return 3;
	case DW_FORM_data4:
	case DW_FORM_ref4:
	case DW_FORM_ref_sup4:
	case DW_FORM_strx4:
	case DW_FORM_addrx4:
		return 4;
	case DW_FORM_data8:
	case DW_FORM_ref8:
	case DW_FORM_ref_sup8:
	case DW_FORM_ref_sig8:
		return 8;
	case DW_FORM_data16:
		return 16;
	case DW_FORM_addr:
		return format->address_bytes;
	case DW_FORM_ref_addr:
		return format->version <= 2 ? format->address_bytes : format->offset_bytes;
	case DW_FORM_strp:
	case DW_FORM_strp_sup:
	case DW_FORM_line_strp:
	case DW_FORM_sec_offset:
	case DW_FORM_GNU_ref_alt:
	case DW_FORM_GNU_strp_alt:
		return format->offset_bytes;
	default:
		return DWARF_NOT_FIXED;
	}
}

bool dwarf_cursor_skip(struct dwarf_cursor *cursor, const struct dwarf_format *format,
		       unsigned form)
{
	int fixed = dwarf_form_bytes(format, form);
	uint64_t bytes = 0;

	if (fixed != DWARF_NOT_FIXED) {
		bytes = fixed;
	} else {
		switch (form) {
		case DW_FORM_string:
			return dwarf_cursor_string(cursor) != NULL;
		case DW_FORM_sdata:
		case DW_FORM_udata:
		case DW_FORM_ref_udata:
		case DW_FORM_strx:
		case DW_FORM_addrx:
		case DW_FORM_loclistx:
		case DW_FORM_rnglistx:
		case DW_FORM_GNU_addr_index:
		case DW_FORM_GNU_str_index:
			return dwarf_cursor_uleb(cursor, &bytes);
		case DW_FORM_block1:
		case DW_FORM_block2:
		case DW_FORM_block4:
			if (!dwarf_cursor_number(cursor,
						 form == DW_FORM_block1   ? 1
						 : form == DW_FORM_block2 ? 2
									  : 4,
						 &bytes))
				return false;
			break;
		case DW_FORM_block:
		case DW_FORM_exprloc:
			if (!dwarf_cursor_uleb(cursor, &bytes))
				return false;
			break;
		default:
			return false;
		}
	}
	if (bytes > dwarf_cursor_left(cursor))
		return false;
	cursor->at += bytes;
	return true;
}
