/* _udfvm_agent.NumbersFunction: see numbers_function.h. numpy is used through its Python interface:
 * the extension needs no numpy to be built. */
#include "python/numbers_function.h"

#include <string.h>

/* The largest input window, so that one view serves all calls. Bytes behind the request are not
 * used. */
#define WINDOW_BYTES ((Py_ssize_t)(UDFVM_MAX_WINDOW - UDFVM_PAGE_SIZE))
#define FEW          8u /* columns */

static int take_columns(struct numbers_function *self, PyObject *columns)
{
    const size_t count = (size_t)PyTuple_GET_SIZE(columns);
    self->types = PyMem_Calloc(count + 1, sizeof *self->types);
    self->arguments = PyMem_Calloc(count + 1, sizeof *self->arguments);
    self->columns = PyMem_Calloc(count + 1, sizeof *self->columns);
    self->buffers = PyMem_Calloc(2 * count + 1, sizeof *self->buffers);
    self->are_arrow = PyMem_Calloc(count + 1, sizeof *self->are_arrow);
    if (!self->types || !self->arguments || !self->columns || !self->buffers || !self->are_arrow) {
        PyErr_NoMemory();
        return -1;
    }
    for (; self->count < count; self->count++) {
        int storage, is_arrow;
        PyObject *type, *column = PyTuple_GET_ITEM(columns, (Py_ssize_t)self->count);
        if (!PyArg_ParseTuple(column, "iOp", &storage, &type, &is_arrow))
            return -1;
        self->columns[self->count].storage = (enum storage)storage;
        self->are_arrow[self->count] = is_arrow;
        self->types[self->count] = Py_NewRef(type);
    }
    return 0;
}

static PyObject *numbers_function_new(PyTypeObject *type, PyObject *arguments,
                                      PyObject *Py_UNUSED(keywords))
{
    PyObject *callable, *columns, *frombuffer, *array_type, *import, *export, *class, *finish;
    int format, storage;
    if (!PyArg_ParseTuple(arguments, "OO!Ci(OO)(OOO)O", &callable, &PyTuple_Type, &columns, &format,
                          &storage, &frombuffer, &array_type, &import, &export, &class, &finish))
        return NULL;
    struct numbers_function *self = (struct numbers_function *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->callable = Py_NewRef(callable);
    self->frombuffer = Py_NewRef(frombuffer);
    self->array_type = Py_NewRef(array_type);
    self->arrow.import = Py_NewRef(import);
    self->arrow.export = Py_NewRef(export);
    self->arrow.result_class = Py_NewRef(class);
    self->finish = Py_NewRef(finish);
    self->result_format = (char)format;
    self->result_storage = (enum storage)storage;
    self->window = PyMemoryView_FromMemory((char *)UDFVM_INPUT_PAYLOAD, WINDOW_BYTES, PyBUF_READ);
    if (!self->window || take_columns(self, columns) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int numbers_function_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct numbers_function *self = (struct numbers_function *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->callable);
    Py_VISIT(self->frombuffer);
    Py_VISIT(self->array_type);
    Py_VISIT(self->arrow.import);
    Py_VISIT(self->arrow.export);
    Py_VISIT(self->arrow.result_class);
    Py_VISIT(self->window);
    Py_VISIT(self->finish);
    Py_VISIT(self->left_in_place);
    for (size_t i = 0; i < self->count; i++)
        Py_VISIT(self->types[i]);
    return 0;
}

static int numbers_function_clear(PyObject *object)
{
    struct numbers_function *self = (struct numbers_function *)object;
    Py_CLEAR(self->callable);
    Py_CLEAR(self->frombuffer);
    Py_CLEAR(self->array_type);
    Py_CLEAR(self->arrow.import);
    Py_CLEAR(self->arrow.export);
    Py_CLEAR(self->arrow.result_class);
    Py_CLEAR(self->window);
    Py_CLEAR(self->finish);
    Py_CLEAR(self->left_in_place);
    for (size_t i = 0; i < self->count; i++)
        Py_CLEAR(self->types[i]);
    return 0;
}

static void numbers_function_dealloc(PyObject *object)
{
    struct numbers_function *self = (struct numbers_function *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    numbers_function_clear(object);
    PyMem_Free(self->types);
    PyMem_Free(self->arguments);
    PyMem_Free(self->columns);
    PyMem_Free(self->buffers);
    PyMem_Free(self->are_arrow);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- Running ---- */

/* numpy.frombuffer(window, type, rows, offset) */
static PyObject *numpy_array_of(const struct numbers_function *function, size_t index,
                                const struct column *column, int64_t rows)
{
    PyObject *count = PyLong_FromLongLong(rows);
    PyObject *offset = PyLong_FromLongLong(
        (long long)((uint64_t)(uintptr_t)column->data - UDFVM_INPUT_PAYLOAD));
    PyObject *array = NULL;
    if (count && offset) {
        PyObject *arguments[] = { NULL, function->window, function->types[index], count, offset };
        array = PyObject_Vectorcall(function->frombuffer, arguments + 1,
                                    4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    Py_XDECREF(count);
    Py_XDECREF(offset);
    return array;
}

static PyObject *array_of(const struct numbers_function *function, size_t index,
                          const struct column *column, int64_t rows)
{
    return function->are_arrow[index]
               ? arrow_numbers_make(&function->arrow, function->types[index], rows, column->data,
                                    function->buffers + 2 * index)
               : numpy_array_of(function, index, column, rows);
}

static PyObject *call(const struct numbers_function *function, const struct column *columns,
                      PyObject **arguments, int64_t rows)
{
    PyObject *result = NULL;
    size_t made = 0;
    for (; made < function->count; made++) {
        arguments[made + 1] = array_of(function, made, &columns[made], rows);
        if (!arguments[made + 1])
            break;
    }
    if (made == function->count)
        result = PyObject_Vectorcall(function->callable, arguments + 1,
                                     function->count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    while (made > 0)
        Py_DECREF(arguments[made--]);
    return result;
}

/* Reads the request and calls the function. NULL with an exception; or without, where a column has
 * nulls. A few columns are read on the stack, whose pages are written in any case. */
static PyObject *call_with_request(struct numbers_function *function,
                                   const struct stream_object *stream, uint64_t request_length,
                                   int64_t *rows)
{
    const uint8_t *request = (const uint8_t *)UDFVM_INPUT_PAYLOAD;
    struct column few_columns[FEW], *columns = function->columns;
    PyObject *few_arguments[FEW + 1], **arguments = function->arguments;
    if (function->count <= FEW) {
        memcpy(few_columns, columns, function->count * sizeof *columns);
        columns = few_columns;
        arguments = few_arguments;
    }
    if (!stream_read(&stream->format, request, request_length, function->count, columns, rows)) {
        stream_refuse();
        return NULL;
    }
    for (size_t i = 0; i < function->count; i++)
        if (columns[i].nulls)
            return NULL;
    return call(function, columns, arguments, *rows);
}

/* Returns true for a contiguous array of one dimension and exactly the declared type: its values
 * can be copied. Otherwise false, without an exception. */
static bool take_numpy(const struct numbers_function *function, PyObject *result, int64_t rows,
                       Py_buffer *buffer)
{
    if (!function->result_format || (PyObject *)Py_TYPE(result) != function->array_type)
        return false;
    if (PyObject_GetBuffer(result, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        PyErr_Clear();
        return false;
    }
    const char *format = buffer->format ? buffer->format : "B";
    const char found = *format == 'q'   ? 'l'
                       : *format == 'Q' ? 'L'
                                        : *format; /* both are of 8 bytes */
    if (found == function->result_format && format[1] == '\0' && buffer->ndim == 1 &&
        buffer->shape[0] == rows)
        return true;
    PyBuffer_Release(buffer);
    return false;
}

/* Writes the reply for a result whose numbers lie at `data`. */
static enum numbers_outcome write_result(struct numbers_function *function,
                                         const struct stream_object *stream, PyObject *result,
                                         const void *data, int64_t rows, uint8_t *output,
                                         uint64_t capacity, uint64_t *length)
{
    struct reply reply;
    const uint64_t size = (uint64_t)rows * storage_width(function->result_storage);
    *length = reply_in_place(&stream->format, output, rows, data, size);
    if (*length) {
        Py_XSETREF(function->left_in_place, Py_NewRef(result));
        return NUMBERS_IN_PLACE;
    }
    if (reply_begin(&reply, &stream->format, function->result_storage, rows, output, capacity))
        block_put_buffers(&reply.block, 0, NULL, NULL, data, size);
    *length = reply_end(&reply);
    return NUMBERS_WRITTEN;
}

enum numbers_outcome numbers_function_batch(struct numbers_function *function,
                                            const struct stream_object *stream,
                                            uint64_t request_length, uint8_t *output,
                                            uint64_t capacity, uint64_t *reply_length,
                                            PyObject **finished)
{
    int64_t rows;
    PyObject *result = call_with_request(function, stream, request_length, &rows);
    if (!result)
        return PyErr_Occurred() ? NUMBERS_RAISED : NUMBERS_NOT_CALLED;
    Py_buffer buffer;
    struct arrow_array exported;
    const void *data;
    enum numbers_outcome outcome;
    if (take_numpy(function, result, rows, &buffer)) {
        outcome = write_result(function, stream, result, buffer.buf, rows, output, capacity,
                               reply_length);
        PyBuffer_Release(&buffer);
    } else if (arrow_numbers_take(&function->arrow, result, rows,
                                  storage_width(function->result_storage), &data, &exported)) {
        outcome = write_result(function, stream, result, data, rows, output, capacity,
                               reply_length);
        arrow_array_release(&exported);
    } else {
        *finished = PyObject_CallFunction(function->finish, "OL", result, (long long)rows);
        outcome = *finished ? NUMBERS_FINISHED : NUMBERS_RAISED;
    }
    Py_DECREF(result);
    return outcome;
}

static PyType_Slot numbers_function_slots[] = {
    { Py_tp_doc, "NumbersFunction(callable, ((storage, dtype or DataType, is it the latter), ...), "
                 "result_format, result_storage, (numpy.frombuffer, numpy.ndarray), "
                 "(pyarrow.Array._import_from_c, _export_to_c, class of the result), finish)" },
    { Py_tp_new, numbers_function_new },
    { Py_tp_dealloc, numbers_function_dealloc },
    { Py_tp_traverse, numbers_function_traverse },
    { Py_tp_clear, numbers_function_clear },
    { 0, NULL },
};

PyType_Spec numbers_function_type_spec = {
    .name = "_udfvm_agent.NumbersFunction",
    .basicsize = sizeof(struct numbers_function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = numbers_function_slots,
};
