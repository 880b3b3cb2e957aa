/* See dwarf.h. */
#include "shared/compiled/dwarf.h"

#include <string.h>

uint64_t dwarf_fixed(struct dwarf_reader *reader, size_t size)
{
    uint64_t value = 0;
    if ((size_t)(reader->end - reader->at) < size) {
        reader->overrun = true;
        return 0;
    }
    memcpy(&value, reader->at, size);
    reader->at += size;
    return value;
}

/* Reads a number. *bits is the number of bits in its bytes, and *last the last byte. */
static uint64_t leb128(struct dwarf_reader *reader, unsigned *bits, uint8_t *last)
{
    uint64_t value = 0;
    *bits = 0;
    do {
        *last = (uint8_t)dwarf_fixed(reader, 1);
        value |= *bits < 64 ? (uint64_t)(*last & 0x7f) << *bits : 0;
        *bits += 7;
    } while (*last & 0x80 && !reader->overrun);
    return value;
}

uint64_t dwarf_unsigned(struct dwarf_reader *reader)
{
    unsigned bits;
    uint8_t last;
    return leb128(reader, &bits, &last);
}

int64_t dwarf_signed(struct dwarf_reader *reader)
{
    unsigned bits;
    uint8_t last;
    const uint64_t value = leb128(reader, &bits, &last);
    return (int64_t)(bits < 64 && last & 0x40 ? value | ~0ull << bits : value);
}

/* The lower half of an encoding is the form of the number. */
static uint64_t form_value(struct dwarf_reader *reader, uint8_t form)
{
    switch (form) {
    case 0x00: /* absptr, udata8, sdata8 */
    case 0x04:
    case 0x0c:
        return dwarf_fixed(reader, 8);
    case 0x01: /* uleb128 */
        return dwarf_unsigned(reader);
    case 0x02: /* udata2 */
        return dwarf_fixed(reader, 2);
    case 0x03: /* udata4 */
        return dwarf_fixed(reader, 4);
    case 0x09: /* sleb128 */
        return (uint64_t)dwarf_signed(reader);
    case 0x0a: /* sdata2 */
        return (uint64_t)(int16_t)dwarf_fixed(reader, 2);
    case 0x0b: /* sdata4 */
        return (uint64_t)(int32_t)dwarf_fixed(reader, 4);
    default:
        reader->overrun = true;
        return 0;
    }
}

uint64_t dwarf_pointer(struct dwarf_reader *reader, uint8_t encoding, uint64_t data)
{
    const uint64_t address = (uint64_t)reader->at;
    const uint64_t value = form_value(reader, encoding & 0x0f);
    switch (encoding & 0x70) {
    case ENCODED_ABSOLUTE:
        return value;
    case ENCODED_PC_RELATIVE:
        return value + address;
    case ENCODED_DATA_RELATIVE:
        return value + data;
    default:
        reader->overrun = true;
        return 0;
    }
}

void dwarf_skip(struct dwarf_reader *reader, uint64_t length)
{
    if (length > (uint64_t)(reader->end - reader->at))
        reader->overrun = true;
    else
        reader->at += length;
}
