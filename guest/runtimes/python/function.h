/* A scalar function and its signature: runs rows and batches. */
#ifndef UDFVM_PYTHON_FUNCTION_H
#define UDFVM_PYTHON_FUNCTION_H

#include "values.h"

struct function {
    PyObject_HEAD
    PyObject *callable;
    Py_ssize_t failed_row;                       /* of the last batch() that raised */
    struct slot result;
    size_t count;
    struct slot *parameters;
    PyObject **arguments;                        /* one before the first is the callee's to use (vectorcall) */
};

extern PyType_Spec function_type_spec;

/* Runs the row in the input window; writes the reply. *length: bytes of the reply; where it is more than `capacity` nothing was
 * written. 0, or -1 with an exception. */
int function_row(struct function *function, const uint8_t *payload, uint64_t length, uint8_t *output, uint64_t capacity, uint64_t *reply);

#endif
