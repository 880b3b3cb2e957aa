/* Reads numbers of DWARF (version 5, 7.6) and of .eh_frame (Linux Standard Base Core 5.0, 10.5). */
#ifndef UDFVM_COMPILED_DWARF_H
#define UDFVM_COMPILED_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that are read from front to back. */
struct dwarf_reader {
    const uint8_t *at, *end;
    bool overrun; /* the data ended early, or an encoding is unknown */
};

/* DW_EH_PE_: how a pointer is written. */
enum {
    ENCODED_ABSOLUTE = 0x00,
    ENCODED_OMITTED = 0xff,
    ENCODED_PC_RELATIVE = 0x10,
    ENCODED_DATA_RELATIVE = 0x30
};

/* Reads a number of `size` bytes. */
uint64_t dwarf_fixed(struct dwarf_reader *reader, size_t size);
/* Reads a LEB128 number, which has as many bytes as it needs. */
uint64_t dwarf_unsigned(struct dwarf_reader *reader);
int64_t dwarf_signed(struct dwarf_reader *reader);
/* Reads a pointer. `data` is the base of some encodings. */
uint64_t dwarf_pointer(struct dwarf_reader *reader, uint8_t encoding, uint64_t data);
/* Skips bytes. */
void dwarf_skip(struct dwarf_reader *reader, uint64_t length);

#endif
