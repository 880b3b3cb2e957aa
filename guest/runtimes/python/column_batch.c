/* _udfvm_agent.ColumnBatch: see column_batch.h. */
#include "python/column_batch.h"

#include "python/column_reply.h"
#include "shared/exchange.h"

#include <structmember.h>
#include <string.h>

static const uint8_t *payload(uint64_t *length)
{
    *length = exchange_call()->length;
    return exchange_payload();
}

/* ---- Construction ---- */

static int take_slots(PyObject *tuple, struct value_slot **slots, size_t *count)
{
    const size_t wanted = (size_t)PyTuple_GET_SIZE(tuple);
    *slots = PyMem_Calloc(wanted + 1, sizeof **slots);
    if (!*slots) {
        PyErr_NoMemory();
        return -1;
    }
    for (; *count < wanted; ++*count)
        if (slot_from_tuple(PyTuple_GET_ITEM(tuple, (Py_ssize_t)*count), &(*slots)[*count]) < 0)
            return -1;
    return 0;
}

static PyObject *columns_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *parameters, *results;
    if (!PyArg_ParseTuple(arguments, "O!O!", &PyTuple_Type, &parameters, &PyTuple_Type, &results))
        return NULL;
    struct column_batch *self = (struct column_batch *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->row = -1;
    self->found = PyMem_Calloc((size_t)PyTuple_GET_SIZE(parameters) + 1, sizeof *self->found);
    if (!self->found)
        PyErr_NoMemory();
    if (!self->found || take_slots(parameters, &self->arguments, &self->argument_count) < 0 ||
        take_slots(results, &self->results, &self->result_count) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int columns_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct column_batch *self = (struct column_batch *)object;
    Py_VISIT(Py_TYPE(object));
    for (size_t i = 0; i < self->argument_count; i++) {
        Py_VISIT(self->arguments[i].convert);
        Py_VISIT(self->arguments[i].refuse);
    }
    for (size_t i = 0; i < self->result_count; i++)
        Py_VISIT(self->results[i].convert);
    return 0;
}

static int columns_clear(PyObject *object)
{
    struct column_batch *self = (struct column_batch *)object;
    for (size_t i = 0; i < self->argument_count; i++) {
        Py_CLEAR(self->arguments[i].convert);
        Py_CLEAR(self->arguments[i].refuse);
    }
    for (size_t i = 0; i < self->result_count; i++)
        Py_CLEAR(self->results[i].convert);
    return 0;
}

static void columns_dealloc(PyObject *object)
{
    struct column_batch *self = (struct column_batch *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    columns_clear(object);
    PyMem_Free(self->arguments);
    PyMem_Free(self->results);
    PyMem_Free(self->found);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- Requests ---- */

int column_batch_find(struct column_batch *self, uint64_t offset, struct column_request *request)
{
    uint64_t length;
    const uint8_t *base = payload(&length);
    self->row = -1;
    bool valid = offset <= length &&
                 column_request_open(request, base + offset, length - offset, self->argument_count);
    struct scalar stream;
    for (size_t i = 0; valid && i < self->argument_count; i++)
        valid = column_request_find(request, i, self->arguments[i].storage, &self->found[i]) ||
                column_request_stream(request, i, &stream);
    if (!valid)
        PyErr_SetString(PyExc_ValueError,
                        "the columns are not those that the function was loaded with");
    return valid ? 0 : -1;
}

/* Returns the stream of a column of UDFVM_TYPE_ARROW; NULL without an exception for other columns.
 */
static PyObject *column_stream(const struct column_request *request, size_t index)
{
    struct scalar stream;
    if (!column_request_stream(request, index, &stream))
        return NULL;
    return PyMemoryView_FromMemory((char *)stream.bytes, (Py_ssize_t)stream.length, PyBUF_READ);
}

static PyObject *column_list(const struct value_slot *slot, const struct column *column,
                             Py_ssize_t rows)
{
    PyObject *list = PyList_New(rows);
    for (Py_ssize_t row = 0; list && row < rows; row++) {
        PyObject *value = column_is_null(column, row) ? Py_NewRef(Py_None)
                                                      : value_from_column(slot, column, row);
        if (!value) {
            name_argument(slot, row);
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, row, value);
    }
    return list;
}

PyDoc_STRVAR(
    read_doc,
    "read(offset) -> (rows, lists)\n\nThe columns at `offset` of the request's "
    "payload: a list each, with None for null; the bytes of a stream, as a memoryview, for "
    "one that is Arrow's.");

static PyObject *columns_read(PyObject *object, PyObject *arguments)
{
    struct column_batch *self = (struct column_batch *)object;
    unsigned long long offset;
    struct column_request request;
    if (!PyArg_ParseTuple(arguments, "K", &offset) || column_batch_find(self, offset, &request) < 0)
        return NULL;
    PyObject *lists = PyList_New((Py_ssize_t)self->argument_count);
    for (size_t i = 0; lists && i < self->argument_count; i++) {
        PyObject *list = column_stream(&request, i);
        if (!list && !PyErr_Occurred())
            list = column_list(&self->arguments[i], &self->found[i], (Py_ssize_t)request.rows);
        if (list)
            PyList_SET_ITEM(lists, (Py_ssize_t)i, list);
        else
            Py_CLEAR(lists);
    }
    return lists ? Py_BuildValue("nN", (Py_ssize_t)request.rows, lists) : NULL;
}

PyDoc_STRVAR(buffers_doc,
             "buffers(offset) -> (rows, [(validity, offsets, data, data_length), ...])\n\n"
             "Addresses of the buffers of the columns at `offset` of the request's payload, 0 for "
             "those that are not there; None for a column of nulls. Or the bytes of a stream, as a "
             "memoryview.");

static PyObject *column_addresses(const struct column *column, uint64_t data_length)
{
    if (column->all_null)
        Py_RETURN_NONE;
    return Py_BuildValue("KKKK", (unsigned long long)(uintptr_t)column->validity,
                         (unsigned long long)(uintptr_t)column->offsets,
                         (unsigned long long)(uintptr_t)column->data,
                         (unsigned long long)data_length);
}

static PyObject *columns_buffers(PyObject *object, PyObject *arguments)
{
    struct column_batch *self = (struct column_batch *)object;
    unsigned long long offset;
    struct column_request request;
    if (!PyArg_ParseTuple(arguments, "K", &offset) || column_batch_find(self, offset, &request) < 0)
        return NULL;
    PyObject *addresses = PyList_New((Py_ssize_t)self->argument_count);
    for (size_t i = 0; addresses && i < self->argument_count; i++) {
        PyObject *buffers = column_stream(&request, i);
        if (!buffers && !PyErr_Occurred())
            buffers = column_addresses(&self->found[i], request.heads[i].data_length);
        if (!buffers)
            Py_CLEAR(addresses);
        else
            PyList_SET_ITEM(addresses, (Py_ssize_t)i, buffers);
    }
    return addresses ? Py_BuildValue("nN", (Py_ssize_t)request.rows, addresses) : NULL;
}

/* ---- Replies ---- */

PyDoc_STRVAR(write_doc,
             "write(rows, columns, flags) -> length of the reply\n\n"
             "Writes the results to the output window. A column is a list of values, a tuple "
             "(nulls, validity, offsets, data) of buffers as they are\n"
             "stored, or the bytes of a stream. Where the length is more than the window may hold, "
             "nothing was written.");

static PyObject *columns_write(PyObject *object, PyObject *arguments)
{
    struct column_batch *self = (struct column_batch *)object;
    long long rows;
    unsigned flags;
    PyObject *columns;
    if (!PyArg_ParseTuple(arguments, "LO!I", &rows, &PyList_Type, &columns, &flags))
        return NULL;
    self->row = -1;
    const size_t count = (size_t)PyList_GET_SIZE(columns);
    if (rows < 0 || count > self->result_count)
        return PyErr_Format(PyExc_ValueError, "%zu columns of %lld rows where there are %zu", count,
                            rows, self->result_count);
    struct batch_writer writer = writer_begin(count);
    for (size_t i = 0; i < count; i++) {
        self->column = (Py_ssize_t)i;
        if (writer_put_column(&writer, i, &self->results[i],
                              PyList_GET_ITEM(columns, (Py_ssize_t)i), rows, &self->row) < 0)
            return NULL;
    }
    return PyLong_FromUnsignedLongLong(writer_finish(&writer, count, rows, flags));
}

/* ---- A scalar function over a batch ---- */

PyDoc_STRVAR(map_doc, "map(function, offset) -> length of the reply\n\nRuns a Function on each row "
                      "of the columns at `offset` of the payload.");

static PyObject *columns_map(PyObject *object, PyObject *arguments)
{
    struct column_batch *self = (struct column_batch *)object;
    PyObject *callee;
    unsigned long long offset;
    struct column_request request;
    struct block block;
    if (!PyArg_ParseTuple(arguments, "OK", &callee, &offset))
        return NULL;
    struct scalar_function *function = (struct scalar_function *)callee;
    PyObject *type = PyObject_GetAttrString(PyType_GetModule(Py_TYPE(object)), "ScalarFunction");
    const bool valid = type && PyObject_TypeCheck(callee, (PyTypeObject *)type) &&
                       function->count == self->argument_count;
    Py_XDECREF(type);
    if (!valid)
        return PyErr_Format(PyExc_TypeError, "map() takes a Function of %zu parameters",
                            self->argument_count);
    if (column_batch_find(self, offset, &request) < 0)
        return NULL;
    struct batch_writer writer = writer_begin(1);
    int64_t failed_row = -1;
    if (block_begin(&block, function->result.storage, (int64_t)request.rows, writer.output,
                    writer.capacity, writer.end, 0) &&
        scalar_function_put_rows(function, self->found, (int64_t)request.rows, &block,
                                 &failed_row) < 0) {
        self->row = (Py_ssize_t)failed_row;
        return NULL;
    }
    writer_close_block(&writer, 0, &block);
    return PyLong_FromUnsignedLongLong(writer_finish(&writer, 1, (int64_t)request.rows, 0));
}

static PyMethodDef columns_methods[] = {
    { "read", columns_read, METH_VARARGS, read_doc },
    { "buffers", columns_buffers, METH_VARARGS, buffers_doc },
    { "write", columns_write, METH_VARARGS, write_doc },
    { "map", columns_map, METH_VARARGS, map_doc },
    { NULL, NULL, 0, NULL },
};

static PyMemberDef columns_members[] = {
    { "row", T_PYSSIZET, offsetof(struct column_batch, row), READONLY,
      "row at which the last map() or write() failed; -1 where that is not known" },
    { "column", T_PYSSIZET, offsetof(struct column_batch, column), READONLY,
      "index of the column that the last write() came to" },
    { NULL, 0, 0, 0, NULL },
};

static PyType_Slot columns_slots[] = {
    { Py_tp_doc,
      "ColumnBatch(arguments, results): reads requests and writes replies of fixed layout, "
      "for slots (storage, nullable, direct, convert)" },
    { Py_tp_new, columns_new },
    { Py_tp_dealloc, columns_dealloc },
    { Py_tp_traverse, columns_traverse },
    { Py_tp_clear, columns_clear },
    { Py_tp_methods, columns_methods },
    { Py_tp_members, columns_members },
    { 0, NULL },
};

PyType_Spec column_batch_type_spec = {
    .name = "_udfvm_agent.ColumnBatch",
    .basicsize = sizeof(struct column_batch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = columns_slots,
};
