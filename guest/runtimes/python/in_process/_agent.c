/* _udfvm_agent for a runtime that is in the program's own process, where there is no micro-VM. It
 * has what the one of the micro-VM has, but for what is about that, and answers one request at a
 * time. */
#include "python/in_process/windows.h"

#include "python/in_process/deadlines.h"
#include "python/parts.h"
#include "python/server.h"

_Thread_local uint8_t *in_process_input, *in_process_output;

/* ---- A loaded function ---- */

struct program {
    PyObject_HEAD
    struct server server;
    PyObject *arguments; /* of serve(): what the server refers to */
};

static int program_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct program *)object)->arguments);
    return 0;
}

static int program_clear(PyObject *object)
{
    Py_CLEAR(((struct program *)object)->arguments);
    return 0;
}

static void program_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    program_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(answer_doc, "answer(first) -> (status, length of the reply)\n\n"
                         "Answers the request in the input window; the first of its call, or not.");

static PyObject *program_answer(PyObject *object, PyObject *first)
{
    const struct program *program = (const struct program *)object;
    const int begins = PyObject_IsTrue(first);
    if (begins < 0)
        return NULL;
    if (!program->arguments || !in_process_input) {
        PyErr_SetString(PyExc_RuntimeError, "there is no request");
        return NULL;
    }
    const struct answer answer = server_answer(&program->server, begins);
    return Py_BuildValue("KK", (unsigned long long)answer.status,
                         (unsigned long long)answer.length);
}

static PyMethodDef program_methods[] = {
    { "answer", program_answer, METH_O, answer_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot program_slots[] = {
    { Py_tp_doc, "What serve() returns: a loaded function, which answers requests." },
    { Py_tp_methods, program_methods },
    { Py_tp_dealloc, program_dealloc },
    { Py_tp_traverse, program_traverse },
    { Py_tp_clear, program_clear },
    { 0, NULL },
};

static PyType_Spec program_type_spec = {
    .name = "_udfvm_agent.Program",
    .basicsize = sizeof(struct program),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = program_slots,
};

PyDoc_STRVAR(serve_doc, "serve(function, stream, handler, failure, begin) -> Program\n\n"
                        "As in a micro-VM, but that requests are answered one by one.");

static PyObject *agent_serve(PyObject *module, PyObject *arguments)
{
    struct server server;
    if (server_from_arguments(module, arguments, &server) < 0)
        return NULL;
    PyObject *type = PyObject_GetAttrString(module, "Program");
    struct program *program = type ? PyObject_GC_New(struct program, (PyTypeObject *)type) : NULL;
    Py_XDECREF(type);
    if (!program)
        return NULL;
    program->server = server;
    program->arguments = Py_NewRef(arguments);
    PyObject_GC_Track((PyObject *)program);
    return (PyObject *)program;
}

/* ---- The windows ---- */

PyDoc_STRVAR(within_doc, "within(input, output, function, ends, end) -> what it returns\n\n"
                         "Calls it while these addresses are those of this thread's windows, and "
                         "stop_late() ends it.");

static PyObject *agent_within(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    unsigned long long input, output;
    PyObject *function, *ends, *end;
    if (!PyArg_ParseTuple(arguments, "KKOO!O", &input, &output, &function, &PyDict_Type, &ends,
                          &end))
        return NULL;
    uint8_t *const outer_input = in_process_input, *const outer_output = in_process_output;
    in_process_input = (uint8_t *)(uintptr_t)input;
    in_process_output = (uint8_t *)(uintptr_t)output;
    PyObject *result = call_until(function, ends, end);
    in_process_input = outer_input;
    in_process_output = outer_output;
    return result;
}

PyDoc_STRVAR(outside_doc, "outside(function, ends) -> what the function returns\n\n"
                          "Calls code of the program, which stop_late() does not end.");

static PyObject *agent_outside(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *function, *ends;
    if (!PyArg_ParseTuple(arguments, "OO!", &function, &PyDict_Type, &ends))
        return NULL;
    return call_until(function, ends, Py_None);
}

PyDoc_STRVAR(stop_late_doc, "stop_late(ends, now, again, exception)\n\n"
                            "Raises the exception in threads whose call is late.");

static PyMethodDef agent_methods[] = {
    PARTS_METHODS,
    { "serve", agent_serve, METH_VARARGS, serve_doc },
    { "within", agent_within, METH_VARARGS, within_doc },
    { "outside", agent_outside, METH_VARARGS, outside_doc },
    { "stop_late", agent_stop_late, METH_VARARGS, stop_late_doc },
    { NULL, NULL, 0, NULL },
};

static int agent_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &program_type_spec, NULL);
    const int code = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return code < 0 ? -1 : parts_add(module);
}

static PyModuleDef_Slot agent_slots[] = {
    { Py_mod_exec, agent_exec },
    { 0, NULL },
};

static struct PyModuleDef agent_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_udfvm_agent",
    .m_doc = "The runtime's interface to its host, in the host's own process.",
    .m_methods = agent_methods,
    .m_slots = agent_slots,
};

PyMODINIT_FUNC PyInit__udfvm_agent(void)
{
    return PyModuleDef_Init(&agent_module);
}
