/* A whole fresh call in one go. Between two calls the caller's code is cold, so what it does itself
 * costs several times what it would in a loop: the fewer steps are its own, the better. */
#include <string.h>

#include "api.h"

int udfvm_pool_call(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns, uint32_t request,
                    const void *input, uint64_t length, const struct udfvm_limits *limits,
                    struct udfvm_pool_reply *reply, struct udfvm_error *error)
{
    struct udfvm_pool_statistics statistics;
    struct udfvm_reply exchanged;
    struct udfvm_error unasked;
    error = error ? error : &unasked;
    reply->kept = NULL;
    udfvm_vm *vm = udfvm_pool_take_in_time(pool, image, wait_ns, limits ? limits->timeout_ns : 0,
                                           error);
    if (!vm)
        return error->code;
    udfvm_pool_statistics(pool, &statistics);
    reply->in_use = statistics.live - statistics.idle;
    reply->attend = reply->in_use > 1;
    int code = udfvm_vm_call(vm, request, input, length, limits, &exchanged, error);
    if (code == UDFVM_OK) {
        reply->status = exchanged.status;
        reply->length = exchanged.length;
        reply->data = exchanged.data;
        if (exchanged.length > reply->capacity) {
            reply->kept = vm;
            return UDFVM_OK;
        }
        memcpy(reply->output, exchanged.data, exchanged.length);
    }
    reply->attend |= udfvm_pool_give(pool, vm);
    return code;
}

int udfvm_pool_hold(struct udfvm_held *held, udfvm_pool *pool, udfvm_image *image,
                    const struct udfvm_windows *windows, uint64_t wait_ns, uint64_t timeout_ns,
                    struct udfvm_error *error)
{
    struct udfvm_error unasked;
    error = error ? error : &unasked;
    held->pool = pool;
    held->vm = windows ? udfvm_pool_take_windows(pool, image, windows, wait_ns, timeout_ns, error)
                       : udfvm_pool_take_in_time(pool, image, wait_ns, timeout_ns, error);
    return held->vm ? UDFVM_OK : error->code;
}

int udfvm_pool_let_go(struct udfvm_held *held)
{
    udfvm_vm *vm = held ? held->vm : NULL;
    if (!vm)
        return 0;
    held->vm = NULL;
    return udfvm_pool_give(held->pool, vm);
}
