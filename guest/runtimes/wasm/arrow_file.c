/* See arrow_file.h. */
#include "arrow_file.h"

#include <stdlib.h>
#include <string.h>

#include "flatbuffer.h"

#define MAGIC "ARROW1"
#define MAGIC_LENGTH 8                           /* at the beginning, where it is padded */
#define TRAILER (sizeof(int32_t) + strlen(MAGIC))
#define BLOCK_BYTES 24                           /* struct Block: offset (8), metaDataLength (4), padding (4), bodyLength (8) */
#define BLOCK_BODY 16

enum { FOOTER_BATCHES = 3 };

/* ---- The format ---- */

/* Where the metadata of a message are, and what follows them. false: there is no message. */
static bool take_message(const uint8_t *file, uint64_t length, uint64_t at, uint64_t *metadata, uint32_t *metadata_length)
{
    struct prefix prefix;
    if (at > length || length - at < sizeof prefix)
        return false;
    memcpy(&prefix, file + at, sizeof prefix);
    *metadata = at + sizeof prefix;
    *metadata_length = prefix.metadata_length;
    return prefix.continuation == UINT32_MAX && prefix.metadata_length > 0 && prefix.metadata_length <= length - *metadata;
}

/* The metadata of the record batch, behind the schema, which has no body. */
static bool find_batch(const uint8_t *file, uint64_t length, uint64_t *metadata, uint32_t *metadata_length, struct batch_fields *fields)
{
    if (length < MAGIC_LENGTH || memcmp(file, MAGIC, strlen(MAGIC)) != 0 || !take_message(file, length, MAGIC_LENGTH, metadata, metadata_length)
        || !take_message(file, length, *metadata + *metadata_length, metadata, metadata_length))
        return false;
    return stream_find_fields(file + *metadata, *metadata_length, fields);
}

static bool find_block(const uint8_t *tail, size_t length, size_t *block)
{
    int32_t footer_length;
    uint32_t count;
    if (length < TRAILER)
        return false;
    memcpy(&footer_length, tail + length - TRAILER, sizeof footer_length);
    if (footer_length <= 0 || (size_t)footer_length > length - TRAILER)
        return false;
    const uint8_t *footer = tail + length - TRAILER - (size_t)footer_length;
    const uint32_t size = (uint32_t)footer_length;
    const uint32_t first = flatbuffer_vector(footer, size, flatbuffer_root(footer, size), FOOTER_BATCHES, BLOCK_BYTES, &count);
    *block = (size_t)(footer - tail) + first + BLOCK_BODY;
    return first && count == 1;
}

static uint8_t *copy(const uint8_t *from, size_t length)
{
    uint8_t *made = malloc(length + 1);
    if (!made)
        abort();
    return memcpy(made, from, length);
}

bool file_format_take(struct file_format *format, const uint8_t *file, size_t length)
{
    uint64_t metadata, body_length = 0;
    uint32_t metadata_length;
    *format = (struct file_format){ NULL };
    if (!find_batch(file, length, &metadata, &metadata_length, &format->fields) || format->fields.rows == 0)
        return false;
    const uint64_t body = metadata + metadata_length;
    if (format->fields.body_length)
        memcpy(&body_length, file + metadata + format->fields.body_length, sizeof body_length);
    if (body_length > length - body || !find_block(file + body + body_length, length - body - body_length, &format->block))
        return false;
    format->metadata = (uint32_t)metadata;
    format->head_length = body;
    format->head = copy(file, body);
    format->tail_length = length - body - body_length;
    format->tail = copy(file + body + body_length, format->tail_length);
    return true;
}

void file_format_free(struct file_format *format)
{
    free(format->head);
    free(format->tail);
}

/* ---- Writing ---- */

struct buffers {                                 /* of one column, in order */
    unsigned count;
    struct { const void *bytes; uint64_t length; } each[3];
};

static uint64_t bits(int64_t rows)
{
    return ((uint64_t)rows + 7) / 8;
}

static uint64_t fixed_bytes(enum storage storage, int64_t rows)
{
    const size_t width = storage_width(storage);
    return width ? (uint64_t)rows * width : bits(rows);
}

static struct buffers buffers_of(const struct column *column, int64_t rows)
{
    struct buffers buffers = { .count = 2, .each = { { column->validity, column->validity ? bits(rows) : 0 } } };
    if (storage_is_variable(column->storage)) {
        buffers.count = 3;
        buffers.each[1].bytes = column->offsets;
        buffers.each[1].length = ((uint64_t)rows + 1) * sizeof(int32_t);
        buffers.each[2].bytes = column->data;
        buffers.each[2].length = (uint64_t)((const int32_t *)column->offsets)[rows];
    } else {
        buffers.each[1].bytes = column->data;
        buffers.each[1].length = fixed_bytes(column->storage, rows);
    }
    return buffers;
}

uint64_t file_length(const struct file_format *format, const struct column *columns, size_t count, int64_t rows)
{
    uint64_t length = format->head_length + format->tail_length;
    for (size_t i = 0; i < count; i++) {
        const struct buffers buffers = buffers_of(&columns[i], rows);
        for (unsigned j = 0; j < buffers.count; j++)
            length += padded(buffers.each[j].length);
    }
    return length;
}

static int64_t count_nulls(const struct column *column, int64_t rows)
{
    int64_t nulls = 0;
    for (int64_t row = 0; column->validity && row < rows; row++)
        nulls += !(column->validity[row >> 3] >> (row & 7) & 1);
    return nulls;
}

static uint8_t *put_padded(uint8_t *to, const void *bytes, uint64_t length)
{
    if (length > 0)
        memcpy(to, bytes, length);
    memset(to + length, 0, padded(length) - length);
    return to + padded(length);
}

void file_write(const struct file_format *format, const struct column *columns, size_t count, int64_t rows, uint8_t *to)
{
    uint8_t *metadata = to + format->metadata, *const body = to + format->head_length, *at = body;
    size_t next = 0;
    memcpy(to, format->head, format->head_length);
    memcpy(metadata + format->fields.rows, &rows, sizeof rows);
    for (size_t i = 0; i < count; i++) {
        const struct buffers buffers = buffers_of(&columns[i], rows);
        const struct pair node = { rows, count_nulls(&columns[i], rows) };
        memcpy(metadata + format->fields.nodes + i * sizeof node, &node, sizeof node);
        for (unsigned j = 0; j < buffers.count; j++) {
            const struct pair place = { at - body, (int64_t)buffers.each[j].length };
            memcpy(metadata + format->fields.buffers + next++ * sizeof place, &place, sizeof place);
            at = put_padded(at, buffers.each[j].bytes, buffers.each[j].length);
        }
    }
    const int64_t body_length = at - body;
    if (format->fields.body_length)
        memcpy(metadata + format->fields.body_length, &body_length, sizeof body_length);
    memcpy(at, format->tail, format->tail_length);
    memcpy(at + format->block, &body_length, sizeof body_length);
}

/* ---- Reading ---- */

static struct pair pair_at(const uint8_t *metadata, uint32_t first, size_t index)
{
    struct pair pair;
    memcpy(&pair, metadata + first + index * sizeof pair, sizeof pair);
    return pair;
}

/* A buffer of at least `needed` bytes; NULL where there is none. Offsets of text may be at any address. */
static const uint8_t *buffer_at(const uint8_t *body, uint64_t room, struct pair place, uint64_t needed)
{
    if (place.first < 0 || place.second < 0 || (uint64_t)place.first > room || (uint64_t)place.second > room - (uint64_t)place.first
        || (uint64_t)place.second < needed)
        return NULL;
    return body + place.first;
}

static bool offsets_rise(const uint8_t *offsets, int64_t rows, uint64_t data_length)
{
    int32_t before, after;
    memcpy(&before, offsets, sizeof before);
    for (int64_t row = 0; row < rows; row++, before = after) {
        memcpy(&after, offsets + (size_t)(row + 1) * sizeof after, sizeof after);
        if (after < before)
            return false;
    }
    memcpy(&before, offsets, sizeof before);
    memcpy(&after, offsets + (size_t)rows * sizeof after, sizeof after);
    return before >= 0 && (uint64_t)after <= data_length;
}

/* `places`: of the buffers of this column. */
static bool take_column(struct column *column, const struct pair *places, int64_t nulls, const uint8_t *body, uint64_t room, int64_t rows)
{
    const enum storage storage = column->storage;
    *column = (struct column){ .storage = storage, .nulls = nulls };
    if (nulls != 0 && !(column->validity = buffer_at(body, room, places[0], bits(rows))))
        return false;
    if (!storage_is_variable(storage))
        return (column->data = buffer_at(body, room, places[1], fixed_bytes(storage, rows))) != NULL;
    column->offsets = buffer_at(body, room, places[1], ((uint64_t)rows + 1) * sizeof(int32_t));
    column->data = buffer_at(body, room, places[2], 0);
    return column->offsets && column->data && offsets_rise(column->offsets, rows, (uint64_t)places[2].second);
}

bool file_read(const uint8_t *file, uint64_t length, struct column *columns, size_t most, size_t *count, int64_t *rows)
{
    uint64_t metadata;
    uint32_t metadata_length;
    struct batch_fields fields;
    if (!find_batch(file, length, &metadata, &metadata_length, &fields) || fields.node_count > most)
        return false;
    *rows = 0;
    if (fields.rows)
        memcpy(rows, file + metadata + fields.rows, sizeof *rows);
    if (*rows < 0 || (uint64_t)*rows > length * 8)
        return false;
    const uint8_t *body = file + metadata + metadata_length;
    size_t next = 0;
    *count = fields.node_count;
    for (size_t i = 0; i < *count; i++) {
        const unsigned needed = storage_is_variable(columns[i].storage) ? 3 : 2;
        struct pair places[3];
        if (next + needed > fields.buffer_count)
            return false;
        for (unsigned j = 0; j < needed; j++)
            places[j] = pair_at(file + metadata, fields.buffers, next + j);
        next += needed;
        const struct pair node = pair_at(file + metadata, fields.nodes, i);
        if (node.first != *rows || !take_column(&columns[i], places, node.second, body, length - (uint64_t)(body - file), *rows))
            return false;
    }
    return next == fields.buffer_count;
}
