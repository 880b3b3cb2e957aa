/* udfvm.call._fast_path: a call with small numpy arrays, from the arguments to the result, without
 * Python code between them.
 *
 * An exit from a VM leaves the processor cold, so what Python code does before and after it costs
 * several times what it would in a loop: its bytecode, its objects and the interpreter all come
 * from memory again. Here are calls with contiguous arrays of numbers; all others, and every
 * failure, are left to Python code. numpy is used through the buffer protocol and its Python
 * interface: nothing of it is needed to build.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>

#include "udfvm_abi.h"
#include "api.h"

/* The fields of udfvm.codec.number_streams.NumberLayout that are used here. */
enum {
    LAYOUT_ROWS = 0,
    LAYOUT_HEAD = 1,
    LAYOUT_GAPS = 3,
    LAYOUT_REQUEST_LENGTH = 4,
    LAYOUT_REPLY_HEAD = 5,
    LAYOUT_REPLY_DATA = 6,
    LAYOUT_REPLY_LENGTH = 7
};

struct small_calls {
    PyObject_HEAD PyObject *array_type; /* numpy.ndarray */
    PyObject *frombuffer;               /* numpy.frombuffer */
    PyObject *formats;                  /* of the parameters, a character each: str */
    PyObject *result_type;              /* a numpy.dtype */
    PyObject *pool;                     /* udfvm.vmm.Pool */
    PyObject *owner;  /* has the methods that are called by name; keeps the image and the limits */
    PyObject *layout; /* of the last call: batches tend to be of one size */
    udfvm_pool *core;
    udfvm_image *image;
    const struct udfvm_limits *limits;
    unsigned long long wait_ns;
};

/* A call under way. */
struct call {
    PyObject *layout;
    char *request;
    size_t request_length;
    PyObject *output; /* bytearray */
    struct udfvm_pool_reply reply;
    struct udfvm_error error;
};

static PyObject *small_calls_new(PyTypeObject *type, PyObject *arguments,
                                 PyObject *Py_UNUSED(keywords))
{
    PyObject *array_type, *frombuffer, *formats, *result_type, *pool, *owner;
    unsigned long long core, image, limits, wait_ns;
    if (!PyArg_ParseTuple(arguments, "OOUOOOKKKK", &array_type, &frombuffer, &formats, &result_type,
                          &pool, &owner, &core, &image, &limits, &wait_ns))
        return NULL;
    struct small_calls *self = (struct small_calls *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->array_type = Py_NewRef(array_type);
    self->frombuffer = Py_NewRef(frombuffer);
    self->formats = Py_NewRef(formats);
    self->result_type = Py_NewRef(result_type);
    self->pool = Py_NewRef(pool);
    self->owner = Py_NewRef(owner);
    self->core = (udfvm_pool *)(uintptr_t)core;
    self->image = (udfvm_image *)(uintptr_t)image;
    self->limits = (const struct udfvm_limits *)(uintptr_t)limits;
    self->wait_ns = wait_ns;
    return (PyObject *)self;
}

static int small_calls_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct small_calls *self = (struct small_calls *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->array_type);
    Py_VISIT(self->frombuffer);
    Py_VISIT(self->result_type);
    Py_VISIT(self->pool);
    Py_VISIT(self->owner);
    Py_VISIT(self->layout);
    return 0;
}

static int small_calls_clear(PyObject *object)
{
    struct small_calls *self = (struct small_calls *)object;
    Py_CLEAR(self->array_type);
    Py_CLEAR(self->frombuffer);
    Py_CLEAR(self->formats);
    Py_CLEAR(self->result_type);
    Py_CLEAR(self->pool);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->layout);
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

/* The buffer of an array that is contiguous, of one dimension, not empty, and stored as the
 * character says. 0: it is none; no exception. */
static bool take_array(const struct small_calls *self, PyObject *argument, Py_UCS4 format,
                       Py_buffer *buffer)
{
    if ((PyObject *)Py_TYPE(argument) != self->array_type)
        return false;
    if (PyObject_GetBuffer(argument, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        PyErr_Clear();
        return false;
    }
    const char *found = buffer->format ? buffer->format : "B";
    const char code = *found == 'q' ? 'l' : *found == 'Q' ? 'L' : *found; /* both are of 8 bytes */
    if ((Py_UCS4)code == format && found[1] == '\0' && buffer->ndim == 1 && buffer->shape[0] > 0)
        return true;
    PyBuffer_Release(buffer);
    return false;
}

/* The layout for so many rows: a new reference; NULL without an exception where there are too many
 * for a small batch. */
static PyObject *layout_for(struct small_calls *self, Py_ssize_t rows)
{
    PyObject *layout = self->layout;
    if (layout && PyLong_AsSsize_t(PyTuple_GET_ITEM(layout, LAYOUT_ROWS)) == rows)
        return Py_NewRef(layout);
    layout = PyObject_CallMethod(self->owner, "layout", "n", rows);
    if (layout == Py_None)
        Py_CLEAR(layout);
    if (layout)
        Py_XSETREF(self->layout, Py_NewRef(layout));
    return layout;
}

static bool begin_request(struct small_calls *self, struct call *call, Py_ssize_t rows)
{
    call->layout = layout_for(self, rows);
    if (!call->layout)
        return false;
    PyObject *head = PyTuple_GET_ITEM(call->layout, LAYOUT_HEAD);
    call->request = PyMem_Malloc(
        (size_t)PyLong_AsSsize_t(PyTuple_GET_ITEM(call->layout, LAYOUT_REQUEST_LENGTH)));
    if (!call->request) {
        PyErr_NoMemory();
        return false;
    }
    call->request_length = (size_t)PyBytes_GET_SIZE(head);
    memcpy(call->request, PyBytes_AS_STRING(head), call->request_length);
    return true;
}

static void put(struct call *call, const void *data, Py_ssize_t length)
{
    memcpy(call->request + call->request_length, data, (size_t)length);
    call->request_length += (size_t)length;
}

/* The request for some arguments; false, perhaps with an exception, where they are not
 * arrays that are taken here. */
static bool make_request(struct small_calls *self, struct call *call, PyObject *arguments)
{
    const Py_ssize_t count = PyUnicode_GET_LENGTH(self->formats);
    Py_ssize_t rows = 0;
    if (PyTuple_GET_SIZE(arguments) != count)
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_buffer buffer;
        if (!take_array(self, PyTuple_GET_ITEM(arguments, i), PyUnicode_READ_CHAR(self->formats, i),
                        &buffer))
            return false;
        const bool fits = rows ? buffer.shape[0] == rows
                               : begin_request(self, call, buffer.shape[0]);
        if (fits) {
            PyObject *gap = PyTuple_GET_ITEM(PyTuple_GET_ITEM(call->layout, LAYOUT_GAPS), i);
            rows = buffer.shape[0];
            put(call, buffer.buf, buffer.len);
            put(call, PyBytes_AS_STRING(gap), PyBytes_GET_SIZE(gap));
        }
        PyBuffer_Release(&buffer);
        if (!fits)
            return false;
    }
    return count > 0;
}

/* ---- The reply ---- */

/* Copies a reply that is larger than the output from where it lies. */
static int take_whole_reply(struct small_calls *self, struct call *call)
{
    PyObject *whole = PyByteArray_FromStringAndSize(call->reply.data,
                                                    (Py_ssize_t)call->reply.length);
    udfvm_pool_give(self->core, call->reply.kept);
    if (!whole)
        return -1;
    Py_SETREF(call->output, whole);
    return 0;
}

static PyObject *result_of(struct small_calls *self, struct call *call)
{
    PyObject *head = PyTuple_GET_ITEM(call->layout, LAYOUT_REPLY_HEAD),
             *length = PyTuple_GET_ITEM(call->layout, LAYOUT_REPLY_LENGTH);
    const bool expected = PyByteArray_GET_SIZE(call->output) == PyLong_AsSsize_t(length) &&
                          memcmp(PyByteArray_AS_STRING(call->output), PyBytes_AS_STRING(head),
                                 (size_t)PyBytes_GET_SIZE(head)) == 0;
    if (call->reply.status != UDFVM_STATUS_OK || !expected)
        return PyObject_CallMethod(self->owner, "read", "iOO", call->reply.status, call->output,
                                   call->layout);
    PyObject *arguments[] = { NULL, call->output, self->result_type,
                              PyTuple_GET_ITEM(call->layout, LAYOUT_ROWS),
                              PyTuple_GET_ITEM(call->layout, LAYOUT_REPLY_DATA) };
    return PyObject_Vectorcall(self->frombuffer, arguments + 1, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               NULL);
}

static PyObject *exchange(struct small_calls *self, struct call *call, PyObject *arguments)
{
    const Py_ssize_t capacity = PyLong_AsSsize_t(
        PyTuple_GET_ITEM(call->layout, LAYOUT_REPLY_LENGTH));
    int code;
    call->output = PyByteArray_FromStringAndSize(NULL, capacity);
    if (!call->output)
        return NULL;
    call->reply = (struct udfvm_pool_reply){ .output = PyByteArray_AS_STRING(call->output),
                                             .capacity = (uint64_t)capacity };
    Py_BEGIN_ALLOW_THREADS code = udfvm_pool_call(
        self->core, self->image, self->wait_ns, UDFVM_REQUEST_BATCH, call->request,
        call->request_length, self->limits, &call->reply, &call->error);
    Py_END_ALLOW_THREADS if (code != UDFVM_OK) return PyObject_CallMethod(
        self->owner, "failed", "KO", (unsigned long long)(uintptr_t)&call->error, arguments);
    if (call->reply.kept ? take_whole_reply(self, call) < 0
                         : call->reply.length < (uint64_t)capacity &&
                               PyByteArray_Resize(call->output, (Py_ssize_t)call->reply.length) < 0)
        return NULL;
    if (call->reply.attend) {
        PyObject *done = PyObject_CallMethod(self->pool, "attend", "I", call->reply.in_use);
        Py_XDECREF(done);
        if (!done)
            return NULL;
    }
    return result_of(self, call);
}

PyDoc_STRVAR(call_doc, "call(arguments)\n\n"
                       "The result of a call with a tuple of arguments; NotImplemented where they, "
                       "or the pool, are none that it takes.");

static PyObject *small_calls_call(PyObject *object, PyObject *arguments)
{
    struct small_calls *self = (struct small_calls *)object;
    struct call call = { .layout = NULL };
    PyObject *result = NULL;
    if (!PyTuple_Check(arguments)) {
        PyErr_SetString(PyExc_TypeError, "the arguments are no tuple");
        return NULL;
    }
    if (make_request(self, &call, arguments))
        result = exchange(self, &call, arguments);
    else if (!PyErr_Occurred())
        result = Py_NewRef(Py_NotImplemented);
    Py_XDECREF(call.layout);
    Py_XDECREF(call.output);
    PyMem_Free(call.request);
    return result;
}

/* ---- The module ---- */

static PyMethodDef small_calls_methods[] = {
    { "call", small_calls_call, METH_O, call_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot small_calls_slots[] = {
    { Py_tp_doc, "SmallCalls(numpy.ndarray, numpy.frombuffer, formats, result dtype, pool, owner, "
                 "addresses of pool, image and limits, wait_ns)" },
    { Py_tp_new, small_calls_new },
    { Py_tp_dealloc, small_calls_dealloc },
    { Py_tp_traverse, small_calls_traverse },
    { Py_tp_clear, small_calls_clear },
    { Py_tp_methods, small_calls_methods },
    { 0, NULL },
};

static PyType_Spec small_calls_type = {
    .name = "udfvm.call._fast_path.SmallCalls",
    .basicsize = sizeof(struct small_calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = small_calls_slots,
};

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &small_calls_type, NULL);
    if (!type)
        return -1;
    const int code = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return code;
}

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, module_exec },
    { 0, NULL },
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "udfvm.call._fast_path",
    .m_doc = "Calls with small numpy arrays.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__fast_path(void)
{
    return PyModuleDef_Init(&module_definition);
}
