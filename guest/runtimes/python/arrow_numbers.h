/* Arrays of numbers of pyarrow, through the Arrow C data interface. The other ways to make them,
 * and to look at them, write to many more pages. */
#ifndef UDFVM_PYTHON_ARROW_NUMBERS_H
#define UDFVM_PYTHON_ARROW_NUMBERS_H

#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arrow_c_data.h"

/* What pyarrow has for it. */
struct arrow_methods {
    PyObject *import;       /* pyarrow.Array._import_from_c */
    PyObject *export;       /* pyarrow.Array._export_to_c */
    PyObject *result_class; /* that of arrays of the declared type */
};

/* Returns an array of numbers that lie somewhere for good. `buffers` is memory of the array, too.
 * NULL with an exception. */
PyObject *arrow_numbers_make(const struct arrow_methods *methods, PyObject *type, int64_t rows,
                             const void *data, const void *buffers[2]);

/* Returns true for an array of so many numbers of the declared type, without nulls: *data is where
 * they lie until it is released (arrow_array_release). Otherwise false, without an exception. */
bool arrow_numbers_take(const struct arrow_methods *methods, PyObject *array, int64_t rows,
                        size_t width, const void **data, struct arrow_array *exported);

#endif
