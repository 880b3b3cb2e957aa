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

bool batch_peek_node(const struct batch_cursor *cursor, struct pair *node)
{
    if (cursor->node == cursor->fields.node_count)
        return false;
    *node = pair_at(cursor->metadata, cursor->fields.nodes, cursor->node);
    return true;
}

const uint8_t *batch_next_buffer(struct batch_cursor *cursor, uint64_t *length)
{
    if (cursor->buffer == cursor->fields.buffer_count)
        return NULL;
    const struct pair buffer = pair_at(cursor->metadata, cursor->fields.buffers, cursor->buffer++);
    if (buffer.first < 0 || buffer.second < 0 || (uint64_t)buffer.first > cursor->capacity ||
        (uint64_t)buffer.second > cursor->capacity - (uint64_t)buffer.first)
        return NULL;
    *length = (uint64_t)buffer.second;
    return cursor->body + buffer.first;
}

int64_t batch_rows(const struct batch_cursor *cursor)
{
    int64_t rows = 0; /* a flatbuffer omits zeros */
    if (cursor->fields.rows)
        memcpy(&rows, cursor->metadata + cursor->fields.rows, sizeof rows);
    return rows;
}

unsigned storage_buffers(enum storage storage)
{
    return storage == STORAGE_NULL        ? 0
           : storage == STORAGE_STRUCT    ? 1
           : storage_is_variable(storage) ? 3
                                          : 2;
}

static bool take_column(struct batch_cursor *cursor, struct column *column)
{
    static const uint8_t no_valid_rows[1];
    const uint8_t *addresses[3] = { no_valid_rows, NULL, NULL };
    const unsigned buffers = storage_buffers(column->storage);
    struct pair node;
    uint64_t length;
    if (!batch_peek_node(cursor, &node))
        return false;
    cursor->node++;
    for (unsigned i = 0; i < buffers; i++)
        if (!(addresses[i] = batch_next_buffer(cursor, &length)))
            return false;
    *column = (struct column){ .storage = column->storage,
                               .children = column->children,
                               .child_count = column->child_count,
                               .rows = node.first,
                               .nulls = node.second,
                               .data = addresses[buffers == 3 ? 2 : 1],
                               .offsets = buffers == 3 || column->storage == STORAGE_LIST
                                              ? addresses[1]
                                              : NULL };
    column->validity = column->nulls ? addresses[0] : NULL;
    column->all_null = buffers == 0;
    for (size_t i = 0; i < column->child_count; i++)
        if (!take_column(cursor, &column->children[i]))
            return false;
    return true;
}

/* Reads the prefix of a message. Returns false if the message's metadata do not follow it. */
static bool take_prefix(const uint8_t *message, uint64_t length, struct prefix *prefix)
{
    if (length < sizeof *prefix)
        return false;
    memcpy(prefix, message, sizeof *prefix);
    return prefix->metadata_length <= length - sizeof *prefix;
}

static bool read_batch(const uint8_t *message, uint64_t length, size_t count,
                       struct column *columns, int64_t *rows)
{
    struct batch_cursor cursor = { .metadata = message + sizeof(struct prefix) };
    struct prefix prefix;
    if (!take_prefix(message, length, &prefix) ||
        !stream_find_fields(cursor.metadata, prefix.metadata_length, &cursor.fields))
        return false;
    *rows = batch_rows(&cursor);
    cursor.body = cursor.metadata + prefix.metadata_length;
    cursor.capacity = length - (uint64_t)(cursor.body - message);
    for (size_t i = 0; i < count; i++)
        if (!take_column(&cursor, &columns[i]))
            return false;
    return cursor.node == cursor.fields.node_count;
}

bool stream_read(const struct stream_format *format, const uint8_t *request, uint64_t length,
                 size_t count, struct column *columns, int64_t *rows)
{
    const size_t schema = format->request_schema_length;
    return length >= schema && memcmp(request, format->request_schema, schema) == 0 &&
           read_batch(request + schema, length - schema, count, columns, rows);
}

bool stream_read_column(const uint8_t *stream, uint64_t length, struct column *column,
                        int64_t *rows)
{
    struct prefix prefix;
    if (!take_prefix(stream, length, &prefix))
        return false;
    const uint64_t schema = sizeof prefix + prefix.metadata_length;
    return read_batch(stream + schema, length - schema, 1, column, rows);
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
