#include "small_columns.h"

static Py_ssize_t width_of(Py_UCS4 format)
{
    switch (format) {
    case 'b':
    case 'B':
        return 1;
    case 'h':
    case 'H':
        return 2;
    case 'i':
    case 'I':
    case 'f':
        return 4;
    default:
        return 8;
    }
}

bool column_take_numpy(PyObject *argument, Py_UCS4 format, struct column *column)
{
    Py_buffer *buffer = &column->buffer;
    if (PyObject_GetBuffer(argument, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        PyErr_Clear();
        return false;
    }
    const char *found = buffer->format ? buffer->format : "B";
    const char code = *found == 'q' ? 'l' : *found == 'Q' ? 'L' : *found; /* both are of 8 bytes */
    column->is_arrow = false;
    if ((Py_UCS4)code == format && found[1] == '\0' && buffer->ndim == 1 && buffer->shape[0] > 0) {
        column->data = buffer->buf;
        column->rows = buffer->shape[0];
        column->size = buffer->len;
        return true;
    }
    PyBuffer_Release(buffer);
    return false;
}

bool column_take_arrow(PyObject *argument, PyObject *method, Py_UCS4 format, struct column *column)
{
    struct arrow_array *array = &column->array;
    if (!arrow_export(argument, method, array))
        return false;
    column->is_arrow = true;
    if (array->length > 0 && array->buffers[1]) {
        column->data = (const char *)array->buffers[1] + array->offset * width_of(format);
        column->rows = array->length;
        column->size = column->rows * width_of(format);
        return true;
    }
    arrow_array_release(array);
    return false;
}

void column_give(struct column *column)
{
    if (column->is_arrow)
        arrow_array_release(&column->array);
    else
        PyBuffer_Release(&column->buffer);
}
