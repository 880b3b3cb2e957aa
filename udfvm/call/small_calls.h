/* What calls of one function with arrays of numbers need: an object of Python, for calls from there
 * (fast_path.c) and from Arrow's kernels (column_calls.c). */
#ifndef UDFVM_SMALL_CALLS_H
#define UDFVM_SMALL_CALLS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "call_target.h"

/* The fields of udfvm.codec.number_streams.NumberLayout that are used here. */
enum {
    LAYOUT_ROWS = 0,
    LAYOUT_HEAD = 1,
    LAYOUT_GAPS = 3,
    LAYOUT_REQUEST_LENGTH = 4,
    LAYOUT_REPLY_HEAD = 5,
    LAYOUT_REPLY_DATA = 6,
    LAYOUT_REPLY_LENGTH = 7,
    LAYOUT_REPLY_SIZE = 8,
    LAYOUT_REPLY_BODY_FIELD = 9,
    LAYOUT_REPLY_OFFSET_FIELD = 10
};

struct small_calls {
    PyObject_HEAD
    PyObject *array_type;     /* numpy.ndarray; None while numpy is not loaded */
    PyObject *frombuffer;     /* numpy.frombuffer */
    PyObject *result_type;    /* a numpy.dtype */
    PyObject *formats;        /* of the parameters, a character each: str */
    PyObject *arrow_classes;  /* of the parameters: subclasses of pyarrow.Array */
    PyObject *arrow_export;   /* pyarrow.Array._export_to_c */
    PyObject *arrow_import;   /* pyarrow.Array._import_from_c */
    PyObject *arrow_result;   /* a pyarrow.DataType */
    PyObject *layout;         /* of the last call: batches tend to be of one size */
    PyObject *columns_layout; /* the same, of the last one of Arrow's kernels */
    struct call_target target;
};

/* The type of these objects: a borrowed reference. */
extern PyTypeObject *small_calls_type;

#endif
