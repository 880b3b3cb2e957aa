/* Whether names still mean what they meant when a function was captured: asked before every call.
 * See bindings.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <opcode.h>

static PyObject *absent; /* stands for what a name does not mean yet */
static PyObject *length; /* as a key: of the binding that is the number of keys */

/* What a binding holds now, a new reference. A binding: a dictionary or another mapping and a key,
 * a function and the name of an attribute, a cell and anything. NULL with an exception. */
static PyObject *held_by(PyObject *container, PyObject *key)
{
    PyObject *value;
    if (PyDict_Check(container)) {
        value = PyDict_GetItemWithError(container, key);
        return value || !PyErr_Occurred() ? Py_NewRef(value ? value : absent) : NULL;
    }
    if (PyCell_Check(container)) {
        value = PyCell_Get(container);
        return value ? value : Py_NewRef(absent);
    }
    if (PyFunction_Check(container))
        return PyObject_GetAttr(container, key);
    value = PyObject_GetItem(container, key);
    if (value || !PyErr_ExceptionMatches(PyExc_KeyError))
        return value;
    PyErr_Clear();
    return Py_NewRef(absent);
}

/* 1: it holds what it held; 0: something else; -1: an exception. */
static int holds(PyObject *container, PyObject *key, PyObject *held)
{
    if (key == length) {
        const Py_ssize_t now = PyObject_Size(container), then = PyLong_AsSsize_t(held);
        return PyErr_Occurred() ? -1 : now == then;
    }
    PyObject *value = held_by(container, key);
    if (!value)
        return -1;
    const int same = value == held;
    Py_DECREF(value);
    return same;
}

static PyObject *bindings_changed(PyObject *module, PyObject *bindings)
{
    (void)module;
    if (!PyTuple_CheckExact(bindings) || PyTuple_GET_SIZE(bindings) % 3) {
        PyErr_SetString(PyExc_TypeError, "bindings are a tuple of containers, keys and values");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(bindings); i += 3) {
        const int same = holds(PyTuple_GET_ITEM(bindings, i), PyTuple_GET_ITEM(bindings, i + 1),
                               PyTuple_GET_ITEM(bindings, i + 2));
        if (same < 0)
            return NULL;
        if (!same)
            Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

static PyMethodDef methods[] = {
    { "changed", bindings_changed, METH_O,
      "Whether a binding holds another object than the tuple says." },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "_bindings", .m_size = -1,
                                         .m_methods = methods };

PyMODINIT_FUNC PyInit__bindings(void)
{
    PyObject *module = PyModule_Create(&definition);
    absent = module ? PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type) : NULL;
    length = absent ? PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type) : NULL;
    if (length && PyModule_AddObjectRef(module, "ABSENT", absent) == 0 &&
        PyModule_AddObjectRef(module, "LENGTH", length) == 0 &&
        PyModule_AddIntMacro(module, IMPORT_NAME) == 0)
        return module;
    Py_XDECREF(module);
    return NULL;
}
