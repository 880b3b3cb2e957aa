/* Putting the processor back. General registers are set at every entry, vector state and segments
 * by the resume stub (stubs.S). What else ring 3 can change takes an exception, an instruction in
 * whose shadow interrupts wait, or the trap flag; after any of these, and after every call that did
 * not complete, the rest is set anew here. After an exit that was not expected the VM of the
 * hypervisor is closed, and a new one made on the same memory. docs/security.md lists all of it. */
#include "base/error.h"
#include "call/exchange.h"

#define RFLAGS_STATUS 0x8d5ull /* CF PF AF ZF SF OF */
#define RFLAGS_TRAP   0x100ull

void udfvm_vm_enter_sealed(struct udfvm_vm *vm)
{
    struct registers *registers = vm->machine.registers;
    *registers = vm->memory.image->header->state.registers;
    registers->rip = udfvm_system_area_resume_stub(&vm->machine);
    registers->rflags = (registers->rflags & RFLAGS_STATUS) | vm->machine.rflags;
    udfvm_hypervisor_load_registers(vm->machine.hypervisor);
}

static int renew(struct udfvm_vm *vm, struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_machine_renew(&vm->machine, error));
    return udfvm_image_map_reserve(vm->memory.image, &vm->machine, error);
}

static int renew_or_reset(struct udfvm_vm *vm, bool stack_used, struct udfvm_error *error)
{
    struct machine *machine = &vm->machine;
    /* With the trap flag set Intel's processors may hold a single step back that no ioctl takes
     * away (SDM 3, 27.3.1.5). */
    if (vm->unfit || machine->reserve.spent || machine->registers->rflags & RFLAGS_TRAP ||
        (stack_used && udfvm_page_tables_changed(machine)))
        return renew(vm, error);
    if (stack_used || vm->state == VM_BROKEN || udfvm_hypervisor_events_left(machine->hypervisor))
        return udfvm_hypervisor_reset(machine->hypervisor, error);
    return UDFVM_OK;
}

int udfvm_vm_restore_processor(struct udfvm_vm *vm, struct udfvm_error *error)
{
    const bool stack_used = udfvm_system_area_stack_used(vm->machine.system);
    const int code = renew_or_reset(vm, stack_used, error);
    if (code == UDFVM_OK && stack_used)
        udfvm_system_area_scrub_stack(vm->machine.system);
    vm->unfit = code != UDFVM_OK;
    return code;
}

bool udfvm_vm_never_began(const struct udfvm_vm *vm)
{
    return vm->unfit && !vm->begun && udfvm_hypervisor_refused_entry(vm->machine.hypervisor) &&
           vm->machine.registers->rip == udfvm_system_area_resume_stub(&vm->machine);
}
