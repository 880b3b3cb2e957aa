/* See host_caller.h. Python code that made the call would be several pages of frames, objects and
 * bytecode: the processor has forgotten them after an exit, and those that it writes are put back
 * after the call. */
#include "python/host_caller.h"

#include <stdbool.h>

#include "shared/host_call.h"
#include "udfvm_abi.h"

#define MAX_NUMBERS 14 /* of a row, which lies on the stack */

struct host_caller {
    PyObject_HEAD
    PyObject *name; /* bytes; NULL: Python code makes all calls */
    uint32_t count, types[MAX_NUMBERS];
};

struct number_row {
    struct udfvm_row head;
    struct udfvm_value values[MAX_NUMBERS];
};

static void host_caller_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    Py_CLEAR(((struct host_caller *)object)->name);
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject *host_call_failed(const char *name, int64_t result)
{
    return PyErr_Format(PyExc_RuntimeError, "%s: %s", name, host_call_error(result));
}

/* False for what is no number of exactly this type, and for integers of more than 64 bits. */
static bool take_number(PyObject *argument, uint32_t type, struct udfvm_value *value)
{
    int overflow = 0;
    *value = (struct udfvm_value){ .type = type };
    if (type == UDFVM_TYPE_FLOAT64 && PyFloat_CheckExact(argument)) {
        value->real = PyFloat_AS_DOUBLE(argument);
        return true;
    }
    if (type != UDFVM_TYPE_INT64 || !PyLong_CheckExact(argument))
        return false;
    value->integer = PyLong_AsLongLongAndOverflow(argument, &overflow);
    return !overflow;
}

static bool take_row(const struct host_caller *self, PyObject *arguments, struct number_row *row)
{
    if (!self->name || PyTuple_GET_SIZE(arguments) != (Py_ssize_t)self->count)
        return false;
    row->head = (struct udfvm_row){ .count = self->count };
    for (uint32_t i = 0; i < self->count; i++)
        if (!take_number(PyTuple_GET_ITEM(arguments, i), self->types[i], &row->values[i]))
            return false;
    return true;
}

static PyObject *call_otherwise(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    PyObject *method = PyObject_GetAttrString(object, "otherwise");
    PyObject *result = method ? PyObject_Call(method, arguments, keywords) : NULL;
    Py_XDECREF(method);
    return result;
}

static PyObject *host_caller_call(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    const struct host_caller *self = (const struct host_caller *)object;
    struct number_row row;
    struct udfvm_value reply;
    if ((keywords && PyDict_GET_SIZE(keywords)) || !take_row(self, arguments, &row))
        return call_otherwise(object, arguments, keywords);
    const char *name = PyBytes_AS_STRING(self->name);
    const int64_t got = host_call_into(name, (uint64_t)PyBytes_GET_SIZE(self->name), &row,
                                       sizeof row.head + self->count * sizeof *row.values, &reply,
                                       sizeof reply);
    if (got < 0)
        return host_call_failed(name, got);
    if (got == sizeof reply && reply.type == UDFVM_TYPE_FLOAT64)
        return PyFloat_FromDouble(reply.real);
    if (got == sizeof reply && reply.type == UDFVM_TYPE_INT64)
        return PyLong_FromLongLong(reply.integer);
    if (got == sizeof reply && reply.type == UDFVM_TYPE_NULL)
        Py_RETURN_NONE;
    return PyErr_Format(PyExc_RuntimeError, "%s: the host function's result is no number", name);
}

PyDoc_STRVAR(take_numbers_doc,
             "take_numbers(name, types)\n\n"
             "Makes calls with numbers of these types (TYPE_INT64, TYPE_FLOAT64) here, of a host "
             "function that returns numbers or None. otherwise(*arguments, **keywords) makes all "
             "others. Where there are too many parameters, it makes all.");

static PyObject *host_caller_take_numbers(PyObject *object, PyObject *arguments)
{
    struct host_caller *self = (struct host_caller *)object;
    PyObject *name, *types;
    if (!PyArg_ParseTuple(arguments, "SO!", &name, &PyTuple_Type, &types))
        return NULL;
    const Py_ssize_t count = PyTuple_GET_SIZE(types);
    if (count > MAX_NUMBERS)
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < count; i++)
        self->types[i] = (uint32_t)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(types, i));
    if (PyErr_Occurred())
        return NULL;
    self->count = (uint32_t)count;
    Py_XSETREF(self->name, Py_NewRef(name));
    Py_RETURN_NONE;
}

static PyMethodDef host_caller_methods[] = {
    { "take_numbers", host_caller_take_numbers, METH_VARARGS, take_numbers_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot host_caller_slots[] = {
    { Py_tp_doc, "What makes calls of a host function" },
    { Py_tp_dealloc, host_caller_dealloc },
    { Py_tp_call, host_caller_call },
    { Py_tp_methods, host_caller_methods },
    { 0, NULL },
};

PyType_Spec host_caller_type_spec = {
    .name = "_udfvm_agent.HostCaller",
    .basicsize = sizeof(struct host_caller),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = host_caller_slots,
};
