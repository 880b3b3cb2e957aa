/* The body of a record batch, from columns anywhere in memory. Replies with nested columns, and
 * files, are made of it. */
#ifndef UDFVM_ARROW_BODY_H
#define UDFVM_ARROW_BODY_H

#include "arrow/stream_format.h"

/* The numbers of nodes and buffers of columns in a record batch. */
struct body_counts {
    uint64_t nodes, buffers;
};
struct body_counts body_counts(const struct column *columns, size_t count);

/* Returns the number of bytes of the body. */
uint64_t body_length(const struct column *columns, size_t count, int64_t rows);
/* Writes the body, and its numbers into the metadata, which must have as many nodes and buffers as
 * the columns. Returns the body's length. */
uint64_t body_write(const struct column *columns, size_t count, int64_t rows,
                    const struct batch_fields *fields, uint8_t *metadata, uint8_t *body);

#endif
