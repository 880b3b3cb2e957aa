/* _udfvm_agent: what the Python runtime needs of the micro-VM: the windows, seal and complete, and the fast path of one row.
 *
 * seal() and complete() are functions of the guest kernel at fixed addresses (udfvm_abi.h); the windows are memory at fixed addresses.
 * Between the end of seal() and complete() a row runs here without Python code of the runtime, because each page that a call dirties
 * must be put back after it.
 */
#include "function.h"

#include <malloc.h>
#include <string.h>

static const struct udfvm_call *current_call(void)
{
    return (const struct udfvm_call *)UDFVM_INPUT_BASE;
}

static const uint8_t *input_payload(void)
{
    return (const uint8_t *)UDFVM_INPUT_PAYLOAD;
}

static uint8_t *output_window(void)
{
    return (uint8_t *)UDFVM_OUTPUT_BASE;
}

static void guest_seal(void)
{
    ((void (*)(void))UDFVM_VECTOR_SEAL)();
}

static void guest_complete(uint64_t status, uint64_t length)
{
    ((void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE)(status, length);
}

/* ---- The loop that answers requests ---- */

struct server {
    struct function *function;                   /* NULL: rows go to the handler too */
    PyObject *handler;
    PyObject *failure;
    PyObject *begin;                             /* called at the beginning of each call; or None */
    PyObject *streams;
    PyObject *flush;
};

struct answer {
    uint64_t status, length;
};

static int answer_from_object(PyObject *object, struct answer *answer)
{
    unsigned long long status, length;
    if (!object || !PyArg_ParseTuple(object, "KK", &status, &length))
        return -1;
    *answer = (struct answer){ status, length };
    return 0;
}

/* The last resort: an exception whose report failed too. Needs no memory. */
static struct answer report_without_python(void)
{
    static const char type[] = "SystemError", message[] = "an exception could not be reported (is the guest's memory used up?)";
    struct udfvm_guest_error error = { .type_length = sizeof type - 1, .message_length = sizeof message - 1, .row = -1 };
    uint8_t *at = output_window();
    memcpy(at, &error, sizeof error);
    memcpy(at + sizeof error, type, sizeof type - 1);
    memcpy(at + sizeof error + sizeof type - 1, message, sizeof message - 1);
    return (struct answer){ UDFVM_STATUS_ERROR, sizeof error + sizeof type - 1 + sizeof message - 1 };
}

/* The pending exception, with its traceback attached. */
static PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

static struct answer report_exception(const struct server *server)
{
    struct answer answer;
    PyObject *exception = take_exception();
    PyObject *reply = exception ? PyObject_CallOneArg(server->failure, exception) : NULL;
    if (answer_from_object(reply, &answer) < 0) {
        PyErr_Clear();
        answer = report_without_python();
    }
    Py_XDECREF(reply);
    Py_XDECREF(exception);
    return answer;
}

static bool begin_call(const struct server *server)
{
    if (server->begin == Py_None)
        return true;
    PyObject *done = PyObject_CallNoArgs(server->begin);
    Py_XDECREF(done);
    return done != NULL;
}

static struct answer answer_request(const struct server *server, bool first)
{
    const struct udfvm_call *call = current_call();
    struct answer answer = { UDFVM_STATUS_OK, 0 };
    if (first && !begin_call(server))
        return report_exception(server);
    if (call->request == UDFVM_REQUEST_ROW && server->function) {
        if (function_row(server->function, input_payload(), call->length, output_window(), call->output_size, &answer.length) < 0)
            answer = report_exception(server);
        return answer;
    }
    PyObject *reply = PyObject_CallFunction(server->handler, "IK", (unsigned)call->request, (unsigned long long)call->length);
    if (answer_from_object(reply, &answer) < 0)
        answer = report_exception(server);
    Py_XDECREF(reply);
    return answer;
}

/* Whatever the function printed belongs to its call. */
static void flush_streams(const struct server *server)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(server->streams); i++) {
        PyObject *done = PyObject_CallMethodNoArgs(PyTuple_GET_ITEM(server->streams, i), server->flush);
        if (!done)
            PyErr_Clear();                       /* closed by the function */
        Py_XDECREF(done);
    }
}

PyDoc_STRVAR(serve_doc,
"serve(function, handler, failure, begin, streams)\n\n"
"Seals, then answers requests for ever. Rows go to `function` (a Function, or None), all others to handler(request, length), which\n"
"returns (status, length of the reply). failure(exception) writes the report of an exception and returns the same. begin(), if not\n"
"None, runs first in each call. The streams are flushed before each reply.");

static PyObject *agent_serve(PyObject *module, PyObject *arguments)
{
    struct server server;
    PyObject *function, *type;
    if (!PyArg_ParseTuple(arguments, "OOOOO!", &function, &server.handler, &server.failure, &server.begin, &PyTuple_Type,
                          &server.streams))
        return NULL;
    type = PyObject_GetAttrString(module, "Function");
    if (!type)
        return NULL;
    server.function = PyObject_TypeCheck(function, (PyTypeObject *)type) ? (struct function *)function : NULL;
    Py_DECREF(type);
    server.flush = PyUnicode_InternFromString("flush");
    if (!server.flush)
        return NULL;
    guest_seal();
    for (bool first = true;; first = false) {
        struct answer answer = answer_request(&server, first);
        flush_streams(&server);
        guest_complete(answer.status, answer.length);
    }
}

/* ---- Parts, for what Python code does ---- */

PyDoc_STRVAR(seal_doc, "seal()\n\nEnds the build phase. Returns once for each call, into a fresh copy of this state.");

static PyObject *agent_seal(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    guest_seal();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(complete_doc, "complete(status, length)\n\nReplies with the first `length` bytes of the output window.");

static PyObject *agent_complete(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    unsigned long long status, length;
    if (!PyArg_ParseTuple(arguments, "KK", &status, &length))
        return NULL;
    guest_complete(status, length);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(request_doc, "request() -> (request, length of the payload, bytes that the reply may have)");

static PyObject *agent_request(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    const struct udfvm_call *call = current_call();
    return Py_BuildValue("IKK", (unsigned)call->request, (unsigned long long)call->length, (unsigned long long)call->output_size);
}

PyDoc_STRVAR(input_doc, "input() -> memoryview\n\nThe payload of the request, read-only.");

static PyObject *agent_input(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyMemoryView_FromMemory((char *)input_payload(), (Py_ssize_t)current_call()->length, PyBUF_READ);
}

PyDoc_STRVAR(output_doc, "output() -> memoryview\n\nThe part of the output window that the reply may use.");

static PyObject *agent_output(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyMemoryView_FromMemory((char *)output_window(), (Py_ssize_t)current_call()->output_size, PyBUF_WRITE);
}

PyDoc_STRVAR(run_row_doc, "run_row(function, payload) -> bytes\n\nRuns a row as serve() does, on memory of the program: for warming up.");

static PyObject *agent_run_row(PyObject *module, PyObject *arguments)
{
    uint8_t reply[4096];
    uint64_t length;
    Py_buffer payload;
    PyObject *function, *type = PyObject_GetAttrString(module, "Function");
    if (!type)
        return NULL;
    int parsed = PyArg_ParseTuple(arguments, "O!y*", type, &function, &payload);
    Py_DECREF(type);
    if (!parsed)
        return NULL;
    int code = function_row((struct function *)function, payload.buf, (uint64_t)payload.len, reply, sizeof reply, &length);
    PyBuffer_Release(&payload);
    return code < 0 ? NULL : PyBytes_FromStringAndSize((const char *)reply, length < sizeof reply ? (Py_ssize_t)length : 0);
}

static PyMethodDef agent_methods[] = {
    { "serve", agent_serve, METH_VARARGS, serve_doc },
    { "seal", agent_seal, METH_NOARGS, seal_doc },
    { "complete", agent_complete, METH_VARARGS, complete_doc },
    { "request", agent_request, METH_NOARGS, request_doc },
    { "input", agent_input, METH_NOARGS, input_doc },
    { "output", agent_output, METH_NOARGS, output_doc },
    { "run_row", agent_run_row, METH_VARARGS, run_row_doc },
    { NULL, NULL, 0, NULL },
};

/* Bins that are merged in bulk (fast bins) scatter writes over the heap, and giving memory back costs system calls. */
static void tune_allocator(void)
{
#ifdef __GLIBC__
    mallopt(M_MXFAST, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
}

static int agent_exec(PyObject *module)
{
    tune_allocator();
    PyObject *type = PyType_FromModuleAndSpec(module, &function_type_spec, NULL);
    if (!type)
        return -1;
    int code = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    if (code == 0)
        code = PyModule_AddIntConstant(module, "ABI_VERSION", UDFVM_ABI_VERSION);
    return code;
}

static PyModuleDef_Slot agent_slots[] = {
    { Py_mod_exec, agent_exec },
    { 0, NULL },
};

static struct PyModuleDef agent_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_udfvm_agent",
    .m_doc = "The micro-VM, seen from the Python runtime in it.",
    .m_methods = agent_methods,
    .m_slots = agent_slots,
};

PyMODINIT_FUNC PyInit__udfvm_agent(void)
{
    return PyModuleDef_Init(&agent_module);
}
