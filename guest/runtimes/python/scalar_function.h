/* _udfvm_agent.ScalarFunction: a scalar function and its signature, with rows and record batches.
 */
#ifndef UDFVM_PYTHON_SCALAR_FUNCTION_H
#define UDFVM_PYTHON_SCALAR_FUNCTION_H

#include "python/stream.h"

struct scalar_function {
    PyObject_HEAD
    PyObject *callable;
    vectorcallfunc call; /* of the callable */
    struct value_slot result;
    size_t count;
    struct value_slot *parameters;
    PyObject **arguments;   /* the callee may use the one before the first (vectorcall, PEP 590) */
    struct column *columns; /* of the batch that runs */
};

extern PyType_Spec scalar_function_type_spec;

/* (storage, nullable, direct, convert). 0, or -1 with an exception. */
int slot_from_tuple(PyObject *tuple, struct value_slot *slot);

/* Calls with each row of columns and puts the results into the block. Returns 0, or -1 with an
 * exception, in *failed_row. */
int scalar_function_put_rows(struct scalar_function *function, const struct column *columns,
                             int64_t rows, struct block *block, int64_t *failed_row);

/* Runs the row in the input window and writes the reply. *length is the reply's length; if it is
 * more than `capacity`, nothing was written. Returns 0, or -1 with an exception. */
int scalar_function_row(struct scalar_function *function, const uint8_t *payload, uint64_t length,
                        uint8_t *output, uint64_t capacity, uint64_t *reply);

/* Runs the batch at `request` row by row and writes the reply as above. After an exception
 * *failed_row is the row that raised, or -1. */
int scalar_function_batch(struct scalar_function *function, const struct stream_object *stream,
                          const uint8_t *request, uint64_t request_length, uint8_t *output,
                          uint64_t capacity, uint64_t *reply_length, int64_t *failed_row);

#endif
