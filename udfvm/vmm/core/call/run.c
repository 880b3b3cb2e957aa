/* Running the vCPU until an exchange ends. */
#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "call/vcpu_thread.h"
#include "call/watchdog.h"

bool udfvm_vm_watched_out(struct udfvm_vm *vm)
{
    return vm->watch && vm->watch(vm->watch_context) != 0;
}

int udfvm_vm_fail_own_timeout(const struct udfvm_vm *vm, struct udfvm_error *error)
{
    const bool imports = vm->limits.first_call_ns && vm->opened_files;
    const bool extended = vm->first_end_ns && vm->opened_files;
    return udfvm_fail(error, UDFVM_E_TIMEOUT, "the call did not end within %.3g s%s%s",
                      (double)vm->limits.timeout_ns / 1e9,
                      extended ? " of the last file that it opened" : "",
                      imports ? "; pass sample= to have what it imports in its image" : "");
}

int udfvm_vm_fail_timeout(const struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (vm->deadline.of_outer)
        return udfvm_fail(error, UDFVM_E_TIMEOUT,
                          "the call did not end by the deadline of the call that it is part of");
    return udfvm_vm_fail_own_timeout(vm, error);
}

/* UDFVM_OK to go on. */
static int look_outside(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (atomic_load_explicit(&vm->deadline.expired, memory_order_relaxed))
        return udfvm_vm_fail_timeout(vm, error);
    bool stopped = false;
    udfvm_vm_out(vm);
    if (atomic_load_explicit(&vm->deadline.due, memory_order_relaxed)) {
        stopped = udfvm_vm_watched_out(vm);
        if (!stopped && !udfvm_vm_forked(vm))
            udfvm_deadline_looked(&vm->deadline);
    }
    stopped = stopped || udfvm_interrupted();
    udfvm_vm_in(vm);
    if (udfvm_vm_forked(vm))
        return udfvm_vm_fail_forked(error);
    return stopped ? udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted") : UDFVM_OK;
}

int udfvm_vm_fail_output(const struct udfvm_vm *vm, uint64_t length, struct udfvm_error *error)
{
    const uint64_t frame = vm->limits.reply_frame;
    udfvm_fail(error, UDFVM_E_OUTPUT, "the result of %s is larger than the limit of %s",
               udfvm_format_size(length - frame).text,
               udfvm_format_size(vm->limits.max_output - frame).text);
    if (error)
        error->address = length - frame;
    return UDFVM_E_OUTPUT;
}

int udfvm_vm_completed(struct udfvm_vm *vm, uint64_t status, uint64_t length,
                       struct udfvm_reply *reply, struct udfvm_error *error)
{
    const bool in_place = status == UDFVM_STATUS_IN_PLACE && vm->max_reply > vm->limits.max_output;
    if (status > UDFVM_STATUS_ERROR && !in_place)
        return udfvm_fail(
            error, UDFVM_E_PROTOCOL,
            "the guest ended the call with a status that does not exist: the function's own "
            "code may have written into the memory of what runs it");
    const uint64_t reachable = UDFVM_LOGGED_OUTPUT +
                               (vm->machine.unlogged_open ? vm->machine.unlogged_bytes : 0);
    const uint64_t allowed = in_place ? vm->max_reply : vm->limits.max_output;
    if (length > allowed || length > reachable) /* also what is larger than the window can be */
        return udfvm_vm_fail_output(vm, length, error);
    reply->status = in_place ? UDFVM_STATUS_OK : (int)status;
    reply->data = vm->machine.output;
    reply->length = vm->reply_length = length;
    return UDFVM_OK;
}

/* In a streaming call the caller's thread has its own phases meanwhile. */
static void pass_to(struct udfvm_vm *vm, enum phase phase)
{
    if (!vm->stream)
        udfvm_costs_phase(&vm->costs, phase);
}

int udfvm_vm_run_vcpu(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct hypervisor *hypervisor = vm->machine.hypervisor;
    for (;;) {
        vm->exits++;
        pass_to(vm, PHASE_GUEST);
        atomic_store(&vm->deadline.entered, true);
        const enum hypervisor_exit last = udfvm_hypervisor_run(hypervisor);
        atomic_store_explicit(&vm->deadline.entered, false, memory_order_release);
        pass_to(vm, PHASE_HOST);
        if (last == EXIT_INTERRUPTED) {
            vm->signals_shut |= udfvm_signals_settle(hypervisor);
            if (!vm->limits.deterministic)
                udfvm_tick(&vm->machine, &vm->memory);
            if (udfvm_deadline_only_ticked(&vm->deadline))
                continue;
            return HYPERCALL_INTERRUPTED;
        }
        if (last != EXIT_HYPERCALL) {
            udfvm_hypervisor_fail_exit(hypervisor, last, error);
            vm->unfit = true;
            return HYPERCALL_FAILED;
        }
        vm->begun = true;
        const int kind = udfvm_hypercall(vm, vm->machine.registers, error);
        if (kind != HYPERCALL_CONTINUE)
            return kind;
        udfvm_hypervisor_load_registers(hypervisor);
    }
}

static int run_exchange(struct udfvm_vm *vm, struct udfvm_error *error)
{
    for (;;) {
        const int kind = udfvm_is_hardened() ? udfvm_vcpu_thread_run(vm, error)
                                             : udfvm_vm_run_vcpu(vm, error);
        if (kind != HYPERCALL_INTERRUPTED)
            return kind;
        if (look_outside(vm, error) != UDFVM_OK)
            return HYPERCALL_FAILED;
    }
}

int udfvm_vm_run(struct udfvm_vm *vm, struct udfvm_reply *reply, struct udfvm_error *error)
{
    struct udfvm_error local = { .code = UDFVM_OK };
    *reply = (struct udfvm_reply){ .sealed = 0 };
    int kind = run_exchange(vm, &local);
    udfvm_deadline_stop(&vm->deadline);
    int code = udfvm_vm_blame_data(vm, local.code, &local);
    if (code == UDFVM_E_FORKED) { /* nothing of the VM is here any more */
        if (error)
            *error = local;
        return code;
    }
    if (kind == HYPERCALL_COMPLETE)
        code = udfvm_vm_completed(vm, vm->machine.registers->rdi, vm->machine.registers->rsi, reply,
                                  &local);
    reply->sealed = kind == HYPERCALL_SEAL;
    code = udfvm_log_give(vm, code, reply->status == UDFVM_STATUS_ERROR, &local);
    reply->log = vm->log.text;
    reply->log_length = vm->log.length;
    if (vm->state != VM_UNSEALED)
        vm->state = code == UDFVM_OK ? VM_STOPPED : VM_BROKEN;
    if (code != UDFVM_OK && error)
        *error = local;
    return code;
}
