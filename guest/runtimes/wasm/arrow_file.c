/* See arrow_file.h. */
#include "wasm/arrow_file.h"

#include <stdlib.h>
#include <string.h>

#include "arrow/body.h"
#include "arrow/flatbuffer.h"

#define MAGIC   "ARROW1"
#define TRAILER (sizeof(int32_t) + strlen(MAGIC))
#define BLOCK_BYTES \
    24 /* struct Block: offset (8), metaDataLength (4), padding (4), bodyLength (8) */
#define BLOCK_BODY 16

enum { FOOTER_BATCHES = 3 };

/* ---- The format ---- */

/* Finds the metadata of a message and what follows them. Returns false if there is no message. */
static bool take_message(const uint8_t *file, uint64_t length, uint64_t offset, uint64_t *metadata,
                         uint32_t *metadata_length)
{
    struct prefix prefix;
    if (offset > length || length - offset < sizeof prefix)
        return false;
    memcpy(&prefix, file + offset, sizeof prefix);
    *metadata = offset + sizeof prefix;
    *metadata_length = prefix.metadata_length;
    return prefix.continuation == UINT32_MAX && prefix.metadata_length > 0 &&
           prefix.metadata_length <= length - *metadata;
}

/* Finds the record batch's entry in the footer, at the end of the file. Returns false unless the
 * footer has one batch. */
static bool find_block(const uint8_t *tail, size_t length, size_t *block)
{
    int32_t footer_length;
    uint32_t count;
    if (length < TRAILER || memcmp(tail + length - strlen(MAGIC), MAGIC, strlen(MAGIC)) != 0)
        return false;
    memcpy(&footer_length, tail + length - TRAILER, sizeof footer_length);
    if (footer_length <= 0 || (size_t)footer_length > length - TRAILER)
        return false;
    const uint8_t *footer = tail + length - TRAILER - (size_t)footer_length;
    const uint32_t size = (uint32_t)footer_length;
    const uint32_t first = flatbuffer_vector(footer, size, flatbuffer_root(footer, size),
                                             FOOTER_BATCHES, BLOCK_BYTES, &count);
    *block = (size_t)(footer - tail) + first;
    return first && count == 1;
}

/* Finds the metadata of the record batch. Only the footer has their offset: writers pad the
 * beginning of a file differently. */
static bool find_batch(const uint8_t *file, uint64_t length, uint64_t *metadata,
                       uint32_t *metadata_length, struct batch_fields *fields)
{
    size_t block;
    int64_t offset;
    if (!find_block(file, length, &block))
        return false;
    memcpy(&offset, file + block, sizeof offset);
    return offset >= 0 && take_message(file, length, (uint64_t)offset, metadata, metadata_length) &&
           stream_find_fields(file + *metadata, *metadata_length, fields);
}

static uint8_t *copy(const uint8_t *from, size_t length)
{
    uint8_t *made = malloc(length + 1);
    if (!made)
        abort();
    return memcpy(made, from, length);
}

static bool has_columns(const struct batch_fields *fields, const struct column *columns,
                        size_t count)
{
    const struct body_counts counts = body_counts(columns, count);
    return counts.nodes == fields->node_count && counts.buffers == fields->buffer_count;
}

bool file_format_take(struct file_format *format, const uint8_t *file, size_t length,
                      const struct column *columns, size_t count)
{
    uint64_t metadata, body_length = 0;
    uint32_t metadata_length;
    *format = (struct file_format){ NULL };
    if (!find_batch(file, length, &metadata, &metadata_length, &format->fields) ||
        format->fields.rows == 0 || !has_columns(&format->fields, columns, count))
        return false;
    const uint64_t body = metadata + metadata_length;
    if (format->fields.body_length)
        memcpy(&body_length, file + metadata + format->fields.body_length, sizeof body_length);
    if (body_length > length - body ||
        !find_block(file + body + body_length, length - body - body_length, &format->block))
        return false;
    format->block += BLOCK_BODY;
    format->metadata = (uint32_t)metadata;
    format->head_length = body;
    format->head = copy(file, body);
    format->tail_length = length - body - body_length;
    format->tail = copy(file + body + body_length, format->tail_length);
    return true;
}

/* ---- Writing ---- */

uint64_t file_length(const struct file_format *format, const struct column *columns, size_t count,
                     int64_t rows)
{
    return format->head_length + body_length(columns, count, rows) + format->tail_length;
}

void file_write(const struct file_format *format, const struct column *columns, size_t count,
                int64_t rows, uint8_t *to)
{
    uint8_t *const body = to + format->head_length;
    memcpy(to, format->head, format->head_length);
    const uint64_t length = body_write(columns, count, rows, &format->fields, to + format->metadata,
                                       body);
    memcpy(body + length, format->tail, format->tail_length);
    memcpy(body + length + format->block, &length, sizeof length);
}

/* ---- Reading ---- */

/* A column takes at least a bit a row, so a file cannot have more rows than bits. Only columns
 * without buffers are smaller; their list bounds them. */
struct file_cursor {
    struct batch_cursor batch;
    int64_t max_rows;
};

static bool offsets_rise(const struct column *column, int64_t rows, int64_t *last)
{
    *last = 0;
    for (int64_t row = 0; row <= rows; row++) {
        const int64_t offset = column_offset(column, row);
        if (offset < *last)
            return false;
        *last = offset;
    }
    return true;
}

/* *last is where the last row ends. Where there are no rows, there may be no offsets. */
static bool take_offsets(struct file_cursor *cursor, struct column *column, int64_t rows,
                         int64_t *last)
{
    static const int64_t none;
    uint64_t length;
    const uint8_t *offsets = batch_next_buffer(&cursor->batch, &length);
    if (offsets && rows == 0 && length == 0)
        offsets = (const uint8_t *)&none;
    else if (!offsets || length < ((uint64_t)rows + 1) * storage_width(column->storage))
        return false;
    column->offsets = offsets;
    return offsets_rise(column, rows, last);
}

static bool take_data(struct file_cursor *cursor, struct column *column, uint64_t needed)
{
    uint64_t length;
    column->data = batch_next_buffer(&cursor->batch, &length);
    return column->data && length >= needed;
}

static bool take_column(struct file_cursor *cursor, struct column *column, int64_t rows);

/* Takes a list's items. Their node must have as many as the list's last row needs. */
static bool take_items(struct file_cursor *cursor, struct column *items, int64_t needed)
{
    struct pair node;
    return batch_peek_node(&cursor->batch, &node) && node.first >= needed &&
           node.first <= cursor->max_rows && take_column(cursor, items, node.first);
}

static bool take_fields(struct file_cursor *cursor, struct column *column, int64_t rows)
{
    for (size_t i = 0; i < column->child_count; i++)
        if (!take_column(cursor, &column->children[i], rows))
            return false;
    return true;
}

/* What is behind the validity of a column. */
static bool take_values(struct file_cursor *cursor, struct column *column, int64_t rows)
{
    const size_t width = storage_width(column->storage);
    int64_t last;
    if (column->storage == STORAGE_STRUCT)
        return take_fields(cursor, column, rows);
    if (column->storage == STORAGE_LIST)
        return take_offsets(cursor, column, rows, &last) &&
               take_items(cursor, column->children, last);
    if (storage_is_variable(column->storage))
        return take_offsets(cursor, column, rows, &last) &&
               take_data(cursor, column, (uint64_t)last);
    return take_data(cursor, column, width ? (uint64_t)rows * width : bitmap_bytes(rows));
}

static bool take_column(struct file_cursor *cursor, struct column *column, int64_t rows)
{
    struct pair node;
    uint64_t length;
    if (!batch_peek_node(&cursor->batch, &node))
        return false;
    cursor->batch.node++;
    const uint8_t *validity = batch_next_buffer(&cursor->batch, &length);
    if (node.first != rows || !validity || (node.second != 0 && length < bitmap_bytes(rows)))
        return false;
    *column = (struct column){ .storage = column->storage,
                               .children = column->children,
                               .child_count = column->child_count,
                               .rows = rows,
                               .nulls = node.second,
                               .validity = node.second != 0 ? validity : NULL };
    return take_values(cursor, column, rows);
}

bool file_read(const uint8_t *file, uint64_t length, struct column *columns, size_t capacity,
               size_t *count, int64_t *rows)
{
    uint64_t metadata;
    uint32_t metadata_length;
    struct file_cursor cursor = { .max_rows = (int64_t)(length * 8) };
    struct batch_cursor *batch = &cursor.batch;
    if (!find_batch(file, length, &metadata, &metadata_length, &batch->fields))
        return false;
    batch->metadata = file + metadata;
    batch->body = batch->metadata + metadata_length;
    batch->capacity = length - (uint64_t)(batch->body - file);
    *rows = batch_rows(batch);
    if (*rows < 0 || *rows > cursor.max_rows)
        return false;
    for (*count = 0; *count < capacity && batch->node < batch->fields.node_count; ++*count)
        if (!take_column(&cursor, &columns[*count], *rows))
            return false;
    return batch->node == batch->fields.node_count && batch->buffer == batch->fields.buffer_count;
}
