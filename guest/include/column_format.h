/* Bounds of column batches (struct udfvm_columns): guest and host check by the same code that a
 * column lies inside of the message that it came in. */
#ifndef UDFVM_COLUMN_FORMAT_H
#define UDFVM_COLUMN_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "udfvm_abi.h"

/* More rows than fit any message: what is computed of fewer does not overflow. */
#define UDFVM_MAX_ROWS (INT64_MAX / 16)

/* Returns true if `bytes` at an offset lie inside of a message. */
static inline bool udfvm_inside(uint64_t offset, uint64_t bytes, uint64_t length)
{
    return offset <= length && bytes <= length - offset;
}

static inline bool udfvm_type_is_variable(uint32_t type)
{
    return type == UDFVM_TYPE_TEXT || type == UDFVM_TYPE_BLOB;
}

/* Returns true if all buffers of a column of fewer than UDFVM_MAX_ROWS rows lie inside. */
static inline bool udfvm_column_inside(const struct udfvm_column *column, uint64_t rows,
                                       uint64_t length)
{
    const uint64_t bits = (rows + 7) / 8;
    const bool variable = udfvm_type_is_variable(column->type);
    const bool counted = variable || column->type == UDFVM_TYPE_ARROW;
    const uint64_t bytes = counted                           ? column->data_length
                           : column->type == UDFVM_TYPE_BOOL ? bits
                                                             : rows * sizeof(int64_t);
    return udfvm_inside(column->data, bytes, length) &&
           (!column->validity || udfvm_inside(column->validity, bits, length)) &&
           (!variable || udfvm_inside(column->offsets, (rows + 1) * sizeof(int64_t), length));
}

#endif
