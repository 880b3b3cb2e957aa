/* The embedder's access to the windows of a VM: requests in place, borrowed replies. */
#include "base/error.h"
#include "call/vm.h"

uint64_t udfvm_vm_input_capacity(const udfvm_vm *vm)
{
    return udfvm_span_input_capacity(&vm->memory);
}

void *udfvm_vm_input(udfvm_vm *vm, uint64_t size, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (udfvm_vm_check(vm, error) != UDFVM_OK)
        return NULL;
    udfvm_costs_placing(vm);
    return udfvm_span_input(&vm->memory, size, error);
}

void *udfvm_vm_borrow(udfvm_vm *vm, uint64_t begin, uint64_t length, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (udfvm_vm_check(vm, error) != UDFVM_OK)
        return NULL;
    if (vm->state != VM_STOPPED || vm->stream || begin > vm->reply_length ||
        length > vm->reply_length - begin) {
        udfvm_fail(error, UDFVM_E_ARGUMENT, "the VM has no such reply to borrow");
        return NULL;
    }
    if (vm->remote)
        return vm->remote->borrow(vm, begin, length, error);
    return udfvm_span_borrow(&vm->memory, begin, length, error);
}
