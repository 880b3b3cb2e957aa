/* _udfvm_agent.Stream: see stream.h. */
#include "python/stream.h"
#include "shared/exchange.h"

#include <string.h>

int stream_refuse(void)
{
    PyErr_SetString(PyExc_ValueError,
                    "the batch is not of the schema that the function was loaded with");
    return -1;
}

/* Takes the reply's head, everything up to the body, from a stream with one row that pyarrow
 * wrote. */
static int take_template(struct stream_object *self, const uint8_t *schema, size_t schema_length,
                         const uint8_t *message, size_t message_length)
{
    const size_t head = stream_reply_head(&self->format, schema_length, message, message_length);
    if (head == 0)
        return -1;
    self->reply_head = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(schema_length + head));
    if (!self->reply_head)
        return -1;
    self->format.reply_head = (uint8_t *)PyBytes_AS_STRING(self->reply_head);
    memcpy(self->format.reply_head, schema, schema_length);
    memcpy(self->format.reply_head + schema_length, message, head);
    return 0;
}

static PyObject *stream_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *request_schema;
    const char *schema, *message;
    Py_ssize_t schema_length, message_length;
    if (!PyArg_ParseTuple(arguments, "Sy#y#", &request_schema, &schema, &schema_length, &message,
                          &message_length))
        return NULL;
    struct stream_object *self = (struct stream_object *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->request_schema = Py_NewRef(request_schema);
    self->format.request_schema = (const uint8_t *)PyBytes_AS_STRING(request_schema);
    self->format.request_schema_length = (size_t)PyBytes_GET_SIZE(request_schema);
    if (take_template(self, (const uint8_t *)schema, (size_t)schema_length,
                      (const uint8_t *)message, (size_t)message_length) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError,
                            "the template is not a record batch message of one column");
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void stream_dealloc(PyObject *object)
{
    struct stream_object *self = (struct stream_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->request_schema);
    Py_XDECREF(self->reply_head);
    type->tp_free(object);
    Py_DECREF(type);
}

/* Returns the bytes that a text or bytes column uses; -1 if its buffers are too short. */
static int64_t used_bytes(enum storage storage, int64_t rows, const Py_buffer *offsets,
                          const Py_buffer *data)
{
    const bool narrow = storage_width(storage) == sizeof(int32_t);
    if ((uint64_t)offsets->len / storage_width(storage) < (uint64_t)rows + 1)
        return -1;
    const int64_t end = narrow ? ((const int32_t *)offsets->buf)[rows]
                               : ((const int64_t *)offsets->buf)[rows];
    return end > data->len ? -1 : end;
}

static int64_t data_bytes(enum storage storage, int64_t rows, const Py_buffer *offsets,
                          const Py_buffer *data)
{
    if (storage_is_variable(storage))
        return used_bytes(storage, rows, offsets, data);
    const uint64_t width = storage_width(storage);
    const uint64_t needed = storage == STORAGE_NULL ? 0
                            : width                 ? (uint64_t)rows * width
                                                    : bitmap_bytes(rows);
    return needed > (uint64_t)data->len ? -1 : (int64_t)needed;
}

PyDoc_STRVAR(write_doc,
             "write(storage, rows, nulls, validity, offsets, data) -> length of the reply\n\n"
             "Writes a column to the output window, from buffers that begin at its first row; "
             "those that it has not are None.");

static PyObject *stream_write(PyObject *object, PyObject *arguments)
{
    int storage;
    long long rows, nulls;
    Py_buffer validity, offsets, data;
    if (!PyArg_ParseTuple(arguments, "iLLz*z*z*", &storage, &rows, &nulls, &validity, &offsets,
                          &data))
        return NULL;
    const struct udfvm_call *call = exchange_call();
    const int64_t used = rows < 0 ? -1 : data_bytes((enum storage)storage, rows, &offsets, &data);
    PyObject *length = NULL;
    if (used < 0 ||
        (nulls && storage != STORAGE_NULL && (uint64_t)validity.len < bitmap_bytes(rows))) {
        PyErr_SetString(PyExc_ValueError, "the buffers are too short for the column");
    } else {
        struct reply reply;
        if (reply_begin(&reply, &((struct stream_object *)object)->format, (enum storage)storage,
                        rows, (uint8_t *)UDFVM_OUTPUT_BASE, call->output_size))
            block_put_buffers(&reply.block, nulls, validity.buf, offsets.buf, data.buf,
                              (uint64_t)used);
        length = PyLong_FromUnsignedLongLong(reply_end(&reply));
    }
    PyBuffer_Release(&validity);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&data);
    return length;
}

static PyMethodDef stream_methods[] = {
    { "write", stream_write, METH_VARARGS, write_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot stream_slots[] = {
    { Py_tp_doc, "Stream(request_schema, reply_schema, template): reads requests and writes "
                 "replies of one signature" },
    { Py_tp_new, stream_new },
    { Py_tp_dealloc, stream_dealloc },
    { Py_tp_methods, stream_methods },
    { 0, NULL },
};

PyType_Spec stream_type_spec = {
    .name = "_udfvm_agent.Stream",
    .basicsize = sizeof(struct stream_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = stream_slots,
};
