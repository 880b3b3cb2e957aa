/* Arrow IPC streams of one record batch, in the windows: places of the columns of a request, and
 * replies of one column.
 *
 * The schema of each side is known when a function is loaded. A request is read by walking the
 * metadata of its record batch (a flatbuffer); the metadata of a reply is a copy of one that
 * pyarrow wrote, with the numbers put in. Columns may hold others (structs, lists): then these
 * follow them in the metadata, in pre-order.
 */
#ifndef UDFVM_ARROW_STREAM_FORMAT_H
#define UDFVM_ARROW_STREAM_FORMAT_H

#include "arrow/block.h"

/* What a message begins with. */
struct prefix {
    uint32_t continuation, metadata_length;
};

/* struct FieldNode (rows, nulls) and struct Buffer (offset, length). */
struct pair {
    int64_t first, second;
};

/* Where the numbers of a record batch's metadata are: offsets into it. */
struct batch_fields {
    uint32_t rows, body_length, nodes, buffers;
    uint32_t node_count, buffer_count;
};

/* A record batch on its way into columns, which come in pre-order: a column, then what is in it. */
struct batch_cursor {
    const uint8_t *metadata, *body;
    uint64_t capacity; /* bytes of the body, and what is behind it */
    struct batch_fields fields;
    uint32_t node, buffer; /* the next ones */
};

/* The next node; false: there is none. The cursor stays where it is. */
bool batch_peek_node(const struct batch_cursor *cursor, struct pair *node);
/* The next buffer, and its length; NULL: there is none inside of the body. */
const uint8_t *batch_next_buffer(struct batch_cursor *cursor, uint64_t *length);
/* Rows of the batch. */
int64_t batch_rows(const struct batch_cursor *cursor);

/* Finds them. false: it is no record batch message. */
bool stream_find_fields(const uint8_t *metadata, uint32_t length, struct batch_fields *fields);

/* The streams of one signature. The bytes belong to whoever made it. */
struct stream_format {
    const uint8_t *request_schema; /* the schema message that a request begins with */
    size_t request_schema_length;
    uint8_t *reply_head; /* schema message and head of a record batch message of a reply */
    size_t reply_head_length;
    uint32_t metadata;          /* offset in reply_head of the metadata of the record batch */
    struct batch_fields fields; /* in that metadata */
};

/* Length of the head of a record batch message with one row of one column; 0 where it is none.
 * Fills in all but the pointers and the request's schema: the reply's head is the schema message,
 * of `schema_length` bytes, and that head. */
size_t stream_reply_head(struct stream_format *format, size_t schema_length, const uint8_t *message,
                         size_t message_length);

/* The same for a result that may have columns in it. */
size_t stream_nested_head(struct stream_format *format, size_t schema_length,
                          const uint8_t *message, size_t message_length);

/* Number of buffers of a column in a record batch, without those of columns in it. */
unsigned storage_buffers(enum storage storage);

/* Finds the columns of the request at `request`; each says how it is stored, and what is in it.
 * false: the batch is not of the schema. */
bool stream_read(const struct stream_format *format, const uint8_t *request, uint64_t length,
                 size_t count, struct column *columns, int64_t *rows);

/* A reply that is being put together in the output window: head, then the column. */
struct reply {
    const struct stream_format *format;
    struct block block;
};

/* false: there is no room for so many rows, whatever their values; reply_end() says how much is
 * needed. */
bool reply_begin(struct reply *reply, const struct stream_format *format, enum storage storage,
                 int64_t rows, uint8_t *output, uint64_t capacity);
/* A reply of numbers without nulls whose data are left where they are, past the output window's
 * contiguous part: the reply's body has a gap before them. Returns the length of the reply; 0: they
 * cannot be left there. */
uint64_t reply_in_place(const struct stream_format *format, uint8_t *output, int64_t rows,
                        const void *data, uint64_t data_bytes);
/* Length of the reply; where that is more than the capacity, there is none. */
uint64_t reply_end(struct reply *reply);

#endif
