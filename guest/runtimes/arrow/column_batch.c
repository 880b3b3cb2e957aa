/* See column_batch.h. */
#include "arrow/column_batch.h"

static bool inside(uint64_t offset, uint64_t bytes, uint64_t length)
{
    return offset <= length && bytes <= length - offset;
}

bool column_request_open(struct column_request *request, const uint8_t *base, uint64_t length,
                         size_t count)
{
    const struct udfvm_columns *head = (const struct udfvm_columns *)base;
    if (length < sizeof *head || head->count != count || head->rows >= INT64_MAX / 16 ||
        !inside(sizeof *head, count * sizeof *request->heads, length))
        return false;
    *request = (struct column_request){ base, length, head->rows,
                                        (const struct udfvm_column *)(head + 1) };
    return true;
}

/* Returns the bytes of a column's data; integers and reals have 8 a row. */
static uint64_t data_bytes(const struct udfvm_column *head, uint64_t rows)
{
    switch (head->type) {
    case UDFVM_TYPE_TEXT:
    case UDFVM_TYPE_BLOB:
        return head->data_length;
    case UDFVM_TYPE_BOOL:
        return bitmap_bytes((int64_t)rows);
    default:
        return rows * sizeof(int64_t);
    }
}

bool column_request_find(const struct column_request *request, size_t index, enum storage storage,
                         struct column *column)
{
    const struct udfvm_column *head = &request->heads[index];
    const uint64_t length = request->length, rows = request->rows;
    const bool variable = storage_is_variable(storage);
    *column = (struct column){ .storage = storage, .all_null = head->type == UDFVM_TYPE_NULL };
    if (column->all_null)
        return true;
    if (head->type != storage_row_type(storage) ||
        !inside(head->data, data_bytes(head, rows), length) ||
        (head->validity && !inside(head->validity, bitmap_bytes((int64_t)rows), length)) ||
        (variable && !inside(head->offsets, (rows + 1) * sizeof(int64_t), length)))
        return false;
    column->validity = head->validity ? request->base + head->validity : NULL;
    column->offsets = variable ? request->base + head->offsets : NULL;
    column->data = request->base + head->data;
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
