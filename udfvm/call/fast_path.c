/* udfvm.call._fast_path: a call with small arrays of numpy or pyarrow, from the arguments to the
 * result, without Python code between them.
 *
 * An exit from a VM leaves the processor cold, so what Python code does before and after it costs
 * several times what it would in a loop: its bytecode, its objects and the interpreter all come
 * from memory again. Here are calls with contiguous arrays of numbers; all others, and every
 * failure, are left to Python code. numpy is used through the buffer protocol and pyarrow through
 * the Arrow C data interface: nothing of them is needed to build.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>

#include "api.h"
#include "arrow_arrays.h"
#include "column_calls.h"
#include "number_replies.h"
#include "row_calls.h"
#include "small_calls.h"
#include "small_columns.h"
#include "udfvm_abi.h"

/* A call under way. */
struct call {
    PyObject *layout;
    struct column *columns; /* that were taken of the arguments, and */
    Py_ssize_t column_count;
    struct iovec *parts; /* the request, which has what they hold */
    size_t part_count;
    bool is_arrow;               /* the result is an array of pyarrow */
    PyObject *output;            /* bytearray, */
    struct arrow_memory *memory; /* or memory of an array */
    uint64_t begun;              /* udfvm_ticks() */
    struct udfvm_pool_reply reply;
    struct udfvm_error error;
};

static PyObject *small_calls_new(PyTypeObject *type, PyObject *arguments,
                                 PyObject *Py_UNUSED(keywords))
{
    PyObject *array_type, *frombuffer, *result_type, *formats, *classes, *export, *import,
        *arrow_result, *pool, *owner;
    unsigned long long addresses[3], wait_ns;
    if (!PyArg_ParseTuple(arguments, "(OOO)U(O!OOO)OOKKKK", &array_type, &frombuffer, &result_type,
                          &formats, &PyTuple_Type, &classes, &export, &import, &arrow_result, &pool,
                          &owner, &addresses[0], &addresses[1], &addresses[2], &wait_ns))
        return NULL;
    if (PyTuple_GET_SIZE(classes) != PyUnicode_GET_LENGTH(formats)) {
        PyErr_SetString(PyExc_ValueError, "not one class for each parameter");
        return NULL;
    }
    struct small_calls *self = (struct small_calls *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->array_type = Py_NewRef(array_type);
    self->frombuffer = Py_NewRef(frombuffer);
    self->result_type = Py_NewRef(result_type);
    self->formats = Py_NewRef(formats);
    self->arrow_classes = Py_NewRef(classes);
    self->arrow_export = Py_NewRef(export);
    self->arrow_import = Py_NewRef(import);
    self->arrow_result = Py_NewRef(arrow_result);
    call_target_take(&self->target, pool, owner, addresses, wait_ns);
    return (PyObject *)self;
}

static int small_calls_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct small_calls *self = (struct small_calls *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->array_type);
    Py_VISIT(self->frombuffer);
    Py_VISIT(self->result_type);
    Py_VISIT(self->arrow_classes);
    Py_VISIT(self->arrow_export);
    Py_VISIT(self->arrow_import);
    Py_VISIT(self->arrow_result);
    Py_VISIT(self->layout);
    Py_VISIT(self->columns_layout);
    return call_target_traverse(&self->target, visit, arg);
}

static int small_calls_clear(PyObject *object)
{
    struct small_calls *self = (struct small_calls *)object;
    Py_CLEAR(self->array_type);
    Py_CLEAR(self->frombuffer);
    Py_CLEAR(self->formats);
    Py_CLEAR(self->result_type);
    Py_CLEAR(self->arrow_classes);
    Py_CLEAR(self->arrow_export);
    Py_CLEAR(self->arrow_import);
    Py_CLEAR(self->arrow_result);
    call_target_clear(&self->target);
    Py_CLEAR(self->layout);
    Py_CLEAR(self->columns_layout);
    return 0;
}

static void small_calls_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    small_calls_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- The request ---- */

static bool take_column(const struct small_calls *self, PyObject *argument, Py_ssize_t index,
                        struct column *column)
{
    PyObject *class = (PyObject *)Py_TYPE(argument);
    const Py_UCS4 format = PyUnicode_READ_CHAR(self->formats, index);
    if (class == self->array_type)
        return column_take_numpy(argument, format, column);
    if (class == PyTuple_GET_ITEM(self->arrow_classes, index))
        return column_take_arrow(argument, self->arrow_export, format, column);
    return false;
}

/* The layout for so many rows: a new reference; NULL without an exception where there are too many
 * for a small batch. */
static PyObject *layout_for(struct small_calls *self, Py_ssize_t rows)
{
    PyObject *layout = self->layout;
    if (layout && PyLong_AsSsize_t(PyTuple_GET_ITEM(layout, LAYOUT_ROWS)) == rows)
        return Py_NewRef(layout);
    layout = PyObject_CallMethod(self->target.owner, "layout", "n", rows);
    if (layout == Py_None)
        Py_CLEAR(layout);
    if (layout)
        Py_XSETREF(self->layout, Py_NewRef(layout));
    return layout;
}

static void put(struct call *call, const void *data, Py_ssize_t length)
{
    call->parts[call->part_count++] = (struct iovec){ (void *)(uintptr_t)data, (size_t)length };
}

static void put_bytes(struct call *call, PyObject *bytes)
{
    put(call, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
}

/* Adds a column to the request; false, perhaps with an exception, if it is not to be taken here.
 * `rows` is 0 for the first. */
static bool put_column(struct small_calls *self, struct call *call, Py_ssize_t index,
                       const struct column *column, Py_ssize_t rows)
{
    if (rows && column->rows != rows)
        return false;
    if (!rows) {
        call->layout = layout_for(self, column->rows);
        if (!call->layout)
            return false;
        put_bytes(call, PyTuple_GET_ITEM(call->layout, LAYOUT_HEAD));
    }
    if (column->is_arrow && arrow_has_nulls(&column->array))
        return false;
    put(call, column->data, column->size);
    put_bytes(call, PyTuple_GET_ITEM(PyTuple_GET_ITEM(call->layout, LAYOUT_GAPS), index));
    call->is_arrow |= column->is_arrow;
    return true;
}

static bool begin_request(struct call *call, size_t columns)
{
    call->columns = PyMem_Malloc(columns * sizeof *call->columns);
    call->parts = PyMem_Malloc((1 + 2 * columns) * sizeof *call->parts);
    if (call->columns && call->parts)
        return true;
    PyErr_NoMemory();
    return false;
}

/* The request for some arguments; false, perhaps with an exception, where they are not
 * arrays that are taken here. */
static bool make_request(struct small_calls *self, struct call *call, PyObject *arguments)
{
    const Py_ssize_t count = PyUnicode_GET_LENGTH(self->formats);
    Py_ssize_t rows = 0;
    if (count == 0 || PyTuple_GET_SIZE(arguments) != count || !begin_request(call, (size_t)count))
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        struct column *column = &call->columns[i];
        if (!take_column(self, PyTuple_GET_ITEM(arguments, i), i, column))
            return false;
        call->column_count++;
        if (!put_column(self, call, i, column, rows))
            return false;
        rows = column->rows;
    }
    return true;
}

static void end_request(struct call *call)
{
    while (call->column_count > 0)
        column_give(&call->columns[--call->column_count]);
    PyMem_Free(call->columns);
    PyMem_Free(call->parts);
}

/* ---- The reply ---- */

static Py_ssize_t in_layout(const struct call *call, Py_ssize_t field)
{
    return PyLong_AsSsize_t(PyTuple_GET_ITEM(call->layout, field));
}

/* Where the reply is written: a bytearray, or memory of an array. NULL with an exception. */
static char *prepare_output(struct call *call)
{
    const Py_ssize_t capacity = in_layout(call, LAYOUT_REPLY_LENGTH);
    if (!call->is_arrow) {
        call->output = PyByteArray_FromStringAndSize(NULL, capacity);
        return call->output ? PyByteArray_AS_STRING(call->output) : NULL;
    }
    call->memory = arrow_memory_new((size_t)capacity, (size_t)in_layout(call, LAYOUT_REPLY_DATA));
    if (call->memory)
        return arrow_memory_reply(call->memory);
    PyErr_NoMemory();
    return NULL;
}

/* Whether a reply has the usual layout: numbers without nulls. */
static bool is_expected(const struct call *call, const char *reply)
{
    PyObject *head = PyTuple_GET_ITEM(call->layout, LAYOUT_REPLY_HEAD);
    return call->reply.status == UDFVM_STATUS_OK && !call->reply.kept &&
           call->reply.length == (uint64_t)in_layout(call, LAYOUT_REPLY_LENGTH) &&
           memcmp(reply, PyBytes_AS_STRING(head), (size_t)PyBytes_GET_SIZE(head)) == 0;
}

static PyObject *numpy_result(struct small_calls *self, struct call *call)
{
    PyObject *arguments[] = { NULL, call->output, self->result_type,
                              PyTuple_GET_ITEM(call->layout, LAYOUT_ROWS),
                              PyTuple_GET_ITEM(call->layout, LAYOUT_REPLY_DATA) };
    return PyObject_Vectorcall(self->frombuffer, arguments + 1, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               NULL);
}

static PyObject *arrow_result(struct small_calls *self, struct call *call)
{
    struct arrow_memory *memory = call->memory;
    call->memory = NULL;
    return arrow_import(memory, in_layout(call, LAYOUT_ROWS), self->arrow_import,
                        self->arrow_result);
}

/* Moves numbers that the guest left where they were, behind a gap, to where the usual reply has
 * them; the VM is given back. False: the reply has something else. */
static bool fetch_numbers(struct small_calls *self, struct call *call, char *output)
{
    uint64_t begin;
    const struct reply_layout expected = reply_layout_of(call->layout);
    if (!call->reply.kept || call->reply.status != UDFVM_STATUS_OK ||
        !reply_has_numbers(&expected, call->reply.data, call->reply.length, &begin))
        return false;
    Py_BEGIN_ALLOW_THREADS
    udfvm_copy(output + expected.data, (const char *)call->reply.data + begin, expected.size);
    call->reply.attend |= udfvm_pool_give(self->target.core, call->reply.kept) != 0;
    Py_END_ALLOW_THREADS
    call->reply.kept = NULL;
    return true;
}

/* Python reads all other replies, those that are larger than the output from where they lie. */
static PyObject *other_result(struct small_calls *self, struct call *call, const char *reply)
{
    PyObject *whole = PyByteArray_FromStringAndSize(call->reply.kept ? call->reply.data : reply,
                                                    (Py_ssize_t)call->reply.length);
    if (call->reply.kept)
        udfvm_pool_give(self->target.core, call->reply.kept);
    if (!whole)
        return NULL;
    PyObject *result = PyObject_CallMethod(self->target.owner, "read", "iOOO", call->reply.status,
                                           whole, call->layout,
                                           call->is_arrow ? Py_True : Py_False);
    Py_DECREF(whole);
    return result;
}

static PyObject *exchange(struct small_calls *self, struct call *call, PyObject *arguments)
{
    char *output = prepare_output(call);
    if (!output)
        return NULL;
    call->reply = (struct udfvm_pool_reply){
        .output = output,
        .capacity = (uint64_t)in_layout(call, LAYOUT_REPLY_LENGTH),
        .rows = (uint64_t)in_layout(call, LAYOUT_ROWS),
        .begun = call->begun,
    };
    if (call_target_call(&self->target, UDFVM_REQUEST_BATCH, call->parts, call->part_count,
                         &call->reply, &call->error) != UDFVM_OK)
        return call_target_failed(&self->target, &call->error, arguments);
    const bool has_numbers = is_expected(call, output) || fetch_numbers(self, call, output);
    if (!call_target_attend(&self->target, &call->reply))
        return NULL;
    if (!has_numbers)
        return other_result(self, call, output);
    return call->is_arrow ? arrow_result(self, call) : numpy_result(self, call);
}

PyDoc_STRVAR(call_doc, "call(arguments)\n\n"
                       "The result of a call with a tuple of arguments; NotImplemented where they, "
                       "or the pool, are none that it takes.");

static PyObject *small_calls_call(PyObject *object, PyObject *arguments)
{
    struct small_calls *self = (struct small_calls *)object;
    struct call call = { .begun = udfvm_ticks() };
    PyObject *result = NULL;
    if (!PyTuple_Check(arguments)) {
        PyErr_SetString(PyExc_TypeError, "the arguments are not a tuple");
        return NULL;
    }
    if (make_request(self, &call, arguments))
        result = exchange(self, &call, arguments);
    else if (!PyErr_Occurred())
        result = Py_NewRef(Py_NotImplemented);
    Py_XDECREF(call.layout);
    Py_XDECREF(call.output);
    arrow_memory_free(call.memory);
    end_request(&call);
    return result;
}

/* ---- The module ---- */

static PyMethodDef small_calls_methods[] = {
    { "call", small_calls_call, METH_O, call_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot small_calls_slots[] = {
    { Py_tp_doc,
      "SmallCalls((numpy.ndarray, numpy.frombuffer, result dtype), formats, (classes of "
      "pyarrow's arrays, pyarrow.Array._export_to_c and _import_from_c, result type), pool, owner, "
      "addresses of pool, image and limits, wait_ns)" },
    { Py_tp_new, small_calls_new },
    { Py_tp_dealloc, small_calls_dealloc },
    { Py_tp_traverse, small_calls_traverse },
    { Py_tp_clear, small_calls_clear },
    { Py_tp_methods, small_calls_methods },
    { 0, NULL },
};

PyTypeObject *small_calls_type;

static PyType_Spec small_calls_spec = {
    .name = "udfvm.call._fast_path.SmallCalls",
    .basicsize = sizeof(struct small_calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = small_calls_slots,
};

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &small_calls_spec, NULL);
    if (!type)
        return -1;
    small_calls_type = (PyTypeObject *)type; /* the module is not unloaded */
    int code = PyModule_AddType(module, small_calls_type);
    code = code < 0 ? code : row_calls_add(module);
    return code < 0 ? code : column_calls_add(module);
}

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, module_exec },
    { 0, NULL },
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "udfvm.call._fast_path",
    .m_doc = "Calls with small arrays of numpy and pyarrow.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__fast_path(void)
{
    return PyModuleDef_Init(&module_definition);
}
