/* See flatbuffer.h. */
#include "arrow/flatbuffer.h"

#include <string.h>

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint16_t load16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

uint32_t flatbuffer_root(const uint8_t *data, uint32_t length)
{
    return length < 16 ? 0 : load32(data);
}

uint32_t flatbuffer_field(const uint8_t *data, uint32_t length, uint32_t table, unsigned field)
{
    if (table == 0 || table > length - 4)
        return 0;
    int64_t vtable = (int64_t)table - (int32_t)load32(data + table);
    if (vtable < 0 || vtable > (int64_t)length - 4)
        return 0;
    uint32_t size = load16(data + vtable), slot = 4 + 2 * field;
    if (slot + 2 > size || vtable + size > length)
        return 0;
    uint32_t offset = load16(data + vtable + slot);
    return offset == 0 || table + offset > length - 8 ? 0 : table + offset;
}

uint32_t flatbuffer_table(const uint8_t *data, uint32_t length, uint32_t table, unsigned field)
{
    const uint32_t field_offset = flatbuffer_field(data, length, table, field);
    if (field_offset == 0)
        return 0;
    uint32_t offset = load32(data + field_offset);
    return offset > length - 4 || field_offset > length - 4 - offset ? 0 : field_offset + offset;
}

uint32_t flatbuffer_vector(const uint8_t *data, uint32_t length, uint32_t table, unsigned field,
                           size_t width, uint32_t *count)
{
    const uint32_t vector = flatbuffer_table(data, length, table, field);
    *count = vector ? load32(data + vector) : 0;
    return *count > (length - vector - 4) / width ? 0 : vector + 4;
}
