/* See column_calls.h. The columns are copied once, into guest memory. The numbers of the result are
 * copied once, to where Arrow wants them, or read where the guest left them.
 *
 * All that is not of numbers alone, and every failure, is left to Python code. */
#include "column_calls.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "number_replies.h"
#include "small_calls.h"
#include "udfvm_abi.h"

/* ---- The end of the interpreter: see udfvm/functions/arrow_calls.py ---- */

static struct {
    atomic_uint calls; /* under way */
    atomic_ullong last_ns;
    atomic_int ended;
} gate;

static bool enter_gate(void)
{
    atomic_fetch_add(&gate.calls, 1);
    if (!atomic_load(&gate.ended))
        return true;
    atomic_fetch_sub(&gate.calls, 1);
    return false;
}

static void leave_gate(void)
{
    atomic_store(&gate.last_ns, udfvm_monotonic_ns());
    atomic_fetch_sub(&gate.calls, 1);
}

static bool has_ended(void)
{
    return atomic_load(&gate.ended);
}

static int must_end(void *end)
{
    return has_ended() || (end && __atomic_load_n((const int *)end, __ATOMIC_RELAXED));
}

static PyObject *begin_calls(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    atomic_store(&gate.calls, 0);
    atomic_store(&gate.ended, 0);
    Py_RETURN_NONE;
}

static PyObject *end_calls(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    atomic_store(&gate.ended, 1);
    Py_RETURN_NONE;
}

static PyObject *calls_under_way(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return Py_BuildValue("Id", atomic_load(&gate.calls), (double)atomic_load(&gate.last_ns) / 1e9);
}

/* ---- A call ---- */

struct exchange {
    const struct small_calls *calls;
    PyObject *layout;
    uint64_t request_length;
    struct reply_layout expected;
    struct column_call *call;
    struct udfvm_held *held;
    struct udfvm_reply reply;
    struct udfvm_error error;
    int code;
    unsigned in_use; /* VMs of the pool */
    bool attend;
};

static PyObject *field(const struct exchange *exchange, Py_ssize_t index)
{
    return PyTuple_GET_ITEM(exchange->layout, index);
}

static void let_go(struct exchange *exchange)
{
    if (exchange->held)
        exchange->attend |= udfvm_pool_let_go(exchange->held) != 0;
    free(exchange->held);
    exchange->held = NULL;
}

static void write_request(const struct exchange *exchange, char *window)
{
    const struct column_call *call = exchange->call;
    PyObject *head = field(exchange, LAYOUT_HEAD), *gaps = field(exchange, LAYOUT_GAPS);
    memcpy(window, PyBytes_AS_STRING(head), (size_t)PyBytes_GET_SIZE(head));
    window += PyBytes_GET_SIZE(head);
    for (Py_ssize_t i = 0; i < call->count; i++) {
        PyObject *gap = PyTuple_GET_ITEM(gaps, i);
        udfvm_copy(window, call->columns[i], call->sizes[i]);
        window += call->sizes[i];
        memcpy(window, PyBytes_AS_STRING(gap), (size_t)PyBytes_GET_SIZE(gap));
        window += PyBytes_GET_SIZE(gap);
    }
}

static int send(struct exchange *exchange)
{
    const struct small_calls *calls = exchange->calls;
    const uint64_t length = exchange->request_length;
    struct udfvm_error *error = &exchange->error;
    if (udfvm_pool_hold(exchange->held, calls->target.core, calls->target.image, NULL,
                        calls->target.wait_ns, calls->target.limits->timeout_ns, error) != UDFVM_OK)
        return error->code;
    struct udfvm_pool_statistics statistics;
    udfvm_pool_statistics(calls->target.core, &statistics);
    exchange->in_use = statistics.live - statistics.idle;
    exchange->attend = exchange->in_use > 1;
    udfvm_vm *vm = exchange->held->vm;
    udfvm_vm_tell(vm, (uint64_t)exchange->call->rows, 1);
    udfvm_vm_set_watch(vm, must_end, (void *)(uintptr_t)exchange->call->end);
    char *window = udfvm_vm_input(vm, length, error);
    if (!window)
        return error->code;
    write_request(exchange, window);
    return udfvm_vm_call(vm, UDFVM_REQUEST_BATCH, NULL, length, calls->target.limits,
                         &exchange->reply, error);
}

/* The guest does not run. */
static bool find_numbers(const struct exchange *exchange, uint64_t *begin)
{
    const struct udfvm_reply *reply = &exchange->reply;
    return reply->status == UDFVM_STATUS_OK &&
           exchange->expected.size == exchange->call->result_size &&
           reply_has_numbers(&exchange->expected, reply->data, reply->length, begin);
}

static enum column_call_outcome take_numbers(struct exchange *exchange, uint64_t begin)
{
    struct column_call *call = exchange->call;
    if (call->may_borrow)
        call->borrowed = udfvm_pool_borrow(exchange->held, begin, call->result_size);
    if (call->borrowed) {
        call->owner = exchange->held;
        exchange->held = NULL;
        return COLUMN_CALL_DONE;
    }
    call->allocated = call->allocate(call->context, call->result_size);
    if (call->allocated)
        udfvm_copy(call->allocated, (const char *)exchange->reply.data + begin, call->result_size);
    let_go(exchange);
    return call->allocated ? COLUMN_CALL_DONE : COLUMN_CALL_FULL;
}

/* Without the interpreter's lock. What is OTHER then is still to be read, by Python. */
static enum column_call_outcome run(struct exchange *exchange)
{
    uint64_t begin;
    exchange->held = calloc(1, sizeof *exchange->held);
    if (!exchange->held)
        return COLUMN_CALL_FULL;
    exchange->code = send(exchange);
    if (exchange->code == UDFVM_OK)
        return find_numbers(exchange, &begin) ? take_numbers(exchange, begin) : COLUMN_CALL_OTHER;
    /* Python code says that the interpreter ends; it knows larger windows, and forked children. */
    const bool is_for_python = (exchange->code == UDFVM_E_INTERRUPTED && has_ended()) ||
                               exchange->code == UDFVM_E_INPUT ||
                               (exchange->code == UDFVM_E_FORKED && exchange->held->vm == NULL);
    let_go(exchange);
    return is_for_python ? COLUMN_CALL_NOT : COLUMN_CALL_RAISED;
}

/* ---- With the interpreter's lock ---- */

static PyObject *changed; /* udfvm.load._bindings.changed */
static struct {
    PyObject *bindings, *small, *calls;
} names; /* of attributes: each new text would be one more cold piece of memory */

/* What makes the calls now: a new reference; NULL: nothing does, or an exception. */
static struct small_calls *calls_of(PyObject *keeper)
{
    PyObject *bindings = PyObject_GetAttr(keeper, names.bindings);
    PyObject *same = bindings && PyTuple_Check(bindings) && PyTuple_GET_SIZE(bindings)
                         ? PyObject_CallOneArg(changed, bindings)
                         : Py_XNewRef(bindings ? Py_False : NULL);
    PyObject *small = same == Py_False ? PyObject_GetAttr(keeper, names.small) : NULL;
    PyObject *calls = small && small != Py_None ? PyObject_GetAttr(small, names.calls) : NULL;
    Py_XDECREF(bindings);
    Py_XDECREF(same);
    Py_XDECREF(small);
    if (calls && Py_IS_TYPE(calls, small_calls_type))
        return (struct small_calls *)calls;
    Py_XDECREF(calls);
    return NULL;
}

/* The layout for so many rows: a new reference; NULL: none, or an exception. */
static PyObject *layout_for(struct small_calls *calls, int64_t rows)
{
    PyObject *layout = calls->columns_layout;
    if (layout && PyLong_AsSsize_t(PyTuple_GET_ITEM(layout, LAYOUT_ROWS)) == rows)
        return Py_NewRef(layout);
    layout = PyObject_CallMethod(calls->target.owner, "columns_layout", "n", (Py_ssize_t)rows);
    if (layout == Py_None)
        Py_CLEAR(layout);
    if (layout)
        Py_XSETREF(calls->columns_layout, Py_NewRef(layout));
    return layout;
}

static enum column_call_outcome read_other(struct exchange *exchange)
{
    PyObject *whole = PyByteArray_FromStringAndSize(exchange->reply.data,
                                                    (Py_ssize_t)exchange->reply.length);
    const int status = exchange->reply.status;
    Py_BEGIN_ALLOW_THREADS
    let_go(exchange);
    Py_END_ALLOW_THREADS
    if (!whole)
        return COLUMN_CALL_RAISED;
    exchange->call->other = PyObject_CallMethod(exchange->calls->target.owner, "read_columns",
                                                "iOO", status, whole, exchange->layout);
    Py_DECREF(whole);
    return exchange->call->other ? COLUMN_CALL_OTHER : COLUMN_CALL_RAISED;
}

static bool attend(const struct exchange *exchange)
{
    if (!exchange->attend)
        return true;
    PyObject *done = PyObject_CallMethod(exchange->calls->target.pool, "attend", "I",
                                         exchange->in_use);
    Py_XDECREF(done);
    return done != NULL;
}

static void give_up(struct column_call *call)
{
    struct udfvm_held *held = call->owner;
    udfvm_pool_let_go(held);
    free(held);
    Py_CLEAR(call->other);
}

static enum column_call_outcome make(struct small_calls *calls, PyObject *layout,
                                     struct column_call *call)
{
    struct exchange exchange = {
        .calls = calls,
        .layout = layout,
        .request_length = (uint64_t)PyLong_AsSsize_t(
            PyTuple_GET_ITEM(layout, LAYOUT_REQUEST_LENGTH)),
        .expected = reply_layout_of(layout),
        .call = call,
    };
    enum column_call_outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = run(&exchange);
    Py_END_ALLOW_THREADS
    if (outcome == COLUMN_CALL_OTHER)
        outcome = read_other(&exchange);
    else if (outcome == COLUMN_CALL_RAISED) {
        PyObject *none = PyObject_CallMethod(calls->target.owner, "raise_of_columns", "KL",
                                             (unsigned long long)(uintptr_t)&exchange.error,
                                             (long long)call->rows);
        Py_XDECREF(none);
    }
    const bool succeeded = outcome == COLUMN_CALL_DONE || outcome == COLUMN_CALL_OTHER;
    if (!succeeded || attend(&exchange))
        return outcome;
    give_up(call);
    return COLUMN_CALL_RAISED;
}

static enum column_call_outcome call_columns(PyObject *keeper, struct column_call *call)
{
    enum column_call_outcome outcome = COLUMN_CALL_NOT;
    call->allocated = call->owner = NULL;
    call->borrowed = NULL;
    call->other = NULL;
    struct small_calls *calls = calls_of(keeper);
    PyObject *layout = calls && PyUnicode_GET_LENGTH(calls->formats) == call->count
                           ? layout_for(calls, call->rows)
                           : NULL;
    if (layout && enter_gate()) {
        outcome = make(calls, layout, call);
        leave_gate();
    }
    Py_XDECREF(layout);
    Py_XDECREF(calls);
    return outcome == COLUMN_CALL_NOT && PyErr_Occurred() ? COLUMN_CALL_RAISED : outcome;
}

static void let_go_of(void *owner)
{
    udfvm_pool_let_go(owner);
    free(owner);
}

/* ---- The module ---- */

static PyMethodDef functions[] = {
    { "begin_column_calls", begin_calls, METH_NOARGS, "Calls may be made, and none is." },
    { "end_column_calls", end_calls, METH_NOARGS, "No more calls are made; those that are, end." },
    { "column_calls_under_way", calls_under_way, METH_NOARGS,
      "How many calls are being made, and when the last ended, by time.monotonic()." },
    { NULL, NULL, 0, NULL },
};

static bool find_names(void)
{
    names.bindings = PyUnicode_InternFromString("_bindings");
    names.small = PyUnicode_InternFromString("_small");
    names.calls = PyUnicode_InternFromString("calls");
    PyObject *bindings = PyImport_ImportModule("udfvm.load._bindings");
    changed = bindings ? PyObject_GetAttrString(bindings, "changed") : NULL;
    Py_XDECREF(bindings);
    return names.bindings && names.small && names.calls && changed;
}

int column_calls_add(PyObject *module)
{
    static struct column_calls api = { call_columns, let_go_of };
    PyObject *capsule = find_names() ? PyCapsule_New(&api, COLUMN_CALLS, NULL) : NULL;
    const int code = capsule ? PyModule_AddFunctions(module, functions) : -1;
    if (code == 0 && PyModule_AddObjectRef(module, "column_calls", capsule) < 0) {
        Py_DECREF(capsule);
        return -1;
    }
    Py_XDECREF(capsule);
    return code;
}
