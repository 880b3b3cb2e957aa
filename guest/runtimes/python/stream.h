/* _udfvm_agent.Stream: the streams of a signature, for Python code. */
#ifndef UDFVM_PYTHON_STREAM_H
#define UDFVM_PYTHON_STREAM_H

#include "arrow/stream_format.h"
#include "python/values.h"

struct stream_object {
    PyObject_HEAD
    PyObject *request_schema; /* bytes: these two hold what the format points to */
    PyObject *reply_head;
    struct stream_format format;
};

extern PyType_Spec stream_type_spec;

/* Sets the exception for a request that stream_read() refuses. Returns -1. */
int stream_refuse(void);

#endif
