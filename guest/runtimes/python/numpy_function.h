/* A vectorised function over numpy arrays of numbers. It does without pyarrow, which would write to
 * many more pages. */
#ifndef UDFVM_PYTHON_NUMPY_FUNCTION_H
#define UDFVM_PYTHON_NUMPY_FUNCTION_H

#include "python/stream.h"

struct numpy_function {
    PyObject_HEAD
    PyObject *callable;
    PyObject *frombuffer; /* numpy.frombuffer */
    PyObject *array_type; /* numpy.ndarray */
    PyObject *window;     /* memoryview of the input window */
    PyObject *finish;   /* (result, rows) -> (status, length): for results that need a conversion */
    char result_format; /* as in the struct module; the result's buffer must have it; 0: none is
                           taken */
    enum storage result_storage;
    size_t count;
    PyObject **types; /* numpy.dtype of each parameter */
    PyObject **arguments;
    struct column *columns;
    PyObject *left_in_place; /* the last result that the host reads where it is */
};

extern PyType_Spec numpy_function_type_spec;

enum numpy_outcome {
    NUMPY_RAISED,     /* there is an exception */
    NUMPY_NOT_CALLED, /* a column has nulls */
    NUMPY_WRITTEN,    /* the reply is written; *reply_length as in reply_end() */
    NUMPY_IN_PLACE,   /* the same, with the data where they were */
    NUMPY_FINISHED,   /* *finished is what finish() returned */
};

/* Runs the batch in the input window. */
enum numpy_outcome numpy_function_batch(struct numpy_function *function,
                                        const struct stream_object *stream, uint64_t request_length,
                                        uint8_t *output, uint64_t capacity, uint64_t *reply_length,
                                        PyObject **finished);

#endif
