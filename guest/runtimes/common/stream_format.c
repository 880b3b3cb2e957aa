/* Arrow IPC streams in the windows: see stream_format.h. Formats: flatbuffers (flatbuffers.dev), Message.fbs and Schema.fbs of Apache Arrow. */
#include "stream_format.h"

#include <string.h>

#include "flatbuffer.h"

enum { MESSAGE_HEADER = 2, MESSAGE_BODY_LENGTH = 3, BATCH_ROWS = 0, BATCH_NODES = 1, BATCH_BUFFERS = 2 };

static uint32_t pairs(const uint8_t *data, uint32_t length, uint32_t table, unsigned field, uint32_t *count)
{
    return flatbuffer_vector(data, length, table, field, sizeof(struct pair), count);
}

bool stream_find_fields(const uint8_t *metadata, uint32_t length, struct batch_fields *fields)
{
    const uint32_t message = flatbuffer_root(metadata, length);
    const uint32_t batch = flatbuffer_table(metadata, length, message, MESSAGE_HEADER);
    *fields = (struct batch_fields){
        .rows = flatbuffer_field(metadata, length, batch, BATCH_ROWS),
        .body_length = flatbuffer_field(metadata, length, message, MESSAGE_BODY_LENGTH),
    };
    fields->nodes = pairs(metadata, length, batch, BATCH_NODES, &fields->node_count);
    fields->buffers = pairs(metadata, length, batch, BATCH_BUFFERS, &fields->buffer_count);
    return batch && fields->nodes;
}

/* ---- Requests ---- */

static struct pair pair_at(const uint8_t *metadata, uint32_t first, size_t index)
{
    struct pair pair;
    memcpy(&pair, metadata + first + index * sizeof pair, sizeof pair);
    return pair;
}

static unsigned buffers_of(enum storage storage)
{
    return storage == STORAGE_NULL ? 0 : storage_is_variable(storage) ? 3 : 2;
}

bool stream_read(const struct stream_format *format, const uint8_t *request, uint64_t length, size_t count, struct column *columns,
                 int64_t *rows)
{
    static const uint8_t no_valid_rows[1];
    struct batch_fields fields;
    struct prefix prefix;
    const size_t schema = format->request_schema_length;
    if (length < schema + sizeof prefix || memcmp(request, format->request_schema, schema) != 0)
        return false;
    memcpy(&prefix, request + schema, sizeof prefix);
    const uint8_t *metadata = request + schema + sizeof prefix;
    if (prefix.metadata_length > length - schema - sizeof prefix || !stream_find_fields(metadata, prefix.metadata_length, &fields)
        || fields.node_count != count)
        return false;
    *rows = 0;                                   /* a flatbuffer leaves out what is zero */
    if (fields.rows)
        memcpy(rows, metadata + fields.rows, sizeof *rows);
    const uint8_t *body = metadata + prefix.metadata_length;
    const uint64_t room = length - (uint64_t)(body - request);
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *places[3] = { no_valid_rows, NULL, NULL };
        const unsigned buffers = buffers_of(columns[i].storage);
        if (next + buffers > fields.buffer_count)
            return false;
        for (unsigned j = 0; j < buffers; j++) {
            struct pair place = pair_at(metadata, fields.buffers, next + j);
            if (place.first < 0 || place.second < 0 || (uint64_t)place.first > room || (uint64_t)place.second > room - (uint64_t)place.first)
                return false;
            places[j] = body + place.first;
        }
        next += buffers;
        columns[i] = (struct column){ .storage = columns[i].storage, .nulls = pair_at(metadata, fields.nodes, i).second,
                                      .data = places[buffers == 3 ? 2 : 1],
                                      .offsets = buffers == 3 ? places[1] : NULL };
        columns[i].validity = columns[i].nulls ? places[0] : NULL;
        columns[i].all_null = buffers == 0;
    }
    return true;
}

/* ---- Replies ---- */

size_t stream_reply_head(struct stream_format *format, size_t schema_length, const uint8_t *message, size_t message_length)
{
    struct prefix prefix;
    if (message_length < sizeof prefix)
        return 0;
    memcpy(&prefix, message, sizeof prefix);
    const size_t head = sizeof prefix + prefix.metadata_length;
    if (head > message_length || !stream_find_fields(message + sizeof prefix, prefix.metadata_length, &format->fields)
        || format->fields.rows == 0 || format->fields.node_count != 1 || format->fields.buffer_count > 3
        || (format->fields.buffer_count > 0 && format->fields.body_length == 0))
        return 0;
    format->metadata = (uint32_t)(schema_length + sizeof prefix);
    format->reply_head_length = schema_length + head;
    return head;
}
