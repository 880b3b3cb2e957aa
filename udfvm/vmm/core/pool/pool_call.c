/* A whole fresh call in one go. Between two calls the caller's code is cold, so what it does itself
 * costs several times what it would in a loop: the fewer steps are its own, the better. */
#include <string.h>

#include "base/error.h"
#include "pool/pool.h"

#define MIN_BORROWED     (1ull << 20) /* bytes: a smaller reply is copied faster than borrowed */
#define MAX_BORROWED_VMS 4u

/* Where the request is, which one part is as it lies, and more are put together in the window.
 * NULL: it does not fit. */
static const void *gather(udfvm_vm *vm, const struct iovec *parts, size_t count, uint64_t *length,
                          struct udfvm_error *error)
{
    *length = 0;
    for (size_t i = 0; i < count; i++)
        *length += parts[i].iov_len;
    if (count == 1)
        return parts[0].iov_base;
    uint8_t *window = udfvm_vm_input(vm, *length, error), *to = window;
    for (size_t i = 0; window && i < count; to += parts[i++].iov_len)
        if (parts[i].iov_len > 0)
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
    return window;
}

/* The call on a VM that was taken. */
static int call_vm(udfvm_vm *vm, uint32_t request, const struct iovec *parts, size_t count,
                   const struct udfvm_limits *limits, struct udfvm_pool_reply *reply,
                   struct udfvm_error *error)
{
    struct udfvm_reply exchanged;
    uint64_t length;
    const void *input = gather(vm, parts, count, &length, error);
    if (!input && count > 1)
        return error->code;
    UDFVM_TRY(udfvm_vm_call(vm, request, input, length, limits, &exchanged, error));
    reply->status = exchanged.status;
    reply->length = exchanged.length;
    reply->data = exchanged.data;
    if (exchanged.length > reply->capacity)
        reply->kept = vm;
    else
        memcpy(reply->output, exchanged.data, exchanged.length);
    return UDFVM_OK;
}

int udfvm_pool_call_parts(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns, uint32_t request,
                          const struct iovec *parts, size_t count,
                          const struct udfvm_limits *limits, struct udfvm_pool_reply *reply,
                          struct udfvm_error *error)
{
    struct udfvm_pool_statistics statistics;
    struct udfvm_error unasked;
    error = error ? error : &unasked;
    reply->kept = NULL;
    udfvm_vm *vm = udfvm_pool_take_in_time(pool, image, wait_ns, limits ? limits->timeout_ns : 0,
                                           error);
    if (!vm)
        return error->code;
    if (reply->begun)
        vm->costs.since = reply->begun;
    udfvm_vm_tell(vm, reply->rows, 1);
    udfvm_pool_statistics(pool, &statistics);
    reply->in_use = statistics.live - statistics.idle;
    reply->attend = reply->in_use > 1;
    const int code = call_vm(vm, request, parts, count, limits, reply, error);
    if (!reply->kept)
        reply->attend |= udfvm_pool_give(pool, vm);
    return code;
}

int udfvm_pool_call(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns, uint32_t request,
                    const void *input, uint64_t length, const struct udfvm_limits *limits,
                    struct udfvm_pool_reply *reply, struct udfvm_error *error)
{
    const struct iovec whole = { (void *)(uintptr_t)input, length };
    return udfvm_pool_call_parts(pool, image, wait_ns, request, &whole, 1, limits, reply, error);
}

int udfvm_pool_hold(struct udfvm_held *held, udfvm_pool *pool, udfvm_image *image,
                    const struct udfvm_windows *windows, uint64_t wait_ns, uint64_t timeout_ns,
                    struct udfvm_error *error)
{
    struct udfvm_error unasked;
    error = error ? error : &unasked;
    held->pool = pool;
    held->borrowed = 0;
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
    if (held->borrowed)
        atomic_fetch_sub(&held->pool->borrowed, 1);
    held->borrowed = 0;
    return udfvm_pool_give(held->pool, vm);
}

/* Counts one more VM whose reply is in use, if there may be one. */
static bool count_borrowed(struct udfvm_pool *pool)
{
    const unsigned half = pool->limit / 2,
                   maximum = half < MAX_BORROWED_VMS ? half : MAX_BORROWED_VMS;
    unsigned count = atomic_load(&pool->borrowed);
    while (count < maximum)
        if (atomic_compare_exchange_weak(&pool->borrowed, &count, count + 1))
            return true;
    return false;
}

void *udfvm_pool_borrow(struct udfvm_held *held, uint64_t begin, uint64_t length)
{
    if (length < MIN_BORROWED || held->borrowed || !count_borrowed(held->pool))
        return NULL;
    void *data = udfvm_vm_borrow(held->vm, begin, length, NULL);
    held->borrowed = data != NULL;
    if (!data)
        atomic_fetch_sub(&held->pool->borrowed, 1);
    return data;
}
