/* Numbers of udfvm_abi.h, for Python code: their names without UDFVM_. */
#ifndef UDFVM_PYTHON_CONSTANTS_H
#define UDFVM_PYTHON_CONSTANTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Adds the constants to a module. Returns 0, or -1 with an exception. */
int constants_add(PyObject *module);

#endif
