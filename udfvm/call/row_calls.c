/* A call with a row of numbers, from Python's floats and ints to the result, without Python code
 * between them: see fast_path.c for why. Other arguments, other replies and every failure are left
 * to Python code. */
#include "row_calls.h"

#include <stdbool.h>
#include <string.h>

#include "call_target.h"
#include "udfvm_abi.h"

#define MAX_NUMBERS   14 /* of a row: it is a short request */
#define REPLY         256
#define LARGEST_EXACT (1ll << 53) /* up to there every integer is a float */

struct row_calls {
    PyObject_HEAD
    struct call_target target;
    uint32_t count, types[MAX_NUMBERS];
    uint32_t result; /* UDFVM_TYPE_x; that of no number: Python code reads all replies */
};

struct row {
    struct udfvm_row head;
    struct udfvm_value values[MAX_NUMBERS];
};

_Static_assert(sizeof(struct row) <= UDFVM_MAX_SHORT, "a row of numbers is a short request");

static bool take_types(struct row_calls *self, PyObject *types)
{
    const Py_ssize_t count = PyTuple_GET_SIZE(types);
    if (count == 0 || count > MAX_NUMBERS) {
        PyErr_SetString(PyExc_ValueError, "so many numbers are not taken");
        return false;
    }
    self->count = (uint32_t)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        const unsigned long type = PyLong_AsUnsignedLong(PyTuple_GET_ITEM(types, i));
        if (PyErr_Occurred())
            return false;
        self->types[i] = (uint32_t)type;
        if (type != UDFVM_TYPE_FLOAT64 && type != UDFVM_TYPE_INT64) {
            PyErr_SetString(PyExc_ValueError, "a parameter is no number");
            return false;
        }
    }
    return true;
}

static PyObject *row_calls_new(PyTypeObject *type, PyObject *arguments,
                               PyObject *Py_UNUSED(keywords))
{
    PyObject *types, *pool, *owner;
    unsigned int result;
    unsigned long long addresses[3], wait_ns;
    if (!PyArg_ParseTuple(arguments, "O!IOOKKKK", &PyTuple_Type, &types, &result, &pool, &owner,
                          &addresses[0], &addresses[1], &addresses[2], &wait_ns))
        return NULL;
    struct row_calls *self = (struct row_calls *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (!take_types(self, types)) {
        Py_DECREF(self);
        return NULL;
    }
    self->result = result;
    call_target_take(&self->target, pool, owner, addresses, wait_ns);
    return (PyObject *)self;
}

static int row_calls_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct row_calls *self = (struct row_calls *)object;
    Py_VISIT(Py_TYPE(object));
    return call_target_traverse(&self->target, visit, arg);
}

static int row_calls_clear(PyObject *object)
{
    struct row_calls *self = (struct row_calls *)object;
    call_target_clear(&self->target);
    return 0;
}

static void row_calls_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    row_calls_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

/* The value of an argument; false where it is not a number of Python that the type has exactly. */
static bool take_number(PyObject *argument, uint32_t type, struct udfvm_value *value)
{
    int overflow = 0;
    value->type = type;
    value->length = 0;
    if (type == UDFVM_TYPE_FLOAT64 && PyFloat_CheckExact(argument)) {
        value->real = PyFloat_AS_DOUBLE(argument);
        return true;
    }
    if (!PyLong_CheckExact(argument))
        return false;
    const long long integer = PyLong_AsLongLongAndOverflow(argument, &overflow);
    if (type == UDFVM_TYPE_INT64)
        value->integer = integer;
    else
        value->real = (double)integer;
    return !overflow &&
           (type == UDFVM_TYPE_INT64 || (integer >= -LARGEST_EXACT && integer <= LARGEST_EXACT));
}

static bool take_row(const struct row_calls *self, PyObject *arguments, struct row *row)
{
    if (!PyTuple_Check(arguments) || PyTuple_GET_SIZE(arguments) != (Py_ssize_t)self->count)
        return false;
    row->head = (struct udfvm_row){ .count = self->count };
    for (uint32_t i = 0; i < self->count; i++)
        if (!take_number(PyTuple_GET_ITEM(arguments, i), self->types[i], &row->values[i]))
            return false;
    return true;
}

/* The result of a reply that is a number, or null; NULL, perhaps with an exception, for others.
 * `output` is a copy, which the guest does not write to any more. */
static PyObject *number_in(const struct row_calls *self, const char *output,
                           const struct udfvm_pool_reply *reply)
{
    struct udfvm_value value;
    if (reply->status != UDFVM_STATUS_OK || reply->kept || reply->length < sizeof value)
        return NULL;
    memcpy(&value, output, sizeof value);
    if (value.type == UDFVM_TYPE_NULL)
        return Py_NewRef(Py_None);
    if (value.type != self->result)
        return NULL;
    if (value.type == UDFVM_TYPE_FLOAT64)
        return PyFloat_FromDouble(value.real);
    return value.type == UDFVM_TYPE_INT64 ? PyLong_FromLongLong(value.integer) : NULL;
}

/* Python reads all other replies, those that are larger than the output from where they lie. */
static PyObject *other_result(const struct row_calls *self, const char *output,
                              const struct udfvm_pool_reply *reply)
{
    PyObject *whole = PyBytes_FromStringAndSize(reply->kept ? reply->data : output,
                                                (Py_ssize_t)reply->length);
    if (reply->kept)
        udfvm_pool_give(self->target.core, reply->kept);
    if (!whole)
        return NULL;
    PyObject *result = PyObject_CallMethod(self->target.owner, "read", "iO", reply->status, whole);
    Py_DECREF(whole);
    return result;
}

PyDoc_STRVAR(call_doc, "call(arguments)\n\n"
                       "The result of a call with a tuple of arguments; NotImplemented where they "
                       "are none that it takes.");

static PyObject *row_calls_call(PyObject *object, PyObject *arguments)
{
    const struct row_calls *self = (struct row_calls *)object;
    struct row row;
    char output[REPLY];
    struct udfvm_pool_reply reply = {
        .output = output,
        .capacity = sizeof output,
        .begun = udfvm_ticks(),
    };
    struct udfvm_error error; /* filled where the call fails */
    if (!take_row(self, arguments, &row))
        return Py_NewRef(Py_NotImplemented);
    Py_INCREF(object); /* a signal's handler may drop the last reference */
    const struct iovec request = { &row, sizeof row.head + self->count * sizeof *row.values };
    const int code = call_target_call(&self->target, UDFVM_REQUEST_ROW, &request, 1, &reply,
                                      &error);
    PyObject *result = NULL;
    if (code != UDFVM_OK)
        result = call_target_failed(&self->target, &error, arguments);
    else if (call_target_attend(&self->target, &reply))
        result = number_in(self, output, &reply);
    if (code == UDFVM_OK && !result && !PyErr_Occurred())
        result = other_result(self, output, &reply);
    Py_DECREF(object);
    return result;
}

static PyMethodDef row_calls_methods[] = {
    { "call", row_calls_call, METH_O, call_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot row_calls_slots[] = {
    { Py_tp_doc, "RowCalls(types of the parameters, type of the result, pool, owner, addresses of "
                 "pool, image and limits, wait_ns)" },
    { Py_tp_new, row_calls_new },
    { Py_tp_dealloc, row_calls_dealloc },
    { Py_tp_traverse, row_calls_traverse },
    { Py_tp_clear, row_calls_clear },
    { Py_tp_methods, row_calls_methods },
    { 0, NULL },
};

static PyType_Spec row_calls_spec = {
    .name = "udfvm.call._fast_path.RowCalls",
    .basicsize = sizeof(struct row_calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = row_calls_slots,
};

int row_calls_add(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &row_calls_spec, NULL);
    if (!type)
        return -1;
    const int code = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return code;
}
