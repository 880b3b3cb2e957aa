/* _udfvm_agent: the Python runtime's interface to the micro-VM: the windows, seal and complete, and
 * the fast path of one row.
 *
 * seal() and complete() are functions of the guest kernel at fixed addresses (udfvm_abi.h). The
 * windows are memory at fixed addresses. Between the end of seal() and complete() a row runs here
 * without Python code of the runtime (server.c).
 */
#include "python/allocators.h"
#include "python/garbage.h"
#include "python/generators.h"
#include "python/host_caller.h"
#include "python/parts.h"
#include "python/server.h"
#include "shared/exchange.h"
#include "shared/host_call.h"

#include <stdio.h>
#include <stdnoreturn.h>
#include <sys/prctl.h>

#define NEAR_TOP 1536u /* bytes of a page: the frames of a handler and of what calls it fit */

/* ---- The loop that answers requests ---- */

PyDoc_STRVAR(
    serve_doc,
    "serve(function, stream, handler, failure, begin)\n\n"
    "Seals, then answers requests for ever. What `function` (a Function, a NumbersFunction, "
    "an Aggregate, or None) with its Stream (None: rows only) does not\n"
    "answer goes to handler(request, length), which returns (status, length of the "
    "reply). failure(exception, row) writes the report of an exception and\n"
    "returns the same. begin(), if not None, runs first in each call.");

static noreturn void answer_for_ever(const struct server *server)
{
    exchange_seal();
    for (bool first = true;; first = false) {
        struct answer answer = server_answer(server, first);
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
    if (server_from_arguments(module, arguments, &server) < 0)
        return NULL;
    allocators_settle();
    garbage_settle();
    if (generators_mark() < 0)
        return NULL;
    answer_near_top_of_page(&server);
}

/* ---- Parts, for what Python code does ---- */

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
        return host_call_failed(name, got);
    return PyBytes_FromStringAndSize(reply, (Py_ssize_t)got);
}

static PyMethodDef agent_methods[] = {
    PARTS_METHODS,
    { "serve", agent_serve, METH_VARARGS, serve_doc },
    { "host_call", agent_host_call, METH_VARARGS, host_call_doc },
    { "become_child", agent_become_child, METH_NOARGS, become_child_doc },
    { NULL, NULL, 0, NULL },
};

static int agent_exec(PyObject *module)
{
    allocators_tune();
    if (garbage_watch() < 0)
        return -1;
    setvbuf(stdout, NULL, _IONBF, 0); /* whatever is printed belongs to its call */
    return parts_add_type(module, &host_caller_type_spec) < 0 ? -1 : parts_add(module);
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
