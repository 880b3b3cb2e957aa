/* Calls of host functions: name and arguments are copied out of guest memory before anyone looks at
 * them, the reply is copied in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "call/vcpu_thread.h"
#include "call/vm.h"

static int64_t put_reply(struct udfvm_vm *vm, uint64_t address, const void *reply, uint64_t length)
{
    const int code = udfvm_span_write(&vm->memory, address, reply, length);
    return code != 0 ? code : (int64_t)length;
}

struct host_call {
    const struct udfvm_host_functions *functions;
    const char *name;
    const void *arguments;
    void *reply;
    uint64_t length, capacity;
    char failure[256];
    int64_t result;
};

static void call_embedder(void *context)
{
    struct host_call *call = context;
    call->result = call->functions->call(call->functions->context, call->name, call->arguments,
                                         call->length, call->reply, call->capacity, call->failure);
}

int64_t udfvm_host_function(struct udfvm_vm *vm, const char *name, const void *arguments,
                            uint64_t length, void *reply, uint64_t capacity,
                            struct udfvm_error *error)
{
    struct host_call call = {
        vm->limits.host_functions, name, arguments, reply, length, capacity, .failure = ""
    };
    udfvm_vm_out(vm);
    udfvm_outside(vm, call_embedder, &call); /* never refused: no streaming call has them */
    udfvm_vm_in(vm);
    const int64_t got = call.result;
    if (udfvm_vm_forked(vm)) {
        udfvm_vm_fail_forked(error);
        return 0;
    }
    if (got == UDFVM_NO_HOST_FUNCTION)
        return -ENOENT;
    if (udfvm_deadline_passed(&vm->deadline)) { /* whatever it says: the watchdog may be late */
        udfvm_vm_fail_timeout(vm, error);
        return 0;
    }
    if (got < 0) {
        udfvm_fail(error, UDFVM_E_HOST_FUNCTION, "the host function %s failed: %.255s", name,
                   call.failure);
        return 0;
    }
    return (uint64_t)got > capacity ? -EMSGSIZE : got;
}

/* `buffer` holds the arguments, and behind them the reply. */
static int64_t call(struct udfvm_vm *vm, const struct registers *regs, const char *name,
                    uint8_t *buffer, struct udfvm_error *error)
{
    const uint64_t length = regs->r10;
    uint8_t *reply = buffer + length;
    if (!udfvm_machine_read(&vm->machine, regs->rdx, buffer, length))
        return -EFAULT;
    const int64_t got = udfvm_host_function(vm, name, buffer, length, reply, regs->r9, error);
    return got < 0 || error->code != UDFVM_OK ? got : put_reply(vm, regs->r8, reply, (uint64_t)got);
}

/* The result for the guest, where nothing ends its call (`failure`). */
static int64_t serve(struct udfvm_vm *vm, const struct registers *regs, struct udfvm_error *failure)
{
    const uint64_t name_length = regs->rsi, length = regs->r10, capacity = regs->r9;
    char name[UDFVM_MAX_HOST_NAME + 1] = "";
    if (length > UDFVM_MAX_HOST_MESSAGE || capacity > UDFVM_MAX_HOST_MESSAGE)
        return -E2BIG;
    if (!udfvm_machine_read(&vm->machine, regs->rdi, name, name_length))
        return -EFAULT;
    if (memchr(name, 0, name_length)) /* not the name that the embedder would read */
        return -ENOENT;
    uint8_t *buffer = malloc(length + capacity + 1);
    if (!buffer)
        return -ENOMEM;
    const int64_t result = call(vm, regs, name, buffer, failure);
    free(buffer);
    return result;
}

bool udfvm_count_host_call(struct udfvm_vm *vm, struct udfvm_error *error)
{
    const unsigned long long maximum = vm->limits.host_functions->max_calls;
    if (vm->host_calls++ < maximum)
        return true;
    udfvm_fail(error, UDFVM_E_HOST_CALLS,
               "the function called host functions more than %llu time%s", maximum,
               maximum == 1 ? "" : "s");
    return false;
}

int udfvm_host_call(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error)
{
    const struct udfvm_host_functions *functions = vm->limits.host_functions;
    regs->rax = (uint64_t)-ENOENT;
    if (!functions || regs->rsi > UDFVM_MAX_HOST_NAME)
        return HYPERCALL_CONTINUE;
    if (!udfvm_count_host_call(vm, error))
        return HYPERCALL_FAILED;
    struct udfvm_error failure = { .code = UDFVM_OK };
    const int64_t result = serve(vm, regs, &failure);
    if (failure.code == UDFVM_OK) { /* or, in a forked child, there are no registers */
        regs->rax = (uint64_t)result;
        return HYPERCALL_CONTINUE;
    }
    if (error)
        *error = failure;
    return HYPERCALL_FAILED;
}
