/* Putting a VM back, and moving it to another image. */
#include "base/error.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "call/streaming.h"
#include "call/vm.h"

static int put_back(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (vm->machine.reserve.read_only)
        return udfvm_fail(error, UDFVM_E_SYSTEM, "memory of the micro-VM cannot be written");
    UDFVM_TRY(udfvm_memory_restore(&vm->memory, error));
    UDFVM_TRY(udfvm_reserve_restore(&vm->machine, error));
    return udfvm_vm_restore_processor(vm, error);
}

static int restore(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (vm->remote)
        return vm->remote->restore(vm, error);
    /* A request that was begun and not sent: the next call finds what is left of it. */
    vm->memory.spans.asked = 0;
    if (vm->state == VM_SEALED)
        return UDFVM_OK;
    udfvm_files_close_all(vm);
    const int code = put_back(vm, error);
    udfvm_log_clear(&vm->log);
    vm->state = code == UDFVM_OK ? VM_SEALED : VM_BROKEN;
    return code;
}

int udfvm_vm_restore(udfvm_vm *vm, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    UDFVM_TRY(udfvm_vm_check(vm, error));
    udfvm_stream_end(vm);
    if (vm->state == VM_UNSEALED)
        return udfvm_fail(error, UDFVM_E_ARGUMENT,
                          "a VM that was booted has no sealed state to go back to");
    udfvm_costs_restore(vm);
    const int code = restore(vm, error);
    udfvm_costs_end(vm);
    return code;
}

/* Where that fails, what was being zeroed or mapped may not be. */
static int broken_unless_ok(struct udfvm_vm *vm, int code)
{
    if (code != UDFVM_OK)
        vm->state = VM_BROKEN;
    return code;
}

int udfvm_vm_bind(udfvm_vm *vm, udfvm_image *image, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (vm->state != VM_SEALED || !udfvm_image_same_base(vm->memory.image, image))
        return udfvm_fail(error, UDFVM_E_ARGUMENT,
                          "a VM moves only while restored, and only between images of one base");
    if (vm->memory.image == image)
        return UDFVM_OK;
    if (vm->remote)
        return vm->remote->bind(vm, image, error);
    udfvm_memory_bind(&vm->memory, image);
    udfvm_system_area_state(vm->machine.system, &image->header->state);
    return broken_unless_ok(vm, udfvm_image_map_reserve(image, &vm->machine, error));
}

int udfvm_vm_drop_buffers(struct udfvm_vm *vm, struct udfvm_error *error)
{
    return broken_unless_ok(vm, vm->remote ? vm->remote->shrink(vm, false, error)
                                           : udfvm_memory_drop_buffers(&vm->memory, error));
}

int udfvm_vm_shrink(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (vm->state != VM_SEALED || !vm->memory.image)
        return UDFVM_OK;
    return broken_unless_ok(vm, vm->remote ? vm->remote->shrink(vm, true, error)
                                           : udfvm_memory_shrink(&vm->memory, error));
}
