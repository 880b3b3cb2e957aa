/* A whole fresh call in one go. Between two calls the caller's code is cold, so what it does itself costs several times what it would in a
 * loop: the fewer steps are its own, the better. */
#include <string.h>

#include "internal.h"

/* False where a part lies outside of the request. A request larger than the window is left to udfvm_vm_call(), which refuses it. */
static bool put_together(udfvm_vm *vm, const struct udfvm_part *parts, size_t count, uint64_t length)
{
    uint64_t size;
    uint8_t *window = udfvm_vm_input(vm, &size);
    for (size_t i = 0; i < count && length <= size; i++) {
        if (parts[i].offset > length || parts[i].length > length - parts[i].offset)
            return false;
        memcpy(window + parts[i].offset, parts[i].data, parts[i].length);
    }
    return true;
}

int udfvm_pool_call(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns, const struct udfvm_parts *request,
                    const struct udfvm_limits *limits, struct udfvm_pool_reply *reply, struct udfvm_error *error)
{
    struct udfvm_pool_statistics statistics;
    struct udfvm_reply exchanged;
    uint64_t size;
    reply->kept = NULL;
    udfvm_vm *vm = udfvm_pool_take(pool, image, wait_ns, error);
    if (!vm)
        return error->code;
    udfvm_pool_statistics(pool, &statistics);
    reply->in_use = statistics.live - statistics.idle;
    int code = put_together(vm, request->parts, request->count, request->length)
                   ? udfvm_vm_call(vm, request->number, udfvm_vm_input(vm, &size), request->length, limits, &exchanged, error)
                   : udfvm_fail(error, UDFVM_E_ARGUMENT, "a part of the request lies outside of it");
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
    udfvm_pool_give(pool, vm);
    return code;
}
