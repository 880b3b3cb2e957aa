/* Arguments of small calls: contiguous arrays of numbers of numpy or pyarrow. */
#ifndef UDFVM_SMALL_COLUMNS_H
#define UDFVM_SMALL_COLUMNS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "arrow_arrays.h"

struct column {
    bool is_arrow;
    Py_buffer buffer; /* of numpy */
    struct arrow_array array;
    const char *data;
    Py_ssize_t rows;
    Py_ssize_t size; /* in bytes */
};

/* An array of numpy that is contiguous, of one dimension, not empty, and stored as the character
 * says. False: it is none; no exception. */
bool column_take_numpy(PyObject *argument, Py_UCS4 format, struct column *column);

/* The same for an array of pyarrow, of the class that has such numbers; it may have nulls.
 * `method` is pyarrow.Array._export_to_c. */
bool column_take_arrow(PyObject *argument, PyObject *method, Py_UCS4 format, struct column *column);

void column_give(struct column *column);

#endif
