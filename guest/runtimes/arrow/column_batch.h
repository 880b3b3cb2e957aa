/* Column batches (struct udfvm_columns of udfvm_abi.h): the columns of a request, with checked
 * buffers, and the heads of a reply's columns. The host is trusted, so the checks only catch
 * mistakes. */
#ifndef UDFVM_ARROW_COLUMN_BATCH_H
#define UDFVM_ARROW_COLUMN_BATCH_H

#include "arrow/block.h"

/* A request, and the heads of its columns; they point into it. */
struct column_request {
    const uint8_t *base;
    uint64_t length, rows;
    const struct udfvm_column *heads;
};

/* Returns false unless it is a batch of `count` columns. */
bool column_request_open(struct column_request *request, const uint8_t *base, uint64_t length,
                         size_t count);
/* Finds the column of an index. It is stored as the row type of `storage`; a column of nulls has no
 * buffers. Nulls are not counted. Returns false for a column of another type. */
bool column_request_find(const struct column_request *request, size_t index, enum storage storage,
                         struct column *column);

/* Finds the stream of a column of UDFVM_TYPE_ARROW. Returns false for a column of another type. */
bool column_request_stream(const struct column_request *request, size_t index,
                           struct scalar *stream);

/* Returns the head of a reply's column, which lies in the output as its block has it. */
struct udfvm_column column_head(const struct block *block);

#endif
