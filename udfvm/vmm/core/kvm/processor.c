/* Putting the processor back, and what is done after each kind of exit.
 *
 * General registers are set at every entry, vector state and segments by the resume stub (stubs.S).
 * What else ring 3 can change takes an exception, an instruction in whose shadow interrupts wait,
 * or the trap flag; after any of these, and after every call that did not complete, the rest is set
 * anew here. docs/security.md lists all of it.
 *
 *   KVM_EXIT_IO, an OUT of one byte to the hypercall port   a hypercall: nothing is left to be done
 * by KVM but to step over the instruction, which it does not do once the instruction pointer is
 * another. (OUTS comes so as well, and leaves even less.) KVM_RUN with EINTR deadline, interrupt,
 * end of a stream: between two instructions KVM_EXIT_IO, any other           the emulation of an IN
 * or INS may be unfinished: KVM would go on with it at the next entry, wherever that is
 *   KVM_EXIT_FAIL_ENTRY, _INTERNAL_ERROR    what is wrong with the vCPU's state may stay so
 *   KVM_EXIT_MMIO, _SHUTDOWN, all others    nothing that a guest of ours does; MMIO has unfinished
 * emulation, too
 *
 * After the last three the KVM VM is closed, and a new one made on the same memory.
 */
#include <sys/ioctl.h>

#include "image/image_format.h"

#define RFLAGS_STATUS 0x8d5ull /* CF PF AF ZF SF OF */
#define RFLAGS_TRAP   0x100ull

void udfvm_vm_enter_sealed(struct udfvm_vm *vm)
{
    struct kvm_run *run = vm->machine.run;
    struct kvm_regs *registers = &run->s.regs.regs;
    *registers = vm->image->header->state.registers;
    registers->rip = udfvm_system_area_resume_stub(&vm->machine);
    registers->rflags = (registers->rflags & RFLAGS_STATUS) | vm->machine.rflags;
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static bool events_left(const struct kvm_vcpu_events *events)
{
    return events->exception.injected || events->exception.pending || events->interrupt.injected ||
           events->interrupt.shadow || events->nmi.injected || events->nmi.pending ||
           events->nmi.masked || events->triple_fault.pending;
}

int udfvm_vm_restore_processor(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct machine *machine = &vm->machine;
    const struct kvm_sync_regs *last = &machine->run->s.regs;
    const bool used = udfvm_system_area_stack_used(machine->system);
    int code = UDFVM_OK;
    /* With the trap flag set Intel's processors may hold a single step back that no ioctl takes
     * away (SDM 3, 27.3.1.5). */
    if (vm->unfit || last->regs.rflags & RFLAGS_TRAP ||
        (used && udfvm_page_tables_changed(machine)))
        code = udfvm_machine_renew(machine, error);
    else if (used || vm->state == VM_BROKEN || events_left(&last->events))
        code = udfvm_machine_reset(machine, error);
    if (code == UDFVM_OK && used)
        udfvm_system_area_scrub_stack(machine->system);
    vm->unfit = code != UDFVM_OK;
    return code;
}

bool udfvm_vm_never_began(const struct udfvm_vm *vm)
{
    const struct kvm_run *run = vm->machine.run;
    const bool refused = run->exit_reason == KVM_EXIT_FAIL_ENTRY ||
                         run->exit_reason == KVM_EXIT_INTERNAL_ERROR;
    return vm->unfit && !vm->begun && refused &&
           run->s.regs.regs.rip == udfvm_system_area_resume_stub(&vm->machine);
}
