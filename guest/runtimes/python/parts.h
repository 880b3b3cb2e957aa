/* What the module _udfvm_agent has for Python code, wherever that runs: types, and functions about
 * the windows. */
#ifndef UDFVM_PYTHON_PARTS_H
#define UDFVM_PYTHON_PARTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *parts_input(PyObject *module, PyObject *ignored);
PyObject *parts_output(PyObject *module, PyObject *ignored);
PyObject *parts_run_row(PyObject *module, PyObject *arguments);
PyObject *parts_run_batch(PyObject *module, PyObject *arguments);
PyObject *parts_begin_row(PyObject *module, PyObject *ignored);

/* Their entries in a table of methods. */
#define PARTS_METHODS                                                                             \
    { "input", parts_input, METH_NOARGS,                                                          \
      "input() -> memoryview\n\nThe payload of the request, read-only." },                        \
        { "output", parts_output, METH_NOARGS,                                                    \
          "output() -> memoryview\n\nThe part of the output window that the reply may use." },    \
        { "run_row", parts_run_row, METH_VARARGS,                                                 \
          "run_row(function, payload)\n\nRuns a row as serve() does, from memory of the program " \
          "to the output window: for warming up." },                                              \
        { "run_batch", parts_run_batch, METH_VARARGS,                                             \
          "run_batch(function, stream, payload)\n\nRuns a batch as serve() does, from memory of " \
          "the program to the output window: for warming up." },                                  \
        { "begin_row", parts_begin_row, METH_NOARGS,                                              \
          "begin_row() -> bool\n\nA row begins: in a deterministic call clocks and randomness "   \
          "start anew. Returns whether the call is one, so whether later rows need this." }

/* Adds the types and constants. 0, or -1 with an exception. */
int parts_add(PyObject *module);
/* Adds a type. 0, or -1 with an exception. */
int parts_add_type(PyObject *module, PyType_Spec *specification);

#endif
