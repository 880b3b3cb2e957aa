/* _udfvm_agent.NumbersFunction: a vectorised function over arrays of numbers, of numpy or pyarrow,
 * without Python code of the runtime, which would write to many more pages. */
#ifndef UDFVM_PYTHON_NUMBERS_FUNCTION_H
#define UDFVM_PYTHON_NUMBERS_FUNCTION_H

#include "python/arrow_numbers.h"
#include "python/stream.h"

struct numbers_function {
    PyObject_HEAD
    PyObject *callable;
    PyObject *frombuffer; /* numpy.frombuffer */
    PyObject *array_type; /* numpy.ndarray; None while numpy is not loaded */
    struct arrow_methods arrow;
    PyObject *window;   /* memoryview of the input window */
    PyObject *finish;   /* (result, rows) -> (status, length): for results that need a conversion */
    char result_format; /* as in the struct module; the result's buffer must have it; 0: none is
                           taken */
    enum storage result_storage;
    size_t count;
    PyObject **types;     /* numpy.dtype of each parameter; pyarrow.DataType where it gets that */
    const void **buffers; /* two of each parameter, for arrays of pyarrow */
    bool *are_arrow;
    PyObject **arguments;
    struct column *columns;
    PyObject *left_in_place; /* the last result that the host reads where it is */
};

extern PyType_Spec numbers_function_type_spec;

enum numbers_outcome {
    NUMBERS_RAISED,     /* there is an exception */
    NUMBERS_NOT_CALLED, /* a column has nulls */
    NUMBERS_WRITTEN,    /* the reply is written; *reply_length as in reply_end() */
    NUMBERS_IN_PLACE,   /* the same, with the data where they were */
    NUMBERS_FINISHED,   /* *finished is what finish() returned */
};

/* Runs the batch in the input window. */
enum numbers_outcome numbers_function_batch(struct numbers_function *function,
                                            const struct stream_object *stream,
                                            uint64_t request_length, uint8_t *output,
                                            uint64_t capacity, uint64_t *reply_length,
                                            PyObject **finished);

#endif
