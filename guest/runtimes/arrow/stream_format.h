/* Arrow IPC streams of one record batch, in the windows: the columns of a request, and replies of
 * one column.
 *
 * Both schemas are known when a function is loaded. A request is read by walking the metadata of
 * its record batch, a flatbuffer. The metadata of a reply are a copy of those that pyarrow wrote,
 * with other numbers. Nested columns (of structs, lists) follow their parents in the metadata, in
 * pre-order.
 */
#ifndef UDFVM_ARROW_STREAM_FORMAT_H
#define UDFVM_ARROW_STREAM_FORMAT_H

#include "arrow/block.h"

/* The beginning of a message. */
struct prefix {
    uint32_t continuation, metadata_length;
};

/* struct FieldNode (rows, nulls) and struct Buffer (offset, length). */
struct pair {
    int64_t first, second;
};

/* Offsets of the fields in a record batch's metadata. */
struct batch_fields {
    uint32_t rows, body_length, nodes, buffers;
    uint32_t node_count, buffer_count;
};

/* A record batch that is read into columns. They come in pre-order: a column, then its children. */
struct batch_cursor {
    const uint8_t *metadata, *body;
    uint64_t capacity; /* bytes of the body and of what follows it */
    struct batch_fields fields;
    uint32_t node, buffer; /* indexes of the next node and buffer */
};

/* Reads the next node without moving. Returns false if there is none. */
bool batch_peek_node(const struct batch_cursor *cursor, struct pair *node);
/* Returns the next buffer and its length; NULL if there is none inside the body. */
const uint8_t *batch_next_buffer(struct batch_cursor *cursor, uint64_t *length);
/* Returns the number of rows of the batch. */
int64_t batch_rows(const struct batch_cursor *cursor);

/* Finds the fields. Returns false unless it is a record batch message. */
bool stream_find_fields(const uint8_t *metadata, uint32_t length, struct batch_fields *fields);

/* The format of the streams of one signature. The caller owns the bytes. */
struct stream_format {
    const uint8_t *request_schema; /* the schema message that a request begins with */
    size_t request_schema_length;
    uint8_t *reply_head; /* schema message and head of a record batch message of a reply */
    size_t reply_head_length;
    uint32_t metadata;          /* offset in reply_head of the metadata of the record batch */
    struct batch_fields fields; /* in that metadata */
};

/* Returns the length of the head of a record batch message with one row of one column; 0 if it is
 * not such a message. Fills in all but the pointers and the request's schema. The reply's head
 * consists of the schema message, of `schema_length` bytes, and that head. */
size_t stream_reply_head(struct stream_format *format, size_t schema_length, const uint8_t *message,
                         size_t message_length);

/* Does the same for a result that may have nested columns. */
size_t stream_nested_head(struct stream_format *format, size_t schema_length,
                          const uint8_t *message, size_t message_length);

/* Returns the number of a column's buffers in a record batch, without those of nested columns. */
unsigned storage_buffers(enum storage storage);

/* Finds the columns of the request at `request`. Each column has its storage and children set.
 * Returns false if the batch does not have the schema. */
bool stream_read(const struct stream_format *format, const uint8_t *request, uint64_t length,
                 size_t count, struct column *columns, int64_t *rows);

/* Does the same for a stream of one column, of whatever name. */
bool stream_read_column(const uint8_t *stream, uint64_t length, struct column *column,
                        int64_t *rows);

/* A reply that is being built in the output window: its head, then the column. */
struct reply {
    const struct stream_format *format;
    struct block block;
};

/* Returns false if so many rows do not fit, whatever their values; reply_end() returns the capacity
 * needed. */
bool reply_begin(struct reply *reply, const struct stream_format *format, enum storage storage,
                 int64_t rows, uint8_t *output, uint64_t capacity);
/* Writes a reply of numbers without nulls whose data stay where they are, behind the contiguous
 * part of the output window: the reply's body has a gap before them. Returns the length of the
 * reply; 0 if they cannot stay there. */
uint64_t reply_in_place(const struct stream_format *format, uint8_t *output, int64_t rows,
                        const void *data, uint64_t data_bytes);
/* Returns the length of the reply. If it is more than the capacity, nothing was written. */
uint64_t reply_end(struct reply *reply);

#endif
