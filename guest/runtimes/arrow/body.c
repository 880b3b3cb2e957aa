/* See body.h. Buffers are those of the Arrow columnar format, one after the other, each padded to 8
 * bytes. */
#include "arrow/body.h"

#include <string.h>

#include "arrow/block.h"

struct buffers { /* the buffers of one column, in order */
    unsigned count;
    struct {
        const void *bytes;
        uint64_t length;
    } each[3];
};

static struct buffers buffers_of(const struct column *column, int64_t rows)
{
    struct buffers buffers = { .count = storage_buffers(column->storage),
                               .each = { { column->validity,
                                           column->validity ? bitmap_bytes(rows) : 0 } } };
    const size_t width = storage_width(column->storage);
    if (storage_has_offsets(column->storage)) {
        buffers.each[1].bytes = column->offsets;
        buffers.each[1].length = ((uint64_t)rows + 1) * width;
        buffers.each[2].bytes = column->data;
        buffers.each[2].length = storage_is_variable(column->storage)
                                     ? (uint64_t)column_offset(column, rows)
                                     : 0;
    } else {
        buffers.each[1].bytes = column->data;
        buffers.each[1].length = width ? (uint64_t)rows * width : bitmap_bytes(rows);
    }
    return buffers;
}

static int64_t rows_below(const struct column *column, const struct column *child, int64_t rows)
{
    return column->storage == STORAGE_LIST ? child->rows : rows;
}

struct body_counts body_counts(const struct column *columns, size_t count)
{
    struct body_counts counts = { 0, 0 };
    for (size_t i = 0; i < count; i++) {
        const struct body_counts below = body_counts(columns[i].children, columns[i].child_count);
        counts.nodes += 1 + below.nodes;
        counts.buffers += storage_buffers(columns[i].storage) + below.buffers;
    }
    return counts;
}

uint64_t body_length(const struct column *columns, size_t count, int64_t rows)
{
    uint64_t length = 0;
    for (size_t i = 0; i < count; i++) {
        const struct column *column = &columns[i];
        const struct buffers buffers = buffers_of(column, rows);
        for (unsigned j = 0; j < buffers.count; j++)
            length += padded(buffers.each[j].length);
        for (size_t j = 0; j < column->child_count; j++)
            length += body_length(&column->children[j], 1,
                                  rows_below(column, &column->children[j], rows));
    }
    return length;
}

static int64_t count_nulls(const struct column *column, int64_t rows)
{
    return column->validity ? bitmap_count_clear(column->validity, rows) : 0;
}

struct writer {
    uint8_t *node, *buffer, *body,
        *at; /* where the next node, buffer and bytes go; `body` is where the body begins */
};

static void put_buffer(struct writer *writer, const void *bytes, uint64_t length)
{
    const struct pair entry = { writer->at - writer->body, (int64_t)length };
    memcpy(writer->buffer, &entry, sizeof entry);
    writer->buffer += sizeof entry;
    if (length > 0)
        memcpy(writer->at, bytes, length);
    memset(writer->at + length, 0, padded(length) - length);
    writer->at += padded(length);
}

static void put_column(struct writer *writer, const struct column *column, int64_t rows)
{
    const struct buffers buffers = buffers_of(column, rows);
    const struct pair node = { rows, count_nulls(column, rows) };
    memcpy(writer->node, &node, sizeof node);
    writer->node += sizeof node;
    for (unsigned i = 0; i < buffers.count; i++)
        put_buffer(writer, buffers.each[i].bytes, buffers.each[i].length);
    for (size_t i = 0; i < column->child_count; i++)
        put_column(writer, &column->children[i], rows_below(column, &column->children[i], rows));
}

uint64_t body_write(const struct column *columns, size_t count, int64_t rows,
                    const struct batch_fields *fields, uint8_t *metadata, uint8_t *body)
{
    struct writer writer = { metadata + fields->nodes, metadata + fields->buffers, body, body };
    memcpy(metadata + fields->rows, &rows, sizeof rows);
    for (size_t i = 0; i < count; i++)
        put_column(&writer, &columns[i], rows);
    const int64_t length = writer.at - body;
    if (fields->body_length)
        memcpy(metadata + fields->body_length, &length, sizeof length);
    return (uint64_t)length;
}
