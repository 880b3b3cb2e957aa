/* Builds the Arrow buffers of a result column, one row after the other. */
#ifndef UDFVM_PYTHON_BUILDER_H
#define UDFVM_PYTHON_BUILDER_H

#include "values.h"

struct builder {
    enum storage storage;
    int64_t rows;
    int64_t nulls;
    PyObject *validity;                          /* bytearrays; validity is NULL until the first null */
    PyObject *data;
    PyObject *offsets;                           /* of text and bytes */
    Py_ssize_t used;                             /* bytes of `data` in use, of text and bytes */
};

int builder_begin(struct builder *builder, enum storage storage, int64_t rows);
/* Rows must come in order, without a gap. 0, or -1 with an exception. */
int builder_put(struct builder *builder, int64_t row, const struct scalar *scalar);
/* (null_count, validity, data, offsets); NULL with an exception. */
PyObject *builder_end(struct builder *builder);
void builder_clear(struct builder *builder);

#endif
