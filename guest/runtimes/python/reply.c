/* A reply, put together where the host reads it: see stream.h. Nothing is allocated, so no page but the reply's own is written. */
#include "stream.h"

#include <string.h>

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

static uint64_t head_bytes(const struct reply *reply)
{
    return (uint64_t)PyBytes_GET_SIZE(reply->stream->reply_head);
}

static uint64_t validity_bytes(const struct reply *reply)
{
    return reply->storage == STORAGE_NULL ? 0 : ((uint64_t)reply->rows + 7) / 8;
}

static uint64_t offsets_bytes(const struct reply *reply)
{
    return storage_is_variable(reply->storage) ? ((uint64_t)reply->rows + 1) * storage_width(reply->storage) : 0;
}

static uint64_t fixed_data_bytes(const struct reply *reply)
{
    if (storage_is_variable(reply->storage) || reply->storage == STORAGE_NULL)
        return 0;
    uint64_t width = storage_width(reply->storage);
    return width ? (uint64_t)reply->rows * width : validity_bytes(reply);
}

static bool fits(const struct reply *reply)
{
    return reply->data + padded(reply->data_bytes) + sizeof(struct prefix) <= reply->capacity;
}

bool reply_begin(struct reply *reply, const struct stream *stream, enum storage storage, int64_t rows, uint8_t *output, uint64_t capacity)
{
    *reply = (struct reply){ .stream = stream, .storage = storage, .output = output, .capacity = capacity, .rows = rows };
    reply->validity = head_bytes(reply);
    reply->offsets = reply->validity + padded(validity_bytes(reply));
    reply->data = reply->offsets + padded(offsets_bytes(reply));
    reply->data_bytes = fixed_data_bytes(reply);
    if (!fits(reply))
        return false;
    memset(output + reply->validity, 0xff, padded(validity_bytes(reply)));
    memset(output + reply->offsets, 0, padded(offsets_bytes(reply)));
    if (storage_width(storage) == 0)             /* bits are only ever set */
        memset(output + reply->data, 0, padded(reply->data_bytes));
    return true;
}

static int put_bytes(struct reply *reply, int64_t row, const struct scalar *scalar)
{
    const bool narrow = storage_width(reply->storage) == sizeof(int32_t);
    const uint64_t length = (uint64_t)scalar->length, begin = reply->data_bytes;
    if (length > (narrow ? INT32_MAX : INT64_MAX / 4) - begin) {
        PyErr_SetString(PyExc_OverflowError, "the results of this batch are too large for one column");
        return -1;
    }
    reply->data_bytes += length;
    if (fits(reply) && length > 0)
        memcpy(reply->output + reply->data + begin, scalar->bytes, length);
    if (narrow)
        ((int32_t *)(reply->output + reply->offsets))[row + 1] = (int32_t)reply->data_bytes;
    else
        ((int64_t *)(reply->output + reply->offsets))[row + 1] = (int64_t)reply->data_bytes;
    return 0;
}

static void put_number(struct reply *reply, int64_t row, const struct scalar *scalar)
{
    uint8_t *data = reply->output + reply->data;
    switch (reply->storage) {
    case STORAGE_NULL: break;
    case STORAGE_BOOL: data[row >> 3] |= (uint8_t)(scalar->integer << (row & 7)); break;
    case STORAGE_FLOAT32: ((float *)data)[row] = (float)scalar->real; break;
    case STORAGE_FLOAT64: ((double *)data)[row] = scalar->real; break;
    default: {                                   /* little endian: a narrow integer is the beginning of a wide one */
        const size_t width = storage_width(reply->storage);
        memcpy(data + (size_t)row * width, &scalar->integer, width);
        break;
    }
    }
}

int reply_put(struct reply *reply, int64_t row, const struct scalar *scalar)
{
    if (scalar->null) {
        reply->nulls++;
        if (reply->storage != STORAGE_NULL)
            reply->output[reply->validity + (uint64_t)(row >> 3)] &= (uint8_t)~(1u << (row & 7));
    }
    if (storage_is_variable(reply->storage))
        return put_bytes(reply, row, scalar);
    put_number(reply, row, scalar);
    return 0;
}

void reply_put_buffers(struct reply *reply, int64_t nulls, const void *validity, const void *offsets, const void *data, uint64_t data_bytes)
{
    if (storage_is_variable(reply->storage))
        reply->data_bytes = data_bytes;
    if (!fits(reply))
        return;
    reply->nulls = nulls;
    if (nulls && validity)
        memcpy(reply->output + reply->validity, validity, validity_bytes(reply));
    if (offsets)
        memcpy(reply->output + reply->offsets, offsets, offsets_bytes(reply));
    if (data && reply->data_bytes)
        memcpy(reply->output + reply->data, data, reply->data_bytes);
}

/* The head of the stream, for a column whose buffers are at these places of the body. */
static void write_head(const struct stream *stream, uint8_t *output, struct pair node, const struct pair places[3], int64_t body)
{
    const struct batch_fields *fields = &stream->fields;
    uint8_t *metadata = output + stream->metadata;
    memcpy(output, PyBytes_AS_STRING(stream->reply_head), (size_t)PyBytes_GET_SIZE(stream->reply_head));
    memcpy(metadata + fields->rows, &node.first, sizeof node.first);
    memcpy(metadata + fields->nodes, &node, sizeof node);
    memcpy(metadata + fields->buffers, places, fields->buffer_count * sizeof *places);
    if (fields->body_length)
        memcpy(metadata + fields->body_length, &body, sizeof body);
}

uint64_t reply_in_place(const struct stream *stream, uint8_t *output, int64_t rows, const void *data, uint64_t data_bytes)
{
    const struct udfvm_call *call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
    const uint64_t start = (uint64_t)(uintptr_t)data, head = (uint64_t)PyBytes_GET_SIZE(stream->reply_head);
    if (!(call->flags & UDFVM_CALL_IN_PLACE) || start < call->scratch_start || start >= call->scratch_end
        || data_bytes > call->scratch_end - start || start % 8 || stream->fields.buffer_count != 2)
        return 0;
    const uint64_t offset = start - (uint64_t)(uintptr_t)output - head, body = offset + data_bytes;
    const struct pair places[3] = { { 0, 0 }, { (int64_t)offset, (int64_t)data_bytes } };
    write_head(stream, output, (struct pair){ rows, 0 }, places, (int64_t)body);
    return head + body;
}

uint64_t reply_end(struct reply *reply)
{
    static const struct prefix end_of_stream = { UINT32_MAX, 0 };
    const uint64_t head = head_bytes(reply), end = reply->data + padded(reply->data_bytes);
    if (!fits(reply))
        return end + sizeof end_of_stream;
    const struct pair data = { (int64_t)(reply->data - head), (int64_t)reply->data_bytes };
    struct pair places[3] = { { 0, reply->nulls ? (int64_t)validity_bytes(reply) : 0 },
                              { (int64_t)(reply->offsets - head), (int64_t)offsets_bytes(reply) }, data };
    if (reply->stream->fields.buffer_count == 2)
        places[1] = data;
    write_head(reply->stream, reply->output, (struct pair){ reply->rows, reply->nulls }, places, (int64_t)(end - head));
    memset(reply->output + reply->data + reply->data_bytes, 0, padded(reply->data_bytes) - reply->data_bytes);
    memcpy(reply->output + end, &end_of_stream, sizeof end_of_stream);
    return end + sizeof end_of_stream;
}
