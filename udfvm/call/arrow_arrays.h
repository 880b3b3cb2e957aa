/* Arrays of numbers of pyarrow, through the Arrow C data interface. */
#ifndef UDFVM_ARROW_ARRAYS_H
#define UDFVM_ARROW_ARRAYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arrow_c_data.h"

/* Exports an array of pyarrow whose class says that it is one of numbers. False, without an
 * exception: it cannot be. Release it. `method` is pyarrow.Array._export_to_c. */
bool arrow_export(PyObject *array, PyObject *method, struct arrow_array *exported);

/* Whether a value is null. */
bool arrow_has_nulls(const struct arrow_array *exported);

/* Memory that becomes an array, without a copy: a reply with its numbers at an offset. */
struct arrow_memory;

/* NULL: no memory; no exception. */
struct arrow_memory *arrow_memory_new(size_t capacity, size_t numbers);
char *arrow_memory_reply(const struct arrow_memory *memory);
void arrow_memory_free(struct arrow_memory *memory);

/* The array of so many numbers in a reply. It takes the memory over, failures included. `import` is
 * pyarrow.Array._import_from_c. */
PyObject *arrow_import(struct arrow_memory *memory, int64_t rows, PyObject *import, PyObject *type);

#endif
