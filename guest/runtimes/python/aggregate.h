/* _udfvm_agent.Aggregate: takes the rows of an aggregate's groups, and gives their values, without
 * Python code of the runtime. A statement may ask for a value at each row. */
#ifndef UDFVM_PYTHON_AGGREGATE_H
#define UDFVM_PYTHON_AGGREGATE_H

#include "python/column_batch.h"

struct aggregate {
    PyObject_HEAD
    PyObject *cls;
    PyObject *groups;                  /* dict: number -> instance of cls */
    struct column_batch *batch;        /* group, whether the row leaves it, arguments -> value */
    bool has_streams;                  /* a request that takes Arrow's streams is Python's */
    PyObject **arguments;              /* the callee may use the one before the first */
    PyObject *step, *inverse, *finish; /* names */
    PyObject *group;                   /* of the last row, and its number; or NULL */
    int64_t number;
};

extern PyType_Spec aggregate_type_spec;

/* Answers AGGREGATE. Returns 1 with the reply's length; 0 if Python code must answer; -1 with an
 * exception, in *row the row that raised it, or -1. */
int aggregate_answer(struct aggregate *aggregate, uint64_t *length, int64_t *row);

#endif
