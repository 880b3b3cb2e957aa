#include "arrow_arrays.h"

#include <stdlib.h>

enum { ALIGNMENT = 64 }; /* of numbers, as Arrow recommends */

struct arrow_memory {
    char *reply;
    const void *buffers[2]; /* validity, numbers */
};

bool arrow_export(PyObject *array, PyObject *method, struct arrow_array *exported)
{
    exported->release = NULL;
    PyObject *address = PyLong_FromVoidPtr(exported), *done = NULL;
    if (address) {
        PyObject *arguments[] = { NULL, array, address };
        done = PyObject_Vectorcall(method, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        Py_DECREF(address);
    }
    Py_XDECREF(done);
    if (done && exported->release && exported->n_buffers == 2)
        return true;
    PyErr_Clear();
    arrow_array_release(exported);
    return false;
}

bool arrow_has_nulls(const struct arrow_array *exported)
{
    const unsigned char *validity = exported->buffers[0];
    if (exported->null_count >= 0 || !validity)
        return exported->null_count > 0;
    const int64_t end = exported->offset + exported->length;
    for (int64_t row = exported->offset; row < end; row++)
        if (!(validity[row / 8] >> (row % 8) & 1))
            return true;
    return false;
}

struct arrow_memory *arrow_memory_new(size_t capacity, size_t numbers)
{
    struct arrow_memory *memory = malloc(sizeof(*memory) + ALIGNMENT - 1 + capacity);
    if (!memory)
        return NULL;
    const uintptr_t begin = (uintptr_t)(memory + 1) + numbers;
    const size_t gap = -begin % ALIGNMENT;
    memory->reply = (char *)(memory + 1) + gap;
    memory->buffers[0] = NULL;
    memory->buffers[1] = memory->reply + numbers;
    return memory;
}

char *arrow_memory_reply(const struct arrow_memory *memory)
{
    return memory->reply;
}

void arrow_memory_free(struct arrow_memory *memory)
{
    free(memory);
}

/* Called by whichever thread drops the array last, with the interpreter's lock or without. */
static void release_memory(struct arrow_array *array)
{
    arrow_memory_free(array->private_data);
    array->release = NULL;
}

PyObject *arrow_import(struct arrow_memory *memory, int64_t rows, PyObject *import, PyObject *type)
{
    struct arrow_array array = {
        .length = rows,
        .n_buffers = 2,
        .buffers = memory->buffers,
        .release = release_memory,
        .private_data = memory,
    };
    PyObject *address = PyLong_FromVoidPtr(&array), *made = NULL;
    if (address) {
        PyObject *arguments[] = { NULL, address, type };
        made = PyObject_Vectorcall(import, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        Py_DECREF(address);
    }
    arrow_array_release(&array); /* pyarrow did not take it over */
    return made;
}
