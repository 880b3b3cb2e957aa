/* See table.h. */
#include "table.h"

#include <string.h>

#include "block.h"

#define HEAD (sizeof(struct udfvm_columns) + 2 * sizeof(struct udfvm_column))

struct layout {                                  /* places in the output */
    uint64_t index, validity, offsets, data;
};

static struct layout layout_of(enum storage storage, uint64_t rows)
{
    struct layout layout = { .index = HEAD };
    layout.validity = layout.index + rows * sizeof(int64_t);
    layout.offsets = layout.validity + padded((rows + 7) / 8);
    layout.data = layout.offsets + (storage_is_variable(storage) ? (rows + 1) * sizeof(int64_t) : 0);
    return layout;
}

static uint64_t text_length(const struct column *column, int64_t row)
{
    const int32_t *offsets = (const int32_t *)column->offsets + row;
    return column_is_null(column, row) ? 0 : (uint64_t)(offsets[1] - offsets[0]);
}

static uint64_t data_length(const struct column *column, int64_t first, uint64_t rows)
{
    uint64_t length = 0;
    if (!storage_is_variable(column->storage))
        return column->storage == STORAGE_BOOL ? (rows + 7) / 8 : rows * sizeof(int64_t);
    for (uint64_t row = 0; row < rows; row++)
        length += text_length(column, first + (int64_t)row);
    return length;
}

static uint64_t reply_length(const struct table_rows *rows, uint64_t count)
{
    return layout_of(rows->value.storage, count).data + padded(data_length(&rows->value, rows->first, count));
}

/* The next half fits if the whole does not; one row is tried in any case. */
static uint64_t that_fit(const struct table_rows *rows, uint64_t count, uint64_t capacity)
{
    while (count > 1 && reply_length(rows, count) > capacity)
        count /= 2;
    return count;
}

static uint64_t stored_value(const struct column *column, int64_t row)
{
    const uint8_t *at = column->data + (uint64_t)row * storage_width(column->storage);
    const double wide = column->storage == STORAGE_FLOAT32 ? (double)*(const float *)at : 0;
    uint64_t bits;
    if (column->storage == STORAGE_BOOL)
        return column->data[row >> 3] >> (row & 7) & 1;
    if (column->storage != STORAGE_FLOAT32)
        return (uint64_t)stored_integer(column->storage, at);      /* a double is taken as it is */
    memcpy(&bits, &wide, sizeof bits);
    return bits;
}

static void put_value(const struct column *column, int64_t row, uint64_t place, uint8_t *output, const struct layout *layout)
{
    uint64_t value = 0, *offsets = (uint64_t *)(output + layout->offsets);
    const bool null = column_is_null(column, row);
    if (!null)
        output[layout->validity + place / 8] |= (uint8_t)(1u << (place & 7));
    if (storage_is_variable(column->storage)) {
        const uint64_t length = text_length(column, row);
        if (length > 0)
            memcpy(output + layout->data + offsets[place], column->data + ((const int32_t *)column->offsets)[row], length);
        offsets[place + 1] = offsets[place] + length;
        return;
    }
    if (!null)
        value = stored_value(column, row);
    if (column->storage == STORAGE_BOOL)
        output[layout->data + place / 8] |= (uint8_t)(value << (place & 7));
    else
        memcpy(output + layout->data + place * sizeof value, &value, sizeof value);
}

static void write_reply(const struct table_rows *rows, uint64_t count, uint8_t *output)
{
    const enum storage storage = rows->value.storage;
    const struct layout layout = layout_of(storage, count);
    const uint64_t length = data_length(&rows->value, rows->first, count);
    const struct udfvm_columns head = { .rows = count, .count = 2, .flags = rows->count > 0 ? UDFVM_COLUMNS_MORE : 0 };
    const struct udfvm_column columns[2] = {
        { .type = UDFVM_INT64, .data = layout.index, .data_length = count * sizeof(int64_t) },
        { .type = storage_row_type(storage), .validity = layout.validity, .offsets = storage_is_variable(storage) ? layout.offsets : 0,
          .data = layout.data, .data_length = length },
    };
    memcpy(output, &head, sizeof head);
    memcpy(output + sizeof head, columns, sizeof columns);
    memset(output + layout.validity, 0, layout.data + padded(length) - layout.validity);
    for (uint64_t place = 0; place < count; place++) {
        const int64_t row = rows->first + (int64_t)place, index = ((const int32_t *)rows->index.data)[row];
        memcpy(output + layout.index + place * sizeof index, &index, sizeof index);
        put_value(&rows->value, row, place, output, &layout);
    }
}

bool table_reply(const struct program *program, uint64_t most, uint8_t *output, uint64_t capacity, uint64_t *length, int64_t *row)
{
    struct table_rows rows;
    if (!program->table->rows(program->context, &rows, row))
        return false;
    const uint64_t count = that_fit(&rows, (uint64_t)rows.count < most ? (uint64_t)rows.count : most, capacity);
    *length = reply_length(&rows, count);
    if (*length > capacity)
        return true;
    write_reply(&rows, count, output);
    if (count > 0)
        program->table->took(program->context, (int64_t)count);
    return true;
}
