/* Arrow IPC streams of one record batch, in the windows: places of the columns of a request, and replies of one column.
 *
 * The schema of each side is known when a function is loaded. A request is read by walking the metadata of its record batch (a flatbuffer);
 * the metadata of a reply is a copy of one that pyarrow wrote, with the numbers put in.
 */
#ifndef UDFVM_PYTHON_STREAM_H
#define UDFVM_PYTHON_STREAM_H

#include "values.h"

/* Where the numbers of a record batch's metadata are: offsets into it. */
struct batch_fields {
    uint32_t rows, body_length, nodes, buffers;
    uint32_t node_count, buffer_count;
};

struct stream {
    PyObject_HEAD
    PyObject *request_schema;                    /* bytes: the schema message that a request begins with */
    PyObject *reply_head;                        /* bytes: schema message and head of a record batch message of a reply */
    uint32_t metadata;                           /* offset in reply_head of the metadata of the record batch */
    struct batch_fields fields;                  /* in that metadata */
};

/* A result column. validity may be NULL: no nulls. Offsets are of text and bytes only. */
struct result_column {
    int64_t rows, nulls;
    const void *validity, *data, *offsets;
    size_t validity_bytes, data_bytes, offsets_bytes;
};

extern PyType_Spec stream_type_spec;

/* Finds the columns of the request at `request`. Slots say how many buffers each has. 0; -1 with an exception. */
int stream_read(const struct stream *stream, const uint8_t *request, uint64_t length, const struct slot *slots, size_t count,
                struct column *columns, int64_t *rows);

/* Writes the reply; returns its length. Where that is more than `capacity` nothing was written. */
uint64_t stream_write(const struct stream *stream, const struct result_column *column, uint8_t *output, uint64_t capacity);

#endif
