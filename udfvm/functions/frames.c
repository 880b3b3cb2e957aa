/* Frames of other threads.
 *
 * CPython 3.11 collects garbage where an object is made, a frame included. What it frees may let
 * other threads run, and so the thread whose frame is being made may leave it, or end: the process
 * crashes. (Later versions collect between two instructions of Python.) Therefore the collector is
 * off while frames are made, and all are made without a chance for other threads to run.
 *
 * What is returned has no frame of who asks, which would then keep itself. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>

/* Whether a frame runs code of a package or of its modules. */
static bool is_of(PyFrameObject *frame, const char *package)
{
    const size_t length = strlen(package);
    PyObject *globals = PyFrame_GetGlobals(frame);
    PyObject *name = globals ? PyDict_GetItemString(globals, "__name__") : NULL;
    const char *text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    const bool is = text && strncmp(text, package, length) == 0 &&
                    (text[length] == 0 || text[length] == '.');
    PyErr_Clear(); /* of a name that is no text */
    Py_XDECREF(globals);
    return is;
}

/* The innermost frame of a package, from a frame on; NULL: there is none. */
static PyFrameObject *innermost_from(PyObject *innermost, const char *package)
{
    PyFrameObject *frame = (PyFrameObject *)Py_NewRef(innermost);
    while (frame && !is_of(frame, package)) {
        PyFrameObject *caller = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = caller;
    }
    return frame;
}

/* The frame and those that called it, as a list. */
static PyObject *stack_from(PyObject *innermost)
{
    PyObject *stack = PyList_New(0);
    PyFrameObject *frame = (PyFrameObject *)Py_NewRef(innermost);
    while (stack && frame) {
        if (PyList_Append(stack, (PyObject *)frame) < 0)
            Py_CLEAR(stack);
        PyFrameObject *caller = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = caller;
    }
    Py_XDECREF(frame);
    return stack;
}

/* The innermost frame of each thread, by its number. */
static PyObject *all_threads(void)
{
    PyObject *get = PySys_GetObject("_current_frames");
    if (get)
        return PyObject_CallNoArgs(get);
    PyErr_SetString(PyExc_RuntimeError, "sys._current_frames is missing");
    return NULL;
}

static PyObject *of_all(const char *package)
{
    PyObject *threads = all_threads(), *found = threads ? PyDict_New() : NULL, *thread, *innermost;
    Py_ssize_t at = 0;
    while (found && PyDict_Next(threads, &at, &thread, &innermost)) {
        PyFrameObject *frame = innermost_from(innermost, package);
        if (frame && PyDict_SetItem(found, thread, (PyObject *)frame) < 0)
            Py_CLEAR(found);
        Py_XDECREF(frame);
    }
    Py_XDECREF(threads);
    return found;
}

static PyObject *of_one(PyObject *thread)
{
    PyObject *threads = all_threads();
    PyObject *innermost = threads ? PyDict_GetItemWithError(threads, thread) : NULL;
    PyObject *stack = innermost ? stack_from(innermost) : PyErr_Occurred() ? NULL : PyList_New(0);
    Py_XDECREF(threads);
    return stack;
}

static PyObject *innermost_of(PyObject *module, PyObject *name)
{
    (void)module;
    const char *package = PyUnicode_AsUTF8(name);
    if (!package)
        return NULL;
    const int collects = PyGC_Disable();
    PyObject *found = of_all(package);
    if (collects)
        PyGC_Enable();
    return found;
}

static PyObject *of_thread(PyObject *module, PyObject *thread)
{
    (void)module;
    const int collects = PyGC_Disable();
    PyObject *stack = of_one(thread);
    if (collects)
        PyGC_Enable();
    return stack;
}

static PyMethodDef methods[] = {
    { "innermost_of", innermost_of, METH_O,
      "innermost_of(package)\n--\n\n"
      "Returns the innermost frame of a package of each thread that has one, by its number." },
    { "of_thread", of_thread, METH_O,
      "of_thread(thread)\n--\n\n"
      "Returns the frames of another thread, from the innermost to the outermost." },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "udfvm.functions._frames",
    .m_doc = "Frames of other threads: see frames.c.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__frames(void)
{
    return PyModule_Create(&definition);
}
