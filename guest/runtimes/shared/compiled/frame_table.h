/* Call frame information, which describes the frames of functions. DWARF 5, 6.4; .eh_frame and
 * .eh_frame_hdr: Linux Standard Base Core 5.0, 10.6. */
#ifndef UDFVM_COMPILED_FRAME_TABLE_H
#define UDFVM_COMPILED_FRAME_TABLE_H

#include "shared/compiled/dwarf.h"

/* The description of a function's frames: its FDE, and the CIE that this refers to. */
struct frame_description {
    struct dwarf_reader common, own; /* their instructions */
    uint64_t code_factor;
    int64_t data_factor;
    uint64_t start, length, return_register;
};

/* Finds the description of the function that holds an address. Returns false if there is none.
 * Call objects_read() first. */
bool frame_table_find(uint64_t address, struct frame_description *description);

#endif
