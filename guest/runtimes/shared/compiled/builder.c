/* See builder.h. */
#include "shared/compiled/builder.h"

#include <stdlib.h>
#include <string.h>

#define MAX_KEPT_BYTES (64u << 10) /* bytes of a buffer that are kept for the next batch */

struct builder builder_new(const struct type *type)
{
    struct builder builder = { .type = type };
    if (type->count > 0 && !(builder.children = calloc(type->count, sizeof *builder.children)))
        abort();
    for (size_t i = 0; i < type->count; i++)
        builder.children[i] = builder_new(&type->children[i]);
    builder_clear(&builder);
    return builder;
}

static void empty(struct bytes *bytes)
{
    bytes->length = 0;
    if (bytes->capacity > MAX_KEPT_BYTES)
        bytes_free(bytes);
}

void builder_clear(struct builder *builder)
{
    empty(&builder->validity);
    empty(&builder->offsets);
    empty(&builder->data);
    builder->rows = builder->nulls = 0;
    if (storage_has_offsets(builder->type->storage))
        bytes_extend(&builder->offsets, storage_width(builder->type->storage));
    for (size_t i = 0; i < builder->type->count; i++)
        builder_clear(&builder->children[i]);
}

void builder_free(struct builder *builder)
{
    for (size_t i = 0; i < builder->type->count; i++)
        builder_free(&builder->children[i]);
    free(builder->children);
    bytes_free(&builder->validity);
    bytes_free(&builder->offsets);
    bytes_free(&builder->data);
}

static void set_bit(struct bytes *bits, int64_t row, bool value)
{
    if ((row & 7) == 0)
        bytes_extend(bits, 1);
    bits->at[row >> 3] |= (uint8_t)(value << (row & 7));
}

static void begin_row(struct builder *builder, bool valid)
{
    set_bit(&builder->validity, builder->rows, valid);
    builder->nulls += !valid;
    builder->rows++;
}

static bool end_at(struct builder *builder, uint64_t end)
{
    const size_t width = storage_width(builder->type->storage);
    bytes_put(&builder->offsets, &end,
              width); /* little endian: a narrow offset is the beginning of a wide one */
    return width == sizeof(int64_t) || end <= INT32_MAX;
}

void builder_null(struct builder *builder)
{
    const struct type *type = builder->type;
    begin_row(builder, false);
    if (type->storage == STORAGE_BOOL)
        set_bit(&builder->data, builder->rows - 1, false);
    else if (storage_has_offsets(type->storage))
        end_at(builder, type->storage == STORAGE_LIST ? (uint64_t)builder->children->rows
                                                      : builder->data.length);
    else if (type->storage != STORAGE_STRUCT)
        bytes_extend(&builder->data, storage_width(type->storage));
    for (size_t i = 0; type->storage == STORAGE_STRUCT && i < type->count; i++)
        builder_null(&builder->children[i]);
}

void builder_number(struct builder *builder, const void *value)
{
    begin_row(builder, true);
    if (builder->type->storage == STORAGE_BOOL)
        set_bit(&builder->data, builder->rows - 1, *(const uint8_t *)value & 1);
    else
        bytes_put(&builder->data, value, storage_width(builder->type->storage));
}

static void begin_rows(struct builder *builder, size_t count)
{
    const int64_t end = builder->rows + (int64_t)count;
    while ((builder->rows & 7) != 0 && builder->rows < end)
        begin_row(builder, true);
    const size_t whole = (size_t)(end - builder->rows) / 8;
    memset(bytes_extend(&builder->validity, whole), 0xff, whole);
    builder->rows += 8 * (int64_t)whole;
    while (builder->rows < end)
        begin_row(builder, true);
}

void builder_numbers(struct builder *builder, const void *values, size_t count)
{
    begin_rows(builder, count);
    bytes_put(&builder->data, values, count * storage_width(builder->type->storage));
}

bool builder_bytes(struct builder *builder, const void *bytes, size_t length)
{
    begin_row(builder, true);
    if (length > INT32_MAX)
        return false;
    bytes_put(&builder->data, bytes, length);
    return end_at(builder, builder->data.length);
}

void builder_struct(struct builder *builder)
{
    begin_row(builder, true);
}

bool builder_list(struct builder *builder)
{
    begin_row(builder, true);
    return end_at(builder, (uint64_t)builder->children->rows);
}

static bool append_struct(struct builder *builder, const struct column *column, int64_t row)
{
    builder_struct(builder);
    for (size_t i = 0; i < column->child_count; i++)
        if (!builder_append(&builder->children[i], &column->children[i], row))
            return false;
    return true;
}

static bool append_list(struct builder *builder, const struct column *column, int64_t row)
{
    const int64_t end = column_offset(column, row + 1);
    for (int64_t item = column_offset(column, row); item < end; item++)
        if (!builder_append(builder->children, column->children, item))
            return false;
    return builder_list(builder);
}

bool builder_append(struct builder *builder, const struct column *column, int64_t row)
{
    const size_t width = storage_width(column->storage);
    if (column_is_null(column, row)) {
        builder_null(builder);
    } else if (column->storage == STORAGE_STRUCT) {
        return append_struct(builder, column, row);
    } else if (column->storage == STORAGE_LIST) {
        return append_list(builder, column, row);
    } else if (storage_is_variable(column->storage)) {
        const struct scalar bytes = column_bytes(column, row);
        return builder_bytes(builder, bytes.bytes, bytes.length);
    } else {
        const uint8_t bit = column->storage == STORAGE_BOOL && bitmap_get(column->data, row);
        builder_number(builder,
                       column->storage == STORAGE_BOOL ? &bit : column->data + (size_t)row * width);
    }
    return true;
}

void builder_column(const struct builder *builder, struct column *column)
{
    static const uint8_t nothing[8];
    column->rows = builder->rows;
    column->nulls = builder->nulls;
    column->validity = builder->nulls ? builder->validity.at : NULL;
    column->offsets = storage_has_offsets(builder->type->storage) ? builder->offsets.at : NULL;
    column->data = builder->data.at ? builder->data.at : nothing;
    for (size_t i = 0; i < column->child_count; i++)
        builder_column(&builder->children[i], &column->children[i]);
}
