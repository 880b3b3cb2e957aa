/* A call: the request goes into the input window, the vCPU runs until the guest completes. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "call/exchange.h"

/* Restores the VM for the call that is made again. */
static int begin_again(struct udfvm_vm *vm, struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_hot_set_collect(&vm->memory, error));
    UDFVM_TRY(udfvm_hot_set_restore(&vm->memory, error));
    UDFVM_TRY(udfvm_vm_restore_processor(vm, error));
    return udfvm_deadline_start(&vm->deadline, vm->machine.hypervisor, vm->limits.timeout_ns,
                                error);
}

/* The hypervisor would not enter the VM: the call is made on a new one, on the same memory, once.
 */
static int try_again(struct udfvm_vm *vm, int refused, struct udfvm_reply *reply,
                     struct udfvm_error *error)
{
    struct udfvm_error local;
    if (begin_again(vm, &local) != UDFVM_OK)
        return refused; /* as `error` says */
    udfvm_error_clear(error);
    udfvm_vm_enter_sealed(vm);
    return udfvm_vm_run(vm, reply, error);
}

static void enter(struct udfvm_vm *vm)
{
    if (vm->state == VM_STOPPED) {
        vm->machine.registers->rax = 0; /* complete() returns: here is the next request */
        udfvm_hypervisor_load_registers(vm->machine.hypervisor);
        return;
    }
    udfvm_vm_enter_sealed(vm);
    vm->begun = false;
    vm->exchanges = 0;
    vm->host_calls = 0;
    vm->calls++;
}

static int fail_sealed(struct udfvm_vm *vm, struct udfvm_error *error)
{
    vm->state = VM_BROKEN;
    return udfvm_fail(error, UDFVM_E_PROTOCOL, "the guest asked to be sealed in a call");
}

/* In another process: what it says is given away as what a guest here says. */
static int call_remote(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                       const struct udfvm_limits *limits, struct udfvm_reply *reply,
                       struct udfvm_error *error)
{
    struct udfvm_error local = { .code = UDFVM_OK };
    *reply = (struct udfvm_reply){ .sealed = 0 };
    UDFVM_TRY(udfvm_vm_place(vm, request, input, length, limits, error));
    if (vm->state == VM_SEALED) {
        vm->exchanges = 0;
        vm->host_calls = 0;
        vm->calls++;
    }
    udfvm_costs_phase(&vm->costs, PHASE_GUEST);
    int code = vm->remote->call(vm, request, length, reply, &local);
    udfvm_costs_phase(&vm->costs, PHASE_HOST);
    code = udfvm_vm_blame_data(vm, code, &local);
    if (code != UDFVM_E_FORKED)
        code = udfvm_log_give(vm, code, reply->status == UDFVM_STATUS_ERROR, &local);
    reply->log = vm->log.text;
    reply->log_length = vm->log.length;
    vm->state = code == UDFVM_OK ? VM_STOPPED : VM_BROKEN;
    if (code == UDFVM_OK && reply->sealed && request != UDFVM_REQUEST_LOAD)
        return fail_sealed(vm, error);
    if (code != UDFVM_OK && error)
        *error = local;
    return code;
}

static int call_here(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                     const struct udfvm_limits *limits, struct udfvm_reply *reply,
                     struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_vm_request(vm, request, input, length, limits, error));
    enter(vm);
    int code = udfvm_vm_run(vm, reply, error);
    if (code != UDFVM_OK && code != UDFVM_E_FORKED && udfvm_vm_never_began(vm))
        code = try_again(vm, code, reply, error);
    if (code == UDFVM_OK && reply->sealed && request != UDFVM_REQUEST_LOAD)
        code = fail_sealed(vm, error);
    return code;
}

/* Returns what is to be 0 when the call has ended; NULL if it is no first call. */
static uint64_t *begin_first(struct udfvm_vm *vm, const struct udfvm_limits *limits)
{
    uint64_t *first = limits && limits->timeout_ns ? limits->first_call_ns : NULL;
    const uint64_t allowed = first ? __atomic_load_n(first, __ATOMIC_RELAXED) : 0;
    const uint64_t now = allowed ? udfvm_monotonic_ns() : 0;
    vm->first_end_ns = allowed < UDFVM_NEVER - now ? now + allowed : UDFVM_NEVER;
    return allowed ? first : NULL;
}

int udfvm_vm_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                  const struct udfvm_limits *limits, struct udfvm_reply *reply,
                  struct udfvm_error *error)
{
    udfvm_error_clear(error);
    UDFVM_TRY(udfvm_vm_check(vm, error));
    if (vm->stream || (vm->state != VM_SEALED && vm->state != VM_STOPPED))
        return udfvm_fail(error, UDFVM_E_ARGUMENT, "the VM must be restored before the next call");
    if (vm->state == VM_SEALED)
        UDFVM_TRY(udfvm_vm_check_data(vm, error));
    uint64_t *first = begin_first(vm, limits);
    udfvm_costs_exchange(vm, request, length, limits);
    udfvm_costs_placing(vm);
    const int code = vm->remote ? call_remote(vm, request, input, length, limits, reply, error)
                                : call_here(vm, request, input, length, limits, reply, error);
    udfvm_costs_replied(&vm->costs, code, reply);
    if (first)
        __atomic_store_n(first, 0, __ATOMIC_RELAXED);
    return code;
}

static int copy_reply(const struct udfvm_reply *reply, void *output, uint64_t capacity,
                      struct udfvm_error *error)
{
    if (reply->length > capacity)
        return udfvm_fail(error, UDFVM_E_OUTPUT, "the result of %s is larger than the buffer of %s",
                          udfvm_format_size(reply->length).text, udfvm_format_size(capacity).text);
    memcpy(output, reply->data, reply->length);
    return UDFVM_OK;
}

int udfvm_vm_fresh_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                        const struct udfvm_limits *limits, void *output, uint64_t capacity,
                        uint64_t *output_length, int *status, struct udfvm_error *error)
{
    struct udfvm_reply reply;
    struct udfvm_error restore_error;
    int code = udfvm_vm_call(vm, request, input, length, limits, &reply, error);
    if (code == UDFVM_OK) {
        *status = reply.status;
        *output_length = reply.length;
        code = copy_reply(&reply, output, capacity, error);
    }
    int restored = udfvm_vm_restore(vm, &restore_error);
    if (code == UDFVM_OK && restored != UDFVM_OK && error)
        *error = restore_error;
    return code != UDFVM_OK ? code : restored;
}
