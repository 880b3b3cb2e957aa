/* Arrow IPC streams in the windows: see stream_format.h. Formats: flatbuffers (flatbuffers.dev),
 * Message.fbs and Schema.fbs of Apache Arrow. */
#include "arrow/stream_format.h"

#include <string.h>

#include "arrow/flatbuffer.h"

enum {
    MESSAGE_HEADER = 2,
    MESSAGE_BODY_LENGTH = 3,
    BATCH_ROWS = 0,
    BATCH_NODES = 1,
    BATCH_BUFFERS = 2
};

static uint32_t pairs(const uint8_t *data, uint32_t length, uint32_t table, unsigned field,
                      uint32_t *count)
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

unsigned storage_buffers(enum storage storage)
{
    return storage == STORAGE_NULL        ? 0
           : storage == STORAGE_STRUCT    ? 1
           : storage_is_variable(storage) ? 3
                                          : 2;
}

/* A record batch on its way into columns, which come in pre-order: a column, then what is in it. */
struct batch {
    const uint8_t *metadata, *body;
    uint64_t room; /* bytes of the body, and what is behind it */
    struct batch_fields fields;
    uint32_t node, buffer; /* the next ones */
};

static bool take_buffers(struct batch *batch, unsigned count, const uint8_t **places)
{
    if (batch->buffer + count > batch->fields.buffer_count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct pair place = pair_at(batch->metadata, batch->fields.buffers, batch->buffer++);
        if (place.first < 0 || place.second < 0 || (uint64_t)place.first > batch->room ||
            (uint64_t)place.second > batch->room - (uint64_t)place.first)
            return false;
        places[i] = batch->body + place.first;
    }
    return true;
}

static bool take_column(struct batch *batch, struct column *column)
{
    static const uint8_t no_valid_rows[1];
    const uint8_t *places[3] = { no_valid_rows, NULL, NULL };
    const unsigned buffers = storage_buffers(column->storage);
    if (batch->node == batch->fields.node_count || !take_buffers(batch, buffers, places))
        return false;
    const struct pair node = pair_at(batch->metadata, batch->fields.nodes, batch->node++);
    *column = (struct column){ .storage = column->storage,
                               .children = column->children,
                               .child_count = column->child_count,
                               .rows = node.first,
                               .nulls = node.second,
                               .data = places[buffers == 3 ? 2 : 1],
                               .offsets = buffers == 3 || column->storage == STORAGE_LIST
                                              ? places[1]
                                              : NULL };
    column->validity = column->nulls ? places[0] : NULL;
    column->all_null = buffers == 0;
    for (size_t i = 0; i < column->child_count; i++)
        if (!take_column(batch, &column->children[i]))
            return false;
    return true;
}

bool stream_read(const struct stream_format *format, const uint8_t *request, uint64_t length,
                 size_t count, struct column *columns, int64_t *rows)
{
    struct batch batch = { 0 };
    struct prefix prefix;
    const size_t schema = format->request_schema_length;
    if (length < schema + sizeof prefix || memcmp(request, format->request_schema, schema) != 0)
        return false;
    memcpy(&prefix, request + schema, sizeof prefix);
    batch.metadata = request + schema + sizeof prefix;
    if (prefix.metadata_length > length - schema - sizeof prefix ||
        !stream_find_fields(batch.metadata, prefix.metadata_length, &batch.fields))
        return false;
    *rows = 0; /* a flatbuffer leaves out what is zero */
    if (batch.fields.rows)
        memcpy(rows, batch.metadata + batch.fields.rows, sizeof *rows);
    batch.body = batch.metadata + prefix.metadata_length;
    batch.room = length - (uint64_t)(batch.body - request);
    for (size_t i = 0; i < count; i++)
        if (!take_column(&batch, &columns[i]))
            return false;
    return batch.node == batch.fields.node_count;
}

/* ---- Replies ---- */

size_t stream_nested_head(struct stream_format *format, size_t schema_length,
                          const uint8_t *message, size_t message_length)
{
    struct prefix prefix;
    if (message_length < sizeof prefix)
        return 0;
    memcpy(&prefix, message, sizeof prefix);
    const size_t head = sizeof prefix + prefix.metadata_length;
    if (head > message_length ||
        !stream_find_fields(message + sizeof prefix, prefix.metadata_length, &format->fields) ||
        format->fields.rows == 0 ||
        (format->fields.buffer_count > 0 && format->fields.body_length == 0))
        return 0;
    format->metadata = (uint32_t)(schema_length + sizeof prefix);
    format->reply_head_length = schema_length + head;
    return head;
}

size_t stream_reply_head(struct stream_format *format, size_t schema_length, const uint8_t *message,
                         size_t message_length)
{
    const size_t head = stream_nested_head(format, schema_length, message, message_length);
    return format->fields.node_count == 1 && format->fields.buffer_count <= 3 ? head : 0;
}
