/* Rows for a guest, as struct udfvm_columns. They are gathered column by column in memory of the
 * host, then written to the window at once. */
#ifndef UDFVM_SQLITE_BATCH_H
#define UDFVM_SQLITE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "udfvm_abi.h"

struct batch_buffer {
    uint8_t *data;
    size_t length, capacity;
};

struct batch_column {
    uint32_t type; /* UDFVM_TYPE_x */
    uint64_t nulls;
    struct batch_buffer validity; /* empty until there is a null */
    struct batch_buffer offsets, data;
};

struct batch {
    uint64_t rows;
    size_t bytes; /* of TEXT and BLOB values */
    size_t count;
    struct batch_column columns[];
};

struct batch *batch_create(size_t count); /* NULL: out of memory. Set the columns' types. */
void batch_free(struct batch *batch);     /* NULL is allowed */
void batch_clear(struct batch *batch);

/* Add a value for each column, then call batch_end_row(). They return false if memory is out. */
bool batch_put_null(struct batch *batch, size_t column);
bool batch_put_integer(struct batch *batch, size_t column, int64_t integer); /* INT64, BOOL */
bool batch_put_real(struct batch *batch, size_t column, double real);
bool batch_put_bytes(struct batch *batch, size_t column, const void *bytes, size_t length);
static inline void batch_end_row(struct batch *batch)
{
    batch->rows++;
}
/* Adds a number of 8 bytes if that takes no memory, as mostly. Returns false where one of the
 * functions above must. */
static inline bool batch_put_word(struct batch *batch, size_t index, const void *word)
{
    struct batch_column *column = &batch->columns[index];
    struct batch_buffer *data = &column->data;
    if (data->capacity - data->length < sizeof(uint64_t) || (column->nulls && batch->rows % 8 == 0))
        return false;
    if (column->nulls)
        column->validity.data[batch->rows / 8] |= (uint8_t)(1u << (batch->rows % 8));
    memcpy(data->data + data->length, word, sizeof(uint64_t));
    data->length += sizeof(uint64_t);
    return true;
}

size_t batch_size(const struct batch *batch);
void batch_write(const struct batch *batch, uint8_t *to); /* batch_size() bytes */

bool buffer_append(struct batch_buffer *buffer, const void *bytes, size_t length);
void buffer_free(struct batch_buffer *buffer);

#endif
