/* Column batches (struct udfvm_columns of udfvm_abi.h): the columns of a request, with their
 * buffers checked, and what a reply says of its columns. The host is trusted, so the checks are
 * against mistakes. */
#ifndef UDFVM_ARROW_COLUMN_BATCH_H
#define UDFVM_ARROW_COLUMN_BATCH_H

#include "arrow/block.h"

/* A request, and the heads of its columns; they point into it. */
struct column_request {
    const uint8_t *base;
    uint64_t length, rows;
    const struct udfvm_column *heads;
};

/* false: it is no batch of `count` columns. */
bool column_request_open(struct column_request *request, const uint8_t *base, uint64_t length,
                         size_t count);
/* The column of that index, stored as the row type of `storage` is; a column of nulls has no
 * buffers. Nulls are not counted. false: it is something else. */
bool column_request_find(const struct column_request *request, size_t index, enum storage storage,
                         struct column *column);

/* What a reply says of a column that lies in the output as its block has it. */
struct udfvm_column column_head(const struct block *block);

#endif
