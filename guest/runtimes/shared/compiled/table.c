/* See table.h. */
#include "shared/compiled/table.h"

#include <string.h>

#include "arrow/block.h"
#include "shared/compiled/builder.h"
#include "shared/compiled/column_stream.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/json.h"

struct reply_column { /* a column of the reply, except the first, and its offsets in the output */
    struct column column;
    int64_t first; /* the index in it of the reply's first row */
    /* the struct that it is a field of, or NULL; begins at the first of the function's rows */
    const struct column *whole;
    struct builder texts;         /* JSON, where the function's column is a struct or list */
    struct column_stream *stream; /* instead, where the host takes it so; NULL otherwise */
    uint64_t validity, offsets, data, data_bytes;
};

struct table_chunk { /* the part of a table that one reply has */
    struct table_rows rows;
    size_t count;
    struct reply_column fields[MAX_TABLE_COLUMNS];
};

static const struct type text_type = { .storage = STORAGE_TEXT32 };

static bool is_null(const struct table_chunk *chunk, const struct reply_column *field,
                    int64_t index)
{
    return (field->whole && column_is_null(field->whole, chunk->rows.first + index)) ||
           column_is_null(&field->column, field->first + index);
}

/* ---- Columns ---- */

/* Converts a column of structs or lists to JSON. *failed is the row that JSON cannot represent. */
static bool write_texts(const struct table_chunk *chunk, struct reply_column *field,
                        const struct type *type, int64_t count, int64_t *failed)
{
    struct bytes text = { 0 };
    field->texts = builder_new(&text_type);
    bool done = true;
    for (*failed = 0; done && *failed < count; ++*failed) {
        text.length = 0;
        if (is_null(chunk, field, *failed)) {
            builder_null(&field->texts);
        } else {
            done = json_write(type, &field->column, field->first + *failed, &text);
            if (done && !builder_bytes(&field->texts, text.at, text.length)) {
                failure_set("OverflowError", "the rows of this batch are too large for one column");
                done = false;
            }
        }
        if (!done)
            break;
    }
    bytes_free(&text);
    field->column = (struct column){ .storage = STORAGE_TEXT32 };
    builder_column(&field->texts, &field->column);
    field->first = 0;
    return done;
}

/* Finds the columns of the next `count` rows. Returns false with a failure, at *failed. */
static bool find_fields(const struct program *program, struct table_chunk *chunk, uint64_t flags,
                        int64_t count, int64_t *failed)
{
    const struct slot *slot = &program->signature.result;
    const bool whole = slot->storage == STORAGE_STRUCT;
    const size_t fields = whole ? slot->type->count : 1;
    for (chunk->count = 0; chunk->count < fields; chunk->count++) {
        const struct type *type = whole ? &slot->type->children[chunk->count] : slot->type;
        struct reply_column *field = &chunk->fields[chunk->count];
        *field = (struct reply_column){ .first = chunk->rows.first,
                                        .texts = { .type = &text_type },
                                        .column = whole ? chunk->rows.value.children[chunk->count]
                                                        : chunk->rows.value,
                                        .whole = whole ? &chunk->rows.value : NULL };
        if (flags & UDFVM_REPLY_ARROW)
            field->stream = program->streams[chunk->count];
        if (!field->stream && type && storage_is_nested(type->storage) &&
            !write_texts(chunk, field, type, count, failed)) {
            chunk->count++;
            return false;
        }
    }
    return true;
}

static void free_fields(struct table_chunk *chunk)
{
    for (size_t i = 0; i < chunk->count; i++)
        builder_free(&chunk->fields[i].texts);
}

/* ---- Offsets ---- */

static uint64_t text_length(const struct table_chunk *chunk, const struct reply_column *field,
                            int64_t index)
{
    const int64_t row = field->first + index;
    return is_null(chunk, field, index) ? 0
                                        : (uint64_t)(column_offset(&field->column, row + 1) -
                                                     column_offset(&field->column, row));
}

static uint64_t data_length(const struct table_chunk *chunk, const struct reply_column *field,
                            uint64_t rows)
{
    uint64_t length = 0;
    if (!storage_is_variable(field->column.storage))
        return field->column.storage == STORAGE_BOOL ? bitmap_bytes((int64_t)rows)
                                                     : rows * sizeof(int64_t);
    for (uint64_t row = 0; row < rows; row++)
        length += text_length(chunk, field, (int64_t)row);
    return length;
}

static uint64_t index_offset(const struct table_chunk *chunk)
{
    return sizeof(struct udfvm_columns) + (1 + chunk->count) * sizeof(struct udfvm_column);
}

/* Fills the stream of a column. Returns its length. */
static uint64_t fill_stream(const struct table_chunk *chunk, const struct reply_column *field,
                            uint64_t rows)
{
    column_stream_begin(field->stream);
    for (int64_t index = 0; index < (int64_t)rows; index++)
        if (is_null(chunk, field, index))
            column_stream_null(field->stream);
        else if (!column_stream_append(field->stream, &field->column, field->first + index))
            return UDFVM_MAX_WINDOW; /* more than any window has */
    return column_stream_end(field->stream, NULL, 0);
}

/* Lays out the reply. Returns its length. */
static uint64_t lay_out(struct table_chunk *chunk, uint64_t rows)
{
    uint64_t offset = index_offset(chunk) + rows * sizeof(int64_t);
    for (size_t i = 0; i < chunk->count; i++) {
        struct reply_column *field = &chunk->fields[i];
        if (field->stream) {
            field->data = offset;
            field->data_bytes = fill_stream(chunk, field, rows);
            offset += padded(field->data_bytes);
            continue;
        }
        field->validity = offset;
        field->offsets = field->validity + padded(bitmap_bytes((int64_t)rows));
        field->data = field->offsets + (storage_is_variable(field->column.storage)
                                            ? (rows + 1) * sizeof(int64_t)
                                            : 0);
        field->data_bytes = data_length(chunk, field, rows);
        offset = field->data + padded(field->data_bytes);
    }
    return offset;
}

/* ---- Values ---- */

/* Returns a stored value as 64 bits: an integer, or a double. */
static uint64_t stored_bits(const struct column *column, int64_t row)
{
    const double wide = column->storage == STORAGE_FLOAT32
                            ? stored_real(column->storage, column->data, row)
                            : 0;
    uint64_t bits;
    if (column->storage != STORAGE_FLOAT32) /* a double is taken as it is */
        return (uint64_t)stored_integer(column->storage, column->data, row);
    memcpy(&bits, &wide, sizeof bits);
    return bits;
}

static void put_value(const struct table_chunk *chunk, const struct reply_column *field,
                      int64_t index, uint8_t *output)
{
    const struct column *column = &field->column;
    const int64_t row = field->first + index;
    uint64_t value = 0, *offsets = (uint64_t *)(output + field->offsets);
    const bool null = is_null(chunk, field, index);
    if (!null)
        output[field->validity + (uint64_t)index / 8] |= (uint8_t)(1u << (index & 7));
    if (storage_is_variable(column->storage)) {
        const uint64_t length = text_length(chunk, field, index);
        if (length > 0)
            memcpy(output + field->data + offsets[index], column->data + column_offset(column, row),
                   length);
        offsets[index + 1] = offsets[index] + length;
        return;
    }
    if (!null)
        value = stored_bits(column, row);
    if (column->storage == STORAGE_BOOL)
        output[field->data + (uint64_t)index / 8] |= (uint8_t)(value << (index & 7));
    else
        memcpy(output + field->data + (uint64_t)index * sizeof value, &value, sizeof value);
}

static struct udfvm_column put_stream(const struct reply_column *field, uint8_t *output)
{
    const uint64_t length = column_stream_end(field->stream, output + field->data,
                                              field->data_bytes);
    memset(output + field->data + length, 0, padded(length) - length);
    return (struct udfvm_column){ .type = UDFVM_TYPE_ARROW,
                                  .data = field->data,
                                  .data_length = length };
}

static struct udfvm_column put_values(const struct table_chunk *chunk,
                                      const struct reply_column *field, uint64_t rows,
                                      uint8_t *output)
{
    const enum storage storage = field->column.storage;
    memset(output + field->validity, 0, field->data + padded(field->data_bytes) - field->validity);
    for (uint64_t index = 0; index < rows; index++)
        put_value(chunk, field, (int64_t)index, output);
    return (struct udfvm_column){ .type = storage_row_type(storage),
                                  .validity = field->validity,
                                  .data = field->data,
                                  .offsets = storage_is_variable(storage) ? field->offsets : 0,
                                  .data_length = field->data_bytes };
}

static int64_t argument_row(const struct table_chunk *chunk, int64_t index)
{
    return ((const int32_t *)chunk->rows.index.data)[chunk->rows.first + index];
}

static void write_reply(const struct table_chunk *chunk, uint64_t rows, uint8_t *output)
{
    const struct udfvm_columns head = { .rows = rows,
                                        .count = 1 + (uint32_t)chunk->count,
                                        .flags = chunk->rows.count > 0 ? UDFVM_COLUMNS_MORE : 0 };
    struct udfvm_column column = { .type = UDFVM_TYPE_INT64,
                                   .data = index_offset(chunk),
                                   .data_length = rows * sizeof(int64_t) };
    uint8_t *at = output + sizeof head;
    memcpy(output, &head, sizeof head);
    memcpy(at, &column, sizeof column);
    for (uint64_t index = 0; index < rows; index++) {
        const int64_t source = argument_row(chunk, (int64_t)index);
        memcpy(output + column.data + index * sizeof source, &source, sizeof source);
    }
    for (size_t i = 0; i < chunk->count; i++) {
        const struct reply_column *field = &chunk->fields[i];
        column = field->stream ? put_stream(field, output) : put_values(chunk, field, rows, output);
        memcpy(at += sizeof column, &column, sizeof column);
    }
}

bool table_reply(const struct program *program, const struct udfvm_fetch *fetch, uint8_t *output,
                 uint64_t capacity, uint64_t *length, int64_t *row)
{
    struct table_chunk chunk;
    if (!program->table->rows(program->context, (int64_t)fetch->rows, &chunk.rows, row))
        return false;
    uint64_t count = (uint64_t)chunk.rows.count < fetch->rows ? (uint64_t)chunk.rows.count
                                                              : fetch->rows;
    const bool found = find_fields(program, &chunk, fetch->flags, (int64_t)count, row);
    if (found) {
        *length = lay_out(&chunk, count);
        for (; *length > capacity && count > 1;
             *length = lay_out(&chunk, count)) /* at least one row is tried */
            count /= 2;
        if (*length <= capacity)
            write_reply(&chunk, count, output);
    } else {
        *row = argument_row(&chunk, *row);
    }
    free_fields(&chunk);
    if (found && *length <= capacity && count > 0)
        program->table->took(program->context, (int64_t)count);
    return found;
}
