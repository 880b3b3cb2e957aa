/* See column_batch.h. */
#include "arrow/column_batch.h"

#include "column_format.h"

bool column_request_open(struct column_request *request, const uint8_t *base, uint64_t length,
                         size_t count)
{
    const struct udfvm_columns *head = (const struct udfvm_columns *)base;
    if (length < sizeof *head || head->count != count || head->rows >= UDFVM_MAX_ROWS ||
        !udfvm_inside(sizeof *head, count * sizeof *request->heads, length))
        return false;
    *request = (struct column_request){ base, length, head->rows,
                                        (const struct udfvm_column *)(head + 1) };
    return true;
}

bool column_request_find(const struct column_request *request, size_t index, enum storage storage,
                         struct column *column)
{
    const struct udfvm_column *head = &request->heads[index];
    const bool variable = storage_is_variable(storage);
    *column = (struct column){ .storage = storage, .all_null = head->type == UDFVM_TYPE_NULL };
    if (column->all_null)
        return true;
    if (head->type != storage_row_type(storage) ||
        !udfvm_column_inside(head, request->rows, request->length))
        return false;
    column->validity = head->validity ? request->base + head->validity : NULL;
    column->offsets = variable ? request->base + head->offsets : NULL;
    column->data = request->base + head->data;
    return true;
}

bool column_request_stream(const struct column_request *request, size_t index,
                           struct scalar *stream)
{
    const struct udfvm_column *head = &request->heads[index];
    if (head->type != UDFVM_TYPE_ARROW ||
        !udfvm_column_inside(head, request->rows, request->length))
        return false;
    *stream = (struct scalar){ .bytes = (const char *)request->base + head->data,
                               .length = head->data_length };
    return true;
}

struct udfvm_column column_head(const struct block *block)
{
    return (struct udfvm_column){
        .type = storage_row_type(block->storage),
        .validity = block->nulls ? block->validity : 0,
        .offsets = storage_is_variable(block->storage) ? block->offsets : 0,
        .data = block->data,
        .data_length = block->data_bytes,
    };
}
