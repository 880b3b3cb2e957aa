/* Calls within calls, which host functions, log sinks and signal handlers may make. Behind the
 * filter of system calls none of these runs: see udfvm_outside. */
#include "call/vcpu_thread.h"
#include "call/vm.h"

/* VMs in whose calls this thread runs the embedder's code; the innermost first. */
static _Thread_local struct udfvm_vm *outside;

void udfvm_vm_out(struct udfvm_vm *vm)
{
    if (udfvm_on_vcpu_thread())
        return;
    vm->outer = outside;
    outside = vm;
}

void udfvm_vm_in(struct udfvm_vm *vm)
{
    if (!udfvm_on_vcpu_thread())
        outside = vm->outer;
}

unsigned udfvm_vms_out(const struct udfvm_pool *pool)
{
    unsigned count = 0;
    for (const struct udfvm_vm *vm = outside; vm; vm = vm->outer)
        count += vm->pool == pool;
    return count;
}
