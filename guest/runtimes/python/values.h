/* Values between Python and the two forms in which they cross the boundary: rows (struct udfvm_value) and Arrow columns. */
#ifndef UDFVM_PYTHON_VALUES_H
#define UDFVM_PYTHON_VALUES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

#include "udfvm_abi.h"

/* How Arrow stores a type. Dates and times are stored as integers. */
enum storage {
    STORAGE_BOOL,
    STORAGE_INT8, STORAGE_INT16, STORAGE_INT32, STORAGE_INT64,
    STORAGE_UINT8, STORAGE_UINT16, STORAGE_UINT32, STORAGE_UINT64,
    STORAGE_FLOAT32, STORAGE_FLOAT64,
    STORAGE_TEXT32, STORAGE_TEXT64,              /* UTF-8, with 32- or 64-bit offsets */
    STORAGE_BYTES32, STORAGE_BYTES64,
    STORAGE_NULL,                                /* nothing is stored: every row is null */
    STORAGE_COUNT,
};

/* A parameter, or the result. */
struct slot {
    enum storage storage;
    bool nullable;
    bool direct;                                 /* the stored value is the Python value: bool, int, float, str, bytes */
    PyObject *convert;                           /* parameter: stored value -> argument, where not direct. Result: what the function
                                                    returned -> the Python value that is stored, where C does not take it as it is */
};

/* A result on its way out. The bytes belong to `owner`. */
struct scalar {
    bool null;
    union { int64_t integer; uint64_t natural; double real; };
    const char *bytes;
    Py_ssize_t length;
    PyObject *owner;
};

/* An Arrow column in memory. */
struct column {
    const uint8_t *validity;                     /* NULL: no nulls */
    const uint8_t *data;
    const void *offsets;
    int64_t nulls;
    bool all_null;
};

/* Width in bytes of a stored value or of an offset; 0 for bits. */
size_t storage_width(enum storage storage);
bool storage_is_variable(enum storage storage);
/* enum udfvm_type of a stored value in a row. */
uint32_t storage_row_type(enum storage storage);

/* The argument in a row; NULL with an exception. The value must not be UDFVM_NULL. */
PyObject *value_from_row(const struct slot *slot, const struct udfvm_value *value, const uint8_t *payload, uint64_t length);

static inline bool column_is_null(const struct column *column, int64_t row)
{
    return column->all_null || (column->validity && !(column->validity[row >> 3] >> (row & 7) & 1));
}

/* The argument in a row of a column; NULL with an exception. The row must not be null. */
PyObject *value_from_column(const struct slot *slot, const struct column *column, int64_t row);

/* What the function returned, checked against the declared type. 0, or -1 with an exception. Release with scalar_clear(). */
int scalar_from_object(const struct slot *slot, PyObject *object, struct scalar *scalar);
static inline void scalar_clear(struct scalar *scalar)
{
    Py_CLEAR(scalar->owner);
}

#endif
