/* See arrow_numbers.h. */
#include "python/arrow_numbers.h"

/* The memory is nobody's to free. */
static void forget(struct arrow_array *array)
{
    array->release = NULL;
}

/* method(..., address of the array, ...) */
static PyObject *call_with(PyObject *method, PyObject *first, struct arrow_array *array,
                           PyObject *last)
{
    PyObject *address = PyLong_FromVoidPtr(array), *result = NULL;
    if (address) {
        PyObject *arguments[] = { NULL, first ? first : address, first ? address : last };
        result = PyObject_Vectorcall(method, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                     NULL);
        Py_DECREF(address);
    }
    return result;
}

PyObject *arrow_numbers_make(const struct arrow_methods *methods, PyObject *type, int64_t rows,
                             const void *data, const void *buffers[2])
{
    struct arrow_array array = {
        .length = rows,
        .n_buffers = 2,
        .buffers = buffers,
        .release = forget,
    };
    buffers[0] = NULL;
    buffers[1] = data;
    return call_with(methods->import, NULL, &array, type);
}

bool arrow_numbers_take(const struct arrow_methods *methods, PyObject *array, int64_t rows,
                        size_t width, const void **data, struct arrow_array *exported)
{
    if ((PyObject *)Py_TYPE(array) != methods->result_class)
        return false;
    exported->release = NULL;
    PyObject *done = call_with(methods->export, array, exported, NULL);
    Py_XDECREF(done);
    PyErr_Clear();
    if (done && exported->release && exported->n_buffers == 2 && exported->length == rows &&
        exported->buffers[1] && (exported->null_count == 0 || !exported->buffers[0])) {
        *data = (const char *)exported->buffers[1] + (size_t)exported->offset * width;
        return true;
    }
    arrow_array_release(exported);
    return false;
}
