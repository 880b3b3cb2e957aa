/* Arrow buffers of a result column: see builder.h. */
#include "builder.h"

#include <string.h>

static PyObject *zeroed(Py_ssize_t bytes)
{
    PyObject *array = PyByteArray_FromStringAndSize(NULL, bytes);
    if (array)
        memset(PyByteArray_AS_STRING(array), 0, (size_t)bytes);
    return array;
}

int builder_begin(struct builder *builder, enum storage storage, int64_t rows)
{
    *builder = (struct builder){ .storage = storage, .rows = rows };
    Py_ssize_t width = (Py_ssize_t)storage_width(storage);
    if (rows < 0 || rows > PY_SSIZE_T_MAX / 16) {
        PyErr_SetString(PyExc_ValueError, "no such number of rows");
        return -1;
    }
    if (storage_is_variable(storage)) {
        builder->offsets = zeroed((rows + 1) * width);
        builder->data = PyByteArray_FromStringAndSize(NULL, 0);
        return builder->offsets && builder->data ? 0 : -1;
    }
    builder->data = zeroed(width ? rows * width : (rows + 7) / 8);
    return builder->data ? 0 : -1;
}

static int put_null(struct builder *builder, int64_t row)
{
    if (!builder->validity) {
        Py_ssize_t bytes = (builder->rows + 7) / 8;
        builder->validity = PyByteArray_FromStringAndSize(NULL, bytes);
        if (!builder->validity)
            return -1;
        memset(PyByteArray_AS_STRING(builder->validity), 0xff, (size_t)bytes);
    }
    PyByteArray_AS_STRING(builder->validity)[row >> 3] &= (char)~(1u << (row & 7));
    builder->nulls++;
    return 0;
}

static int put_bytes(struct builder *builder, const char *bytes, Py_ssize_t length)
{
    bool narrow = builder->storage == STORAGE_TEXT32 || builder->storage == STORAGE_BYTES32;
    if (length > (narrow ? INT32_MAX : PY_SSIZE_T_MAX / 4) - builder->used) {
        PyErr_SetString(PyExc_OverflowError, "the results of this batch are too large for one column");
        return -1;
    }
    Py_ssize_t needed = builder->used + length, room = PyByteArray_GET_SIZE(builder->data);
    if (needed > room) {
        Py_ssize_t larger = room < 4096 ? 4096 : room * 2;
        if (PyByteArray_Resize(builder->data, needed > larger ? needed : larger) < 0)
            return -1;
    }
    if (length > 0)
        memcpy(PyByteArray_AS_STRING(builder->data) + builder->used, bytes, (size_t)length);
    builder->used = needed;
    return 0;
}

static void put_offset(struct builder *builder, int64_t row)
{
    char *offsets = PyByteArray_AS_STRING(builder->offsets);
    if (storage_width(builder->storage) == 4)
        ((int32_t *)offsets)[row + 1] = (int32_t)builder->used;
    else
        ((int64_t *)offsets)[row + 1] = builder->used;
}

static void put_number(struct builder *builder, int64_t row, const struct scalar *scalar)
{
    char *data = PyByteArray_AS_STRING(builder->data);
    switch (builder->storage) {
    case STORAGE_BOOL: data[row >> 3] |= (char)(scalar->integer << (row & 7)); break;
    case STORAGE_FLOAT32: ((float *)data)[row] = (float)scalar->real; break;
    case STORAGE_FLOAT64: ((double *)data)[row] = scalar->real; break;
    default: {                                   /* little endian: a narrow integer is the beginning of a wide one */
        size_t width = storage_width(builder->storage);
        memcpy(data + (size_t)row * width, &scalar->integer, width);
        break;
    }
    }
}

int builder_put(struct builder *builder, int64_t row, const struct scalar *scalar)
{
    int code = 0;
    if (scalar->null)
        code = put_null(builder, row);
    else if (builder->offsets)
        code = put_bytes(builder, scalar->bytes, scalar->length);
    else
        put_number(builder, row, scalar);
    if (builder->offsets)
        put_offset(builder, row);
    return code;
}

static PyObject *or_none(PyObject *object)
{
    return object ? object : Py_None;
}

PyObject *builder_end(struct builder *builder)
{
    if (builder->offsets && PyByteArray_Resize(builder->data, builder->used) < 0)
        return NULL;
    return Py_BuildValue("LOOO", (long long)builder->nulls, or_none(builder->validity), builder->data, or_none(builder->offsets));
}

void builder_clear(struct builder *builder)
{
    Py_CLEAR(builder->validity);
    Py_CLEAR(builder->data);
    Py_CLEAR(builder->offsets);
}
