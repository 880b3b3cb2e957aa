/* Rows for a guest: see batch.h. */
#include "wire/batch.h"

#include <stdlib.h>
#include <string.h>

#define MIN_CAPACITY 1024u

/* Makes capacity for `more` bytes. Returns false if memory is out. */
static bool buffer_reserve(struct batch_buffer *buffer, size_t more)
{
    if (more <= buffer->capacity - buffer->length)
        return true;
    if (more > SIZE_MAX / 2 - buffer->length)
        return false;
    size_t capacity = buffer->capacity ? buffer->capacity : MIN_CAPACITY;
    while (capacity - buffer->length < more)
        capacity *= 2;
    uint8_t *data = realloc(buffer->data, capacity);
    if (!data)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool buffer_append(struct batch_buffer *buffer, const void *bytes, size_t length)
{
    if (!buffer_reserve(buffer, length))
        return false;
    if (length)
        memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
    return true;
}

void buffer_free(struct batch_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct batch_buffer){ 0 };
}

static bool is_variable(const struct batch_column *column)
{
    return column->type == UDFVM_TYPE_TEXT || column->type == UDFVM_TYPE_BLOB;
}

struct batch *batch_create(size_t count)
{
    struct batch *batch = calloc(1, sizeof *batch + count * sizeof batch->columns[0]);
    if (batch)
        batch->count = count;
    return batch;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->count; i++) {
        buffer_free(&batch->columns[i].validity);
        buffer_free(&batch->columns[i].offsets);
        buffer_free(&batch->columns[i].data);
    }
    free(batch);
}

void batch_clear(struct batch *batch)
{
    batch->rows = 0;
    batch->bytes = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_column *column = &batch->columns[i];
        column->nulls = column->validity.length = column->offsets.length = column->data.length = 0;
    }
}

static bool put_bit(struct batch_buffer *buffer, uint64_t row, bool bit)
{
    if (row % 8 == 0) {
        if (!buffer_reserve(buffer, 1))
            return false;
        buffer->data[buffer->length++] = 0;
    }
    buffer->data[row / 8] |= (uint8_t)(bit << (row % 8));
    return true;
}

static bool put_word(struct batch_buffer *buffer, const void *word)
{
    if (!buffer_reserve(buffer, 8))
        return false;
    memcpy(buffer->data + buffer->length, word, 8);
    buffer->length += 8;
    return true;
}

/* Most columns have no nulls, and so no bitmap. */
static bool put_valid(const struct batch *batch, struct batch_column *column)
{
    return column->nulls == 0 || put_bit(&column->validity, batch->rows, true);
}

static bool put_invalid(const struct batch *batch, struct batch_column *column)
{
    const size_t before = (batch->rows + 7) / 8;
    if (column->nulls++ == 0) {
        if (!buffer_reserve(&column->validity, before + 1))
            return false;
        memset(column->validity.data, 0xff, before);
        column->validity.length = before;
        if (batch->rows % 8)
            column->validity.data[before - 1] = (uint8_t)((1u << (batch->rows % 8)) - 1);
    }
    return put_bit(&column->validity, batch->rows, false);
}

static bool put_end(struct batch_column *column)
{
    const int64_t end = (int64_t)column->data.length;
    static const int64_t begin;
    if (column->offsets.length == 0 && !put_word(&column->offsets, &begin))
        return false;
    return put_word(&column->offsets, &end);
}

bool batch_put_null(struct batch *batch, size_t index)
{
    struct batch_column *column = &batch->columns[index];
    static const uint64_t nothing;
    if (!put_invalid(batch, column))
        return false;
    if (is_variable(column))
        return put_end(column);
    return column->type == UDFVM_TYPE_BOOL ? put_bit(&column->data, batch->rows, false)
                                           : put_word(&column->data, &nothing);
}

bool batch_put_integer(struct batch *batch, size_t index, int64_t integer)
{
    struct batch_column *column = &batch->columns[index];
    if (!put_valid(batch, column))
        return false;
    return column->type == UDFVM_TYPE_BOOL ? put_bit(&column->data, batch->rows, integer != 0)
                                           : put_word(&column->data, &integer);
}

bool batch_put_real(struct batch *batch, size_t index, double real)
{
    struct batch_column *column = &batch->columns[index];
    return put_valid(batch, column) && put_word(&column->data, &real);
}

bool batch_put_bytes(struct batch *batch, size_t index, const void *bytes, size_t length)
{
    struct batch_column *column = &batch->columns[index];
    batch->bytes += length;
    return put_valid(batch, column) && buffer_append(&column->data, bytes, length) &&
           put_end(column);
}

/* ---- The layout ---- */

static size_t padded(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

static bool all_null(const struct batch *batch, const struct batch_column *column)
{
    return column->nulls == batch->rows;
}

static size_t head_size(const struct batch *batch)
{
    return sizeof(struct udfvm_columns) + batch->count * sizeof(struct udfvm_column);
}

size_t batch_size(const struct batch *batch)
{
    size_t size = head_size(batch);
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_column *column = &batch->columns[i];
        if (!all_null(batch, column))
            size += (column->nulls ? padded(column->validity.length) : 0) +
                    padded(column->offsets.length) + padded(column->data.length);
    }
    return size;
}

static uint64_t write_buffer(uint8_t *to, size_t *offset, const struct batch_buffer *buffer)
{
    const size_t begin = *offset, end = begin + buffer->length;
    if (buffer->length)
        memcpy(to + begin, buffer->data, buffer->length);
    *offset = padded(end);
    memset(to + end, 0, *offset - end);
    return begin;
}

void batch_write(const struct batch *batch, uint8_t *to)
{
    size_t offset = head_size(batch);
    const struct udfvm_columns head = { .rows = batch->rows, .count = (uint32_t)batch->count };
    memcpy(to, &head, sizeof head);
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_column *column = &batch->columns[i];
        struct udfvm_column written = { .type = UDFVM_TYPE_NULL };
        if (!all_null(batch, column)) {
            written.type = column->type;
            written.validity = column->nulls ? write_buffer(to, &offset, &column->validity) : 0;
            written.offsets = is_variable(column) ? write_buffer(to, &offset, &column->offsets) : 0;
            written.data = write_buffer(to, &offset, &column->data);
            written.data_length = column->data.length;
        }
        memcpy(to + sizeof head + i * sizeof written, &written, sizeof written);
    }
}
