/* _udfvm_agent.ScalarFunction: see scalar_function.h. */
#include "python/scalar_function.h"

#include "python/common_values.h"
#include "python/generators.h"

#include <string.h>

/* ---- Construction ---- */

int slot_from_tuple(PyObject *tuple, struct value_slot *slot)
{
    int storage, nullable, direct, any = 0;
    PyObject *convert, *refuse = Py_None;
    if (!PyTuple_Check(tuple) || !PyArg_ParseTuple(tuple, "ippO|Op", &storage, &nullable, &direct,
                                                   &convert, &refuse, &any)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a slot is a tuple");
        return -1;
    }
    if (storage < 0 || storage >= STORAGE_COUNT) {
        PyErr_SetString(PyExc_ValueError, "there is no such storage");
        return -1;
    }
    *slot = (struct value_slot){ .storage = (enum storage)storage,
                                 .nullable = nullable,
                                 .any = any,
                                 .direct = direct,
                                 .convert = Py_NewRef(convert),
                                 .refuse = refuse == Py_None ? NULL : Py_NewRef(refuse) };
    return 0;
}

static PyObject *scalar_function_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "callable", "parameters", "result", NULL };
    PyObject *callable, *parameters, *result;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO!O", names, &callable, &PyTuple_Type,
                                     &parameters, &result))
        return NULL;
    struct scalar_function *self = (struct scalar_function *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->callable = Py_NewRef(callable);
    /* The interpreter's own functions need no check of how they return. */
    self->call = PyFunction_Check(callable) ? PyVectorcall_Function(callable) : PyObject_Vectorcall;
    size_t count = (size_t)PyTuple_GET_SIZE(parameters);
    self->parameters = PyMem_Calloc(count + 1, sizeof *self->parameters);
    self->arguments = PyMem_Calloc(count + 1, sizeof *self->arguments);
    self->columns = PyMem_Calloc(count + 1, sizeof *self->columns);
    if (!self->parameters || !self->arguments || !self->columns) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    bool ok = slot_from_tuple(result, &self->result) == 0;
    for (; ok && self->count < count; self->count += ok)
        ok = slot_from_tuple(PyTuple_GET_ITEM(parameters, (Py_ssize_t)self->count),
                             &self->parameters[self->count]) == 0;
    for (size_t i = 0; i < self->count; i++)
        self->columns[i].storage = self->parameters[i].storage;
    if (!ok)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int scalar_function_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct scalar_function *self = (struct scalar_function *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->callable);
    Py_VISIT(self->result.convert);
    for (size_t i = 0; i < self->count; i++) {
        Py_VISIT(self->parameters[i].convert);
        Py_VISIT(self->parameters[i].refuse);
    }
    return 0;
}

static int scalar_function_clear(PyObject *object)
{
    struct scalar_function *self = (struct scalar_function *)object;
    Py_CLEAR(self->callable);
    Py_CLEAR(self->result.convert);
    for (size_t i = 0; i < self->count; i++) {
        Py_CLEAR(self->parameters[i].convert);
        Py_CLEAR(self->parameters[i].refuse);
    }
    return 0;
}

static void scalar_function_dealloc(PyObject *object)
{
    struct scalar_function *self = (struct scalar_function *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    scalar_function_clear(object);
    PyMem_Free(self->parameters);
    PyMem_Free(self->arguments);
    PyMem_Free(self->columns);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- Running ---- */

static void drop_arguments(PyObject **arguments, size_t count)
{
    while (count-- > 0)
        Py_DECREF(arguments[count]);
}

/* Checks that arguments[i + 1] was made, and is not a null that the parameter does not allow (JSON
 * has null). Otherwise releases the arguments so far. */
static bool take_argument(struct scalar_function *function, size_t i)
{
    PyObject **made = &function->arguments[i + 1];
    if (!*made)
        name_argument(&function->parameters[i], -1);
    else if (*made != Py_None || function->parameters[i].nullable)
        return true;
    drop_arguments(function->arguments + 1, *made ? i + 1 : i);
    return false;
}

/* Calls with arguments[1..count], which it releases. */
static PyObject *call(const struct scalar_function *function, PyObject **arguments)
{
    PyObject *value = function->call(function->callable, arguments + 1,
                                     function->count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    drop_arguments(arguments + 1, function->count);
    return value;
}

static uint64_t write_reply(enum storage storage, const struct scalar *scalar, uint8_t *output,
                            uint64_t capacity)
{
    struct udfvm_value value = { .type = UDFVM_TYPE_NULL };
    uint64_t length = sizeof value;
    if (!scalar->null) {
        if (storage_is_variable(storage)) {
            value.type = storage <= STORAGE_TEXT64 ? UDFVM_TYPE_TEXT : UDFVM_TYPE_BLOB;
            value.length = (uint32_t)scalar->length;
            value.offset = sizeof value;
            length += (uint64_t)scalar->length;
        } else if (storage == STORAGE_FLOAT32 || storage == STORAGE_FLOAT64) {
            value.type = UDFVM_TYPE_FLOAT64;
            value.real = storage == STORAGE_FLOAT32 ? (double)(float)scalar->real : scalar->real;
        } else {
            value.type = storage == STORAGE_BOOL ? UDFVM_TYPE_BOOL : UDFVM_TYPE_INT64;
            value.integer = scalar->integer;
        }
    }
    if (length <= capacity) {
        memcpy(output, &value, sizeof value);
        if (length > sizeof value)
            memcpy(output + sizeof value, scalar->bytes, (size_t)scalar->length);
    }
    return length;
}

/* Returns 1 if the function was called, with a new *result; 0 if a null argument makes the result
 * null; -1 with an exception. */
static int call_row(struct scalar_function *function, const uint8_t *payload, uint64_t length,
                    PyObject **result)
{
    const struct udfvm_row *row = (const struct udfvm_row *)payload;
    const struct udfvm_value *values = (const struct udfvm_value *)(row + 1);
    if (length < sizeof *row || row->count != function->count ||
        length < sizeof *row + row->count * sizeof *values) {
        PyErr_SetString(PyExc_TypeError, "the row does not have the declared number of arguments");
        return -1;
    }
    for (size_t i = 0; i < function->count; i++)
        if (values[i].type == UDFVM_TYPE_NULL && !function->parameters[i].nullable)
            return 0;
    PyObject **arguments = function->arguments;
    for (size_t i = 0; i < function->count; i++) {
        bool null = values[i].type == UDFVM_TYPE_NULL;
        arguments[i + 1] = null ? Py_NewRef(Py_None)
                                : value_from_row(&function->parameters[i], &values[i], payload,
                                                 length);
        if (!take_argument(function, i))
            return arguments[i + 1] ? 0 : -1;
    }
    *result = call(function, arguments);
    return *result ? 1 : -1;
}

int scalar_function_row(struct scalar_function *function, const uint8_t *payload, uint64_t length,
                        uint8_t *output, uint64_t capacity, uint64_t *reply)
{
    PyObject *result = NULL;
    struct result converted = { .scalar.null = true };
    int called = call_row(function, payload, length, &result);
    if (called < 0)
        return -1;
    int code = called ? result_from_object(&function->result, result, &converted) : 0;
    Py_XDECREF(result);
    if (code == 0)
        *reply = write_reply(converted.storage, &converted.scalar, output, capacity);
    result_clear(&converted);
    return code;
}

/* As call_row, for a row of columns. */
static int call_columns(struct scalar_function *function, const struct column *columns, int64_t row,
                        PyObject **result)
{
    PyObject **arguments = function->arguments;
    for (size_t i = 0; i < function->count; i++)
        if (!function->parameters[i].nullable && column_is_null(&columns[i], row))
            return 0;
    for (size_t i = 0; i < function->count; i++) {
        bool null = column_is_null(&columns[i], row);
        arguments[i + 1] = null ? Py_NewRef(Py_None)
                                : value_from_column(&function->parameters[i], &columns[i], row);
        if (!take_argument(function, i))
            return arguments[i + 1] ? 0 : -1;
    }
    *result = call(function, arguments);
    return *result ? 1 : -1;
}

/* Stores what the function returned; NULL: a null argument makes it null. */
static int put_result(const struct value_slot *slot, PyObject *returned, struct block *block,
                      int64_t row)
{
    struct result converted = { .scalar.null = true };
    int code = returned ? result_from_object(slot, returned, &converted) : 0;
    if (code == 0 && !block_put(block, row, &converted.scalar))
        code = column_too_large();
    result_clear(&converted);
    return code;
}

/* As put_result(), for what is not NULL; releases it. */
static inline int put_returned(const struct value_slot *slot, PyObject *returned,
                               struct block *block, int64_t row)
{
    int code = put_common(slot, returned, block, row) ? 0 : put_result(slot, returned, block, row);
    Py_DECREF(returned);
    return code;
}

static int put_row(struct scalar_function *function, const struct column *columns, int64_t row,
                   struct block *block)
{
    PyObject *returned = NULL;
    if (call_columns(function, columns, row, &returned) < 0)
        return -1;
    return returned ? put_returned(&function->result, returned, block, row)
                    : put_result(&function->result, NULL, block, row);
}

/* Returns the row that failed, with an exception, or `rows`. */
static int64_t put_rows(struct scalar_function *function, const struct column *columns,
                        int64_t rows, struct block *block)
{
    int64_t row = 0;
    for (; row < rows; row++) {
        if (row > 0 && row_begin() < 0) /* the first began with the request */
            break;
        if (put_row(function, columns, row, block) < 0)
            break;
    }
    return row;
}

static bool has_common_arguments(const struct scalar_function *function,
                                 const struct column *columns)
{
    for (size_t i = 0; i < function->count; i++)
        if (!is_common(&function->parameters[i]) || columns[i].validity || columns[i].all_null)
            return false;
    return true;
}

/* As put_row(), for common arguments. They stay until the next row's take their places. */
static inline int put_common_row(const struct scalar_function *function,
                                 const struct column *columns, int64_t row, struct block *block)
{
    PyObject **arguments = function->arguments + 1;
    for (size_t i = 0; i < function->count; i++) {
        arguments[i] = next_argument(arguments[i], columns[i].storage, &columns[i], row);
        if (!arguments[i])
            return -1;
    }
    PyObject *returned = function->call(function->callable, arguments,
                                        function->count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    return returned ? put_returned(&function->result, returned, block, row) : -1;
}

/* As put_rows(), for common arguments. */
static int64_t put_common_rows(struct scalar_function *function, const struct column *columns,
                               int64_t rows, struct block *block)
{
    const bool deterministic = call_is_deterministic();
    int64_t row = 0;
    memset(function->arguments + 1, 0, function->count * sizeof *function->arguments);
    for (; row < rows; row++) {
        if (deterministic && row > 0 && row_begin() < 0)
            break;
        if (put_common_row(function, columns, row, block) < 0)
            break;
    }
    for (size_t i = 0; i < function->count; i++)
        Py_CLEAR(function->arguments[i + 1]);
    return row;
}

int scalar_function_put_rows(struct scalar_function *function, const struct column *columns,
                             int64_t rows, struct block *block, int64_t *failed_row)
{
    const bool common = has_common_arguments(function, columns);
    const int64_t row = (common ? put_common_rows : put_rows)(function, columns, rows, block);
    *failed_row = row < rows ? row : -1;
    return row < rows ? -1 : 0;
}

int scalar_function_batch(struct scalar_function *function, const struct stream_object *stream,
                          const uint8_t *request, uint64_t request_length, uint8_t *output,
                          uint64_t capacity, uint64_t *reply_length, int64_t *failed_row)
{
    int64_t rows;
    struct reply reply;
    *failed_row = -1;
    if (!stream_read(&stream->format, request, request_length, function->count, function->columns,
                     &rows))
        return stream_refuse();
    if (reply_begin(&reply, &stream->format, function->result.storage, rows, output, capacity) &&
        scalar_function_put_rows(function, function->columns, rows, &reply.block, failed_row) < 0)
        return -1;
    *reply_length = reply_end(&reply);
    return 0;
}

static PyType_Slot scalar_function_slots[] = {
    { Py_tp_doc,
      "ScalarFunction(callable, parameters, result): a scalar function with its signature" },
    { Py_tp_new, scalar_function_new },
    { Py_tp_dealloc, scalar_function_dealloc },
    { Py_tp_traverse, scalar_function_traverse },
    { Py_tp_clear, scalar_function_clear },
    { 0, NULL },
};

PyType_Spec scalar_function_type_spec = {
    .name = "_udfvm_agent.ScalarFunction",
    .basicsize = sizeof(struct scalar_function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = scalar_function_slots,
};
