/* Calls of one function through its pool, and what becomes of those that fail. */
#include "call_target.h"

void call_target_take(struct call_target *target, PyObject *pool, PyObject *owner,
                      const unsigned long long addresses[3], unsigned long long wait_ns)
{
    target->pool = Py_NewRef(pool);
    target->owner = Py_NewRef(owner);
    target->core = (udfvm_pool *)(uintptr_t)addresses[0];
    target->image = (udfvm_image *)(uintptr_t)addresses[1];
    target->limits = (const struct udfvm_limits *)(uintptr_t)addresses[2];
    target->wait_ns = wait_ns;
}

int call_target_traverse(const struct call_target *target, visitproc visit, void *arg)
{
    Py_VISIT(target->pool);
    Py_VISIT(target->owner);
    return 0;
}

void call_target_clear(struct call_target *target)
{
    Py_CLEAR(target->pool);
    Py_CLEAR(target->owner);
}

int call_target_call(const struct call_target *target, uint32_t request, const struct iovec *parts,
                     size_t count, struct udfvm_pool_reply *reply, struct udfvm_error *error)
{
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = udfvm_pool_call_parts(target->core, target->image, target->wait_ns, request, parts,
                                 count, target->limits, reply, error);
    Py_END_ALLOW_THREADS
    return code;
}

PyObject *call_target_failed(const struct call_target *target, const struct udfvm_error *error,
                             PyObject *arguments)
{
    return PyObject_CallMethod(target->owner, "failed", "KO", (unsigned long long)(uintptr_t)error,
                               arguments);
}

bool call_target_attend(const struct call_target *target, struct udfvm_pool_reply *reply)
{
    if (!reply->attend)
        return true;
    PyObject *done = PyObject_CallMethod(target->pool, "attend", "I", reply->in_use);
    Py_XDECREF(done);
    if (!done && reply->kept)
        udfvm_pool_give(target->core, reply->kept);
    return done;
}
