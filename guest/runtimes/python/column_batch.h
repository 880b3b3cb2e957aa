/* _udfvm_agent.ColumnBatch: column batches (struct udfvm_columns of udfvm_abi.h). Requests are read
 * as Python lists, as addresses for Arrow, or as rows of a function. Replies are written from lists
 * and from Arrow's buffers. */
#ifndef UDFVM_PYTHON_COLUMN_BATCH_H
#define UDFVM_PYTHON_COLUMN_BATCH_H

#include "arrow/column_batch.h"
#include "python/scalar_function.h"

struct column_batch {
    PyObject_HEAD
    size_t argument_count, result_count;
    struct value_slot *arguments, *results;
    struct column *found; /* arguments of the current request */
    Py_ssize_t row;       /* row of the last exception; -1: not known */
    Py_ssize_t column;    /* column of the reply that was written last */
};

extern PyType_Spec column_batch_type_spec;

/* Finds the columns of the column batch at `offset` of the request's payload. Those of
 * UDFVM_TYPE_ARROW are not in `found`. Returns 0; -1 with an exception. */
int column_batch_find(struct column_batch *batch, uint64_t offset, struct column_request *request);

#endif
