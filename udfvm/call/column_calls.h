/* Calls with columns of numbers from the kernels of Arrow's functions, which are C++ of another
 * module: it finds these functions in the capsule COLUMN_CALLS. */
#ifndef UDFVM_COLUMN_CALLS_H
#define UDFVM_COLUMN_CALLS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COLUMN_CALLS "udfvm.call._fast_path.column_calls"

enum column_call_outcome {
    COLUMN_CALL_DONE,   /* the result is numbers: in `allocated` memory, or borrowed */
    COLUMN_CALL_OTHER,  /* it is `other` */
    COLUMN_CALL_NOT,    /* nothing was called: the call is to be made by Python code */
    COLUMN_CALL_RAISED, /* there is an exception */
    COLUMN_CALL_FULL    /* the memory was not to be had */
};

struct column_call {
    /* In: all columns have values alone, of `rows` rows. */
    int64_t rows;
    Py_ssize_t count;
    const void *const *columns;
    const size_t *sizes; /* in bytes */
    size_t result_size;  /* of so many rows of the result, in bytes */
    bool may_borrow;     /* a large result need not be in memory of `allocate` */
    const int *end; /* the call ends once this is not 0; NULL: nothing but its limits ends it */
    void *(*allocate)(void *context, size_t size); /* called without the interpreter's lock */
    void *context;

    /* Out. */
    void *allocated;
    const void *borrowed;
    void *owner;     /* of what is borrowed, for let_go() */
    PyObject *other; /* a new reference: pyarrow.Array */
};

struct column_calls {
    /* Calls a function, whose udfvm.call.dispatch.Calls these are, with the interpreter's lock. */
    enum column_call_outcome (*call)(PyObject *calls, struct column_call *call);
    /* Gives what is borrowed back: on any thread, with the interpreter's lock or without. */
    void (*let_go)(void *owner);
};

/* Adds the capsule, and the functions of Python, to the module. -1 with an exception. */
int column_calls_add(PyObject *module);

#ifdef __cplusplus
}
#endif

#endif
