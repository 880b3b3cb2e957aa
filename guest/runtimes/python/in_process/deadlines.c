#include "python/in_process/deadlines.h"

/* The entry of a thread is `end` from now on; NULL or None: it has none. */
static int set_end(PyObject *ends, PyObject *thread, PyObject *end)
{
    if (end && end != Py_None)
        return PyDict_SetItem(ends, thread, end);
    const int has = PyDict_Contains(ends, thread);
    return has > 0 ? PyDict_DelItem(ends, thread) : has;
}

/* Whatever exception the call ended with stays. */
static void put_back(PyObject *ends, PyObject *thread, PyObject *outer)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (set_end(ends, thread, outer) < 0)
        PyErr_WriteUnraisable(ends);
    PyErr_Restore(type, value, traceback);
}

PyObject *call_until(PyObject *function, PyObject *ends, PyObject *end)
{
    const unsigned long number = PyThread_get_thread_ident();
    PyObject *thread = PyLong_FromUnsignedLong(number);
    PyObject *outer = thread ? Py_XNewRef(PyDict_GetItemWithError(ends, thread)) : NULL;
    PyObject *result = NULL;
    if (thread && !PyErr_Occurred()) {
        if (outer) /* what stopped the code around is not for this function: it comes again */
            PyThreadState_SetAsyncExc(number, NULL);
        if (set_end(ends, thread, end) == 0)
            result = PyObject_CallNoArgs(function);
        if (end != Py_None && PyDict_GetItem(ends, thread) != end) /* it was stopped */
            PyThreadState_SetAsyncExc(number, NULL);
        put_back(ends, thread, outer);
    }
    Py_XDECREF(outer);
    Py_XDECREF(thread);
    return result;
}

static int stop(PyObject *thread, PyObject *exception)
{
    const unsigned long number = PyLong_AsUnsignedLong(thread);
    if (number == (unsigned long)-1 && PyErr_Occurred())
        return -1;
    PyThreadState_SetAsyncExc(number, exception);
    return 0;
}

PyObject *agent_stop_late(PyObject *module, PyObject *arguments)
{
    PyObject *ends, *now, *again, *exception, *thread, *end;
    Py_ssize_t position = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!OOO", &PyDict_Type, &ends, &now, &again, &exception))
        return NULL;
    while (PyDict_Next(ends, &position, &thread, &end)) {
        const int late = PyObject_RichCompareBool(end, now, Py_LE);
        /* The keys stay, so the dictionary may be walked on. */
        if (late < 0 ||
            (late && (stop(thread, exception) < 0 || PyDict_SetItem(ends, thread, again) < 0)))
            return NULL;
    }
    Py_RETURN_NONE;
}
