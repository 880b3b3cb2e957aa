/* What calls of one function go to, and what all ways to call it from C have in common. */
#ifndef UDFVM_CALL_TARGET_H
#define UDFVM_CALL_TARGET_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "api.h"

struct call_target {
    PyObject *pool;  /* udfvm.vmm.ImagePool */
    PyObject *owner; /* has the methods that are called by name; keeps the image and the limits */
    udfvm_pool *core;
    udfvm_image *image;
    const struct udfvm_limits *limits;
    unsigned long long wait_ns;
};

/* `addresses` are those of the core's pool, image and limits. */
void call_target_take(struct call_target *target, PyObject *pool, PyObject *owner,
                      const unsigned long long addresses[3], unsigned long long wait_ns);
int call_target_traverse(const struct call_target *target, visitproc visit, void *arg);
void call_target_clear(struct call_target *target);

/* Makes a whole call, without the interpreter's lock. Returns a code of enum udfvm_code. */
int call_target_call(const struct call_target *target, uint32_t request, const struct iovec *parts,
                     size_t count, struct udfvm_pool_reply *reply, struct udfvm_error *error);
/* Python makes a result, or raises, for a call that failed. */
PyObject *call_target_failed(const struct call_target *target, const struct udfvm_error *error,
                             PyObject *arguments);
/* Tells the pool that there will be idle VMs to trim, if the call says so. False with an exception:
 * the reply is given back. */
bool call_target_attend(const struct call_target *target, struct udfvm_pool_reply *reply);

#endif
