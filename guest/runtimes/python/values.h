/* Values between Python and the two forms in which they cross the boundary: rows (struct
 * udfvm_value) and Arrow columns. */
#ifndef UDFVM_PYTHON_VALUES_H
#define UDFVM_PYTHON_VALUES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "arrow/storage.h"

/* A parameter, or the result. */
struct value_slot {
    enum storage storage;
    bool nullable;
    bool any;          /* values have the type that each of them has; `storage` is not used */
    bool direct;       /* the stored value is the Python value: bool, int, float, str, bytes */
    PyObject *convert; /* of a parameter: stored value -> argument, unless direct; of the result:
                          returned value -> stored Python value, if C does not store it as it is */
    PyObject *refuse;  /* of a parameter: (exception of its conversion, row) -> the exception that
                          names it; NULL if it has no name */
};

/* A result that will be stored. Its bytes belong to `owner`. */
struct result {
    struct scalar scalar;
    enum storage storage;
    PyObject *owner;
};

/* Returns the argument in a row; NULL with an exception. The value must not be UDFVM_TYPE_NULL. */
PyObject *value_from_row(const struct value_slot *slot, const struct udfvm_value *value,
                         const uint8_t *payload, uint64_t length);

/* Returns the argument in a row of a column; NULL with an exception. The row must not be null. */
PyObject *value_from_column(const struct value_slot *slot, const struct column *column,
                            int64_t row);

/* Takes the pending exception, with its traceback attached. */
PyObject *take_exception(void);
/* Makes the pending exception one that names the argument, if it is about the value. `row`: of the
 * batch; -1 if that is not known. */
void name_argument(const struct value_slot *slot, int64_t row);

/* Sets the exception for a value that does not fit into the block. Returns -1. */
int column_too_large(void);

/* Checks what the function returned against the declared type. Returns 0, or -1 with an exception.
 * Release it with result_clear(). */
int result_from_object(const struct value_slot *slot, PyObject *object, struct result *result);
static inline void result_clear(struct result *result)
{
    Py_CLEAR(result->owner);
}

#endif
