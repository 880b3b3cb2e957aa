/* See server.h. A row runs here without Python code of the runtime, because each page that a call
 * dirties must be restored after it. */
#include "python/server.h"

#include <string.h>

#include "python/generators.h"

static uint8_t *output_window(void)
{
    return (uint8_t *)UDFVM_OUTPUT_BASE;
}

void *if_of_type(PyObject *module, PyObject *object, const char *name)
{
    PyObject *type = PyObject_GetAttrString(module, name);
    void *found = type && PyObject_TypeCheck(object, (PyTypeObject *)type) ? object : NULL;
    Py_XDECREF(type);
    return found;
}

int server_from_arguments(PyObject *module, PyObject *arguments, struct server *server)
{
    PyObject *function, *stream;
    if (!PyArg_ParseTuple(arguments, "OOOOO", &function, &stream, &server->handler,
                          &server->failure, &server->begin))
        return -1;
    server->stream = if_of_type(module, stream, "Stream");
    server->function = if_of_type(module, function, "ScalarFunction");
    server->aggregate = if_of_type(module, function, "Aggregate");
    server->numbers_function = server->stream ? if_of_type(module, function, "NumbersFunction")
                                              : NULL;
    return PyErr_Occurred() ? -1 : 0;
}

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

struct answer server_answer(const struct server *server, bool first)
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
