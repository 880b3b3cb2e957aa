/* Calls of one function with a row of numbers of Python. */
#ifndef UDFVM_ROW_CALLS_H
#define UDFVM_ROW_CALLS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Adds the type RowCalls to the module. -1 with an exception. */
int row_calls_add(PyObject *module);

#endif
