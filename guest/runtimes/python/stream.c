/* Arrow IPC streams in the windows: see stream.h. Formats: flatbuffers (flatbuffers.dev), Message.fbs and Schema.fbs of Apache Arrow. */
#include "stream.h"

#include <string.h>

enum { MESSAGE_HEADER = 2, MESSAGE_BODY_LENGTH = 3, BATCH_ROWS = 0, BATCH_NODES = 1, BATCH_BUFFERS = 2 };

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint16_t load16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- Flatbuffers ---- */

/* Offset of a table's field; 0 where the table does not have it, or is not inside of the data. */
static uint32_t table_field(const uint8_t *data, uint32_t length, uint32_t table, unsigned field)
{
    if (table == 0 || table > length - 4)
        return 0;
    int64_t vtable = (int64_t)table - (int32_t)load32(data + table);
    if (vtable < 0 || vtable > (int64_t)length - 4)
        return 0;
    uint32_t size = load16(data + vtable), slot = 4 + 2 * field;
    if (slot + 2 > size || vtable + size > length)
        return 0;
    uint32_t offset = load16(data + vtable + slot);
    return offset == 0 || table + offset > length - 8 ? 0 : table + offset;
}

/* What a field that holds an offset points to; 0: nothing. */
static uint32_t followed(const uint8_t *data, uint32_t length, uint32_t place)
{
    if (place == 0)
        return 0;
    uint32_t offset = load32(data + place);
    return offset > length - 4 || place > length - 4 - offset ? 0 : place + offset;
}

/* A vector of pairs: offset of the first, and their number. */
static uint32_t pairs(const uint8_t *data, uint32_t length, uint32_t table, unsigned field, uint32_t *count)
{
    uint32_t vector = followed(data, length, table_field(data, length, table, field));
    *count = vector ? load32(data + vector) : 0;
    return *count > (length - vector - 4) / sizeof(struct pair) ? 0 : vector + 4;
}

static bool find_fields(const uint8_t *metadata, uint32_t length, struct batch_fields *fields)
{
    if (length < 16)
        return false;
    uint32_t message = load32(metadata);
    uint32_t batch = followed(metadata, length, table_field(metadata, length, message, MESSAGE_HEADER));
    *fields = (struct batch_fields){
        .rows = table_field(metadata, length, batch, BATCH_ROWS),
        .body_length = table_field(metadata, length, message, MESSAGE_BODY_LENGTH),
    };
    fields->nodes = pairs(metadata, length, batch, BATCH_NODES, &fields->node_count);
    fields->buffers = pairs(metadata, length, batch, BATCH_BUFFERS, &fields->buffer_count);
    return batch && fields->nodes;
}

/* ---- Requests ---- */

static struct pair pair_at(const uint8_t *metadata, uint32_t first, size_t index)
{
    struct pair pair;
    memcpy(&pair, metadata + first + index * sizeof pair, sizeof pair);
    return pair;
}

static unsigned buffers_of(enum storage storage)
{
    return storage == STORAGE_NULL ? 0 : storage_is_variable(storage) ? 3 : 2;
}

static int bad_request(void)
{
    PyErr_SetString(PyExc_ValueError, "the batch is not of the schema that the function was loaded with");
    return -1;
}

int stream_read(const struct stream *stream, const uint8_t *request, uint64_t length, const struct slot *slots, size_t count,
                struct column *columns, int64_t *rows)
{
    static const uint8_t no_valid_rows[1];
    struct batch_fields fields;
    struct prefix prefix;
    const size_t schema = (size_t)PyBytes_GET_SIZE(stream->request_schema);
    if (length < schema + sizeof prefix || memcmp(request, PyBytes_AS_STRING(stream->request_schema), schema) != 0)
        return bad_request();
    memcpy(&prefix, request + schema, sizeof prefix);
    const uint8_t *metadata = request + schema + sizeof prefix;
    if (prefix.metadata_length > length - schema - sizeof prefix || !find_fields(metadata, prefix.metadata_length, &fields)
        || fields.node_count != count)
        return bad_request();
    *rows = 0;                                   /* a flatbuffer leaves out what is zero */
    if (fields.rows)
        memcpy(rows, metadata + fields.rows, sizeof *rows);
    const uint8_t *body = metadata + prefix.metadata_length;
    const uint64_t room = length - (uint64_t)(body - request);
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *places[3] = { no_valid_rows, NULL, NULL };
        const unsigned buffers = buffers_of(slots[i].storage);
        if (next + buffers > fields.buffer_count)
            return bad_request();
        for (unsigned j = 0; j < buffers; j++) {
            struct pair place = pair_at(metadata, fields.buffers, next + j);
            if (place.first < 0 || place.second < 0 || (uint64_t)place.first > room || (uint64_t)place.second > room - (uint64_t)place.first)
                return bad_request();
            places[j] = body + place.first;
        }
        next += buffers;
        columns[i] = (struct column){ .nulls = pair_at(metadata, fields.nodes, i).second, .data = places[buffers == 3 ? 2 : 1],
                                      .offsets = buffers == 3 ? places[1] : NULL };
        columns[i].validity = columns[i].nulls ? places[0] : NULL;
        columns[i].all_null = buffers == 0;
    }
    return 0;
}

/* ---- The type ---- */

/* The reply's head, from a stream with one row that pyarrow wrote: everything up to the body. */
static int take_template(struct stream *self, const uint8_t *schema, size_t schema_length, const uint8_t *message, size_t message_length)
{
    struct prefix prefix;
    if (message_length < sizeof prefix)
        return -1;
    memcpy(&prefix, message, sizeof prefix);
    const size_t head = sizeof prefix + prefix.metadata_length;
    if (head > message_length || !find_fields(message + sizeof prefix, prefix.metadata_length, &self->fields)
        || self->fields.rows == 0 || self->fields.node_count != 1 || self->fields.buffer_count > 3
        || (self->fields.buffer_count > 0 && self->fields.body_length == 0))
        return -1;
    self->metadata = (uint32_t)(schema_length + sizeof prefix);
    self->reply_head = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(schema_length + head));
    if (!self->reply_head)
        return -1;
    memcpy(PyBytes_AS_STRING(self->reply_head), schema, schema_length);
    memcpy(PyBytes_AS_STRING(self->reply_head) + schema_length, message, head);
    return 0;
}

static PyObject *stream_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *request_schema;
    const char *schema, *message;
    Py_ssize_t schema_length, message_length;
    if (!PyArg_ParseTuple(arguments, "Sy#y#", &request_schema, &schema, &schema_length, &message, &message_length))
        return NULL;
    struct stream *self = (struct stream *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->request_schema = Py_NewRef(request_schema);
    if (take_template(self, (const uint8_t *)schema, (size_t)schema_length, (const uint8_t *)message, (size_t)message_length) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "the template is no record batch message of one column");
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void stream_dealloc(PyObject *object)
{
    struct stream *self = (struct stream *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->request_schema);
    Py_XDECREF(self->reply_head);
    type->tp_free(object);
    Py_DECREF(type);
}

/* The bytes that a text or bytes column uses; -1 where its buffers are too short. */
static int64_t used_bytes(enum storage storage, int64_t rows, const Py_buffer *offsets, const Py_buffer *data)
{
    const bool narrow = storage_width(storage) == sizeof(int32_t);
    if ((uint64_t)offsets->len / storage_width(storage) < (uint64_t)rows + 1)
        return -1;
    const int64_t end = narrow ? ((const int32_t *)offsets->buf)[rows] : ((const int64_t *)offsets->buf)[rows];
    return end > data->len ? -1 : end;
}

static int64_t data_bytes(enum storage storage, int64_t rows, const Py_buffer *offsets, const Py_buffer *data)
{
    if (storage_is_variable(storage))
        return used_bytes(storage, rows, offsets, data);
    const uint64_t width = storage_width(storage);
    const uint64_t needed = storage == STORAGE_NULL ? 0 : width ? (uint64_t)rows * width : ((uint64_t)rows + 7) / 8;
    return needed > (uint64_t)data->len ? -1 : (int64_t)needed;
}

PyDoc_STRVAR(write_doc,
"write(storage, rows, nulls, validity, offsets, data) -> length of the reply\n\n"
"Writes a column to the output window, from buffers that begin at its first row; those that it has not are None.");

static PyObject *stream_write(PyObject *object, PyObject *arguments)
{
    int storage;
    long long rows, nulls;
    Py_buffer validity, offsets, data;
    if (!PyArg_ParseTuple(arguments, "iLLz*z*z*", &storage, &rows, &nulls, &validity, &offsets, &data))
        return NULL;
    const struct udfvm_call *call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
    const int64_t used = rows < 0 ? -1 : data_bytes((enum storage)storage, rows, &offsets, &data);
    PyObject *length = NULL;
    if (used < 0 || (nulls && storage != STORAGE_NULL && validity.len < (rows + 7) / 8)) {
        PyErr_SetString(PyExc_ValueError, "the buffers are too short for the column");
    } else {
        struct reply reply;
        if (reply_begin(&reply, (struct stream *)object, (enum storage)storage, rows, (uint8_t *)UDFVM_OUTPUT_BASE, call->output_size))
            block_put_buffers(&reply.block, nulls, validity.buf, offsets.buf, data.buf, (uint64_t)used);
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
    { Py_tp_doc, "Stream(request_schema, reply_schema, template): reads requests and writes replies of one signature" },
    { Py_tp_new, stream_new },
    { Py_tp_dealloc, stream_dealloc },
    { Py_tp_methods, stream_methods },
    { 0, NULL },
};

PyType_Spec stream_type_spec = {
    .name = "_udfvm_agent.Stream",
    .basicsize = sizeof(struct stream),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = stream_slots,
};
