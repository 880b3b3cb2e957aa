/* _udfvm_agent: the Python runtime's interface to the micro-VM: the windows, seal and complete, and
 * the fast path of one row.
 *
 * seal() and complete() are functions of the guest kernel at fixed addresses (udfvm_abi.h). The
 * windows are memory at fixed addresses. Between the end of seal() and complete() a row runs here
 * without Python code of the runtime, because each page that a call dirties must be restored after
 * it.
 */
#include "python/aggregate.h"
#include "python/allocators.h"
#include "python/constants.h"
#include "python/garbage.h"
#include "python/generators.h"
#include "python/numbers_function.h"
#include "shared/exchange.h"
#include "shared/host_call.h"

#include <stdio.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>

#define NEAR_TOP 1536u /* bytes of a page: the frames of a handler and of what calls it fit */

static uint8_t *output_window(void)
{
    return (uint8_t *)UDFVM_OUTPUT_BASE;
}

/* ---- The loop that answers requests ---- */

struct server {
    struct scalar_function *function; /* of these three at most one is not NULL */
    struct numbers_function *numbers_function;
    struct aggregate *aggregate;
    struct stream_object *stream;
    PyObject *handler;
    PyObject *failure;
    PyObject *begin; /* called at the beginning of each call; or None */
};

static int answer_from_object(PyObject *object, struct answer *answer)
{
    unsigned long long status, length;
    if (!object || !PyArg_ParseTuple(object, "KK", &status, &length))
        return -1;
    *answer = (struct answer){ status, length };
    return 0;
}

/* The last resort, if the report of an exception failed, too. It needs no memory. */
static struct answer report_without_python(void)
{
    static const char type[] = "SystemError",
                      message[] =
                          "an exception could not be reported (is the guest's memory used up?)";
    struct udfvm_guest_error error = { .type_length = sizeof type - 1,
                                       .message_length = sizeof message - 1,
                                       .row = -1 };
    uint8_t *at = output_window();
    memcpy(at, &error, sizeof error);
    memcpy(at + sizeof error, type, sizeof type - 1);
    memcpy(at + sizeof error + sizeof type - 1, message, sizeof message - 1);
    return (struct answer){ UDFVM_STATUS_ERROR,
                            sizeof error + sizeof type - 1 + sizeof message - 1 };
}

static struct answer report_exception(const struct server *server, int64_t row)
{
    struct answer answer;
    PyObject *exception = take_exception();
    PyObject *reply = exception
                          ? PyObject_CallFunction(server->failure, "OL", exception, (long long)row)
                          : NULL;
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
    if (generators_begin_call() < 0)
        return false;
    if (server->begin == Py_None)
        return true;
    PyObject *done = PyObject_CallNoArgs(server->begin);
    Py_XDECREF(done);
    return done != NULL;
}

/* As answer_in_c(), for a batch of a NumbersFunction. */
static int answer_numbers_batch(const struct server *server, struct answer *answer)
{
    const struct udfvm_call *call = exchange_call();
    PyObject *finished = NULL;
    int code = -1;
    switch (numbers_function_batch(server->numbers_function, server->stream, call->length,
                                   output_window(), call->output_size, &answer->length,
                                   &finished)) {
    case NUMBERS_WRITTEN:
        code = 1;
        break;
    case NUMBERS_IN_PLACE:
        answer->status = UDFVM_STATUS_IN_PLACE;
        code = 1;
        break;
    case NUMBERS_FINISHED:
        code = answer_from_object(finished, answer) < 0 ? -1 : 1;
        break;
    case NUMBERS_NOT_CALLED:
        code = 0;
        break;
    case NUMBERS_RAISED:
        break;
    }
    Py_XDECREF(finished);
    return code;
}

/* Answers a request without Python code of the runtime. Returns 1 with *answer; 0 if the handler
 * must answer; -1 with an exception, in *row. */
static int answer_in_c(const struct server *server, struct answer *answer, int64_t *row)
{
    const struct udfvm_call *call = exchange_call();
    int code;
    if (server->function && call->request == UDFVM_REQUEST_ROW)
        code = scalar_function_row(server->function, exchange_payload(), call->length,
                                   output_window(), call->output_size, &answer->length);
    else if (server->function && server->stream && call->request == UDFVM_REQUEST_BATCH)
        code = scalar_function_batch(server->function, server->stream, exchange_payload(),
                                     call->length, output_window(), call->output_size,
                                     &answer->length, row);
    else if (server->aggregate && call->request == UDFVM_REQUEST_AGGREGATE)
        return aggregate_answer(server->aggregate, &answer->length, row);
    else
        return server->numbers_function && call->request == UDFVM_REQUEST_BATCH
                   ? answer_numbers_batch(server, answer)
                   : 0;
    return code < 0 ? -1 : 1;
}

static struct answer answer_request(const struct server *server, bool first)
{
    const struct udfvm_call *call = exchange_call();
    struct answer answer = { UDFVM_STATUS_OK, 0 };
    int64_t row = -1;
    if (first && !begin_call(server))
        return report_exception(server, row);
    if (call->request != UDFVM_REQUEST_FETCH && row_begin() < 0) /* that goes on with a row */
        return report_exception(server, row);
    int answered = answer_in_c(server, &answer, &row);
    if (answered > 0)
        return answer;
    PyObject *reply = NULL;
    if (answered == 0)
        reply = PyObject_CallFunction(server->handler, "IK", (unsigned)call->request,
                                      (unsigned long long)call->length);
    if (answered < 0 || answer_from_object(reply, &answer) < 0)
        answer = report_exception(server, row);
    Py_XDECREF(reply);
    return answer;
}

PyDoc_STRVAR(
    serve_doc,
    "serve(function, stream, handler, failure, begin)\n\n"
    "Seals, then answers requests for ever. What `function` (a Function, a NumbersFunction, "
    "an Aggregate, or None) with its Stream (None: rows only) does not\n"
    "answer goes to handler(request, length), which returns (status, length of the "
    "reply). failure(exception, row) writes the report of an exception and\n"
    "returns the same. begin(), if not None, runs first in each call.");

/* Returns the object if it has the module's type of that name; otherwise NULL, perhaps with an
 * exception. */
static void *if_of_type(PyObject *module, PyObject *object, const char *name)
{
    PyObject *type = PyObject_GetAttrString(module, name);
    void *found = type && PyObject_TypeCheck(object, (PyTypeObject *)type) ? object : NULL;
    Py_XDECREF(type);
    return found;
}

static noreturn void answer_for_ever(const struct server *server)
{
    exchange_seal();
    for (bool first = true;; first = false) {
        struct answer answer = answer_request(server, first);
        exchange_complete(answer);
    }
}

/* The stack frames of calls begin near the top of a page, so that they lie on as few pages as they
 * can. Frames of before that are written to, as the interpreter's are, had better be on the same
 * page: one that is near its top already is kept. */
static noreturn void answer_near_top_of_page(const struct server *server)
{
    void (*volatile answer)(const struct server *) = answer_for_ever; /* is not to be inlined */
    volatile char *here = __builtin_alloca(1);
    if ((uintptr_t)here % UDFVM_PAGE_SIZE < UDFVM_PAGE_SIZE - NEAR_TOP)
        here = __builtin_alloca((uintptr_t)here % UDFVM_PAGE_SIZE);
    *here = 0;
    answer(server);
    __builtin_unreachable();
}

static PyObject *agent_serve(PyObject *module, PyObject *arguments)
{
    struct server server;
    PyObject *function, *stream;
    if (!PyArg_ParseTuple(arguments, "OOOOO", &function, &stream, &server.handler, &server.failure,
                          &server.begin))
        return NULL;
    server.stream = if_of_type(module, stream, "Stream");
    server.function = if_of_type(module, function, "ScalarFunction");
    server.aggregate = if_of_type(module, function, "Aggregate");
    server.numbers_function = server.stream ? if_of_type(module, function, "NumbersFunction")
                                            : NULL;
    if (PyErr_Occurred())
        return NULL;
    allocators_settle();
    garbage_settle();
    if (generators_mark() < 0)
        return NULL;
    answer_near_top_of_page(&server);
}

/* ---- Parts, for what Python code does ---- */

PyDoc_STRVAR(input_doc, "input() -> memoryview\n\nThe payload of the request, read-only.");

static PyObject *agent_input(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyMemoryView_FromMemory((char *)exchange_payload(), (Py_ssize_t)exchange_call()->length,
                                   PyBUF_READ);
}

PyDoc_STRVAR(output_doc,
             "output() -> memoryview\n\nThe part of the output window that the reply may use.");

static PyObject *agent_output(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyMemoryView_FromMemory((char *)output_window(),
                                   (Py_ssize_t)exchange_call()->output_size, PyBUF_WRITE);
}

PyDoc_STRVAR(run_row_doc, "run_row(function, payload)\n\nRuns a row as serve() does, from memory "
                          "of the program to the output window: for warming up.");

static PyObject *agent_run_row(PyObject *module, PyObject *arguments)
{
    uint64_t length;
    Py_buffer payload;
    PyObject *object;
    if (!PyArg_ParseTuple(arguments, "Oy*", &object, &payload))
        return NULL;
    struct scalar_function *function = if_of_type(module, object, "ScalarFunction");
    int code = function
                   ? scalar_function_row(function, payload.buf, (uint64_t)payload.len,
                                         output_window(), exchange_call()->output_size, &length)
                   : -1;
    PyBuffer_Release(&payload);
    if (code < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(run_batch_doc, "run_batch(function, stream, payload)\n\nRuns a batch as serve() does, "
                            "from memory of the program to the output window: for warming up.");

static PyObject *agent_run_batch(PyObject *module, PyObject *arguments)
{
    uint64_t length;
    int64_t row;
    Py_buffer payload;
    PyObject *object, *stream_object;
    if (!PyArg_ParseTuple(arguments, "OOy*", &object, &stream_object, &payload))
        return NULL;
    struct scalar_function *function = if_of_type(module, object, "ScalarFunction");
    struct stream_object *stream = if_of_type(module, stream_object, "Stream");
    int code = function && stream
                   ? scalar_function_batch(function, stream, payload.buf, (uint64_t)payload.len,
                                           output_window(), exchange_call()->output_size, &length,
                                           &row)
                   : -1;
    PyBuffer_Release(&payload);
    if (code < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(begin_row_doc,
             "begin_row() -> bool\n\n"
             "A row begins: in a deterministic call clocks and randomness start anew. Returns "
             "whether the call is one, so whether later rows need this.");

static PyObject *agent_begin_row(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (row_begin() < 0)
        return NULL;
    return PyBool_FromLong(exchange_call()->flags & UDFVM_CALL_DETERMINISTIC);
}

PyDoc_STRVAR(become_child_doc, "become_child()\n\n"
                               "The next os.fork() makes this program its own child.");

static PyObject *agent_become_child(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (prctl(UDFVM_PR_BECOME_CHILD, 0, 0, 0, 0) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(host_call_doc, "host_call(name, arguments): calls a host function with a struct "
                            "udfvm_row; returns a struct udfvm_value and its bytes");

static PyObject *agent_host_call(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    static _Alignas(8) char reply[MAX_HOST_REPLY]; /* the pages that a reply needs get dirty */
    const char *name, *row;
    Py_ssize_t name_length, length;
    if (!PyArg_ParseTuple(arguments, "y#y#", &name, &name_length, &row, &length))
        return NULL;
    const int64_t got = host_call(name, (uint64_t)name_length, row, (uint64_t)length, reply);
    if (got < 0)
        return PyErr_Format(PyExc_RuntimeError, "%s: %s", name, host_call_error(got));
    return PyBytes_FromStringAndSize(reply, (Py_ssize_t)got);
}

static PyMethodDef agent_methods[] = {
    { "serve", agent_serve, METH_VARARGS, serve_doc },
    { "input", agent_input, METH_NOARGS, input_doc },
    { "output", agent_output, METH_NOARGS, output_doc },
    { "run_row", agent_run_row, METH_VARARGS, run_row_doc },
    { "host_call", agent_host_call, METH_VARARGS, host_call_doc },
    { "begin_row", agent_begin_row, METH_NOARGS, begin_row_doc },
    { "become_child", agent_become_child, METH_NOARGS, become_child_doc },
    { "run_batch", agent_run_batch, METH_VARARGS, run_batch_doc },
    { NULL, NULL, 0, NULL },
};

static int add_type(PyObject *module, PyType_Spec *specification)
{
    PyObject *type = PyType_FromModuleAndSpec(module, specification, NULL);
    if (!type)
        return -1;
    int code = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return code;
}

static int agent_exec(PyObject *module)
{
    allocators_tune();
    garbage_watch();
    setvbuf(stdout, NULL, _IONBF, 0); /* whatever is printed belongs to its call */
    if (add_type(module, &scalar_function_type_spec) < 0 ||
        add_type(module, &numbers_function_type_spec) < 0 ||
        add_type(module, &stream_type_spec) < 0 || add_type(module, &column_batch_type_spec) < 0 ||
        add_type(module, &aggregate_type_spec) < 0)
        return -1;
    return constants_add(module);
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
