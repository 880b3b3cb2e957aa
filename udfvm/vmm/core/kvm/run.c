/* Entering the guest. Which exit leaves what:
 *
 *   KVM_EXIT_IO, an OUT of one byte to the hypercall port
 *       A hypercall. KVM has nothing left to do but to step over the instruction, which it does not
 *       do once the instruction pointer is another. (OUTS comes so as well, and leaves even less.)
 *   KVM_RUN with EINTR
 *       A signal, or immediate_exit: between two instructions.
 *   KVM_EXIT_IO, any other
 *       The emulation of an IN or INS may be unfinished: KVM would go on with it at the next entry,
 *       wherever that is.
 *   KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR
 *       What is wrong with the vCPU's state may stay so.
 *   KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, all others
 *       Nothing that a guest of ours does; MMIO has unfinished emulation, too.
 *
 * After the last three the VM must not run again.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "udfvm_abi.h"

#include "base/error.h"
#include "kvm/kvm.h"

_Static_assert(sizeof(struct registers) == sizeof(struct kvm_regs) &&
                   offsetof(struct registers, r8) == offsetof(struct kvm_regs, r8) &&
                   offsetof(struct registers, rdi) == offsetof(struct kvm_regs, rdi) &&
                   offsetof(struct registers, rflags) == offsetof(struct kvm_regs, rflags),
               "struct registers is laid out as struct kvm_regs");

struct registers *udfvm_hypervisor_registers(const struct hypervisor *hypervisor)
{
    return hypervisor->run ? (struct registers *)&hypervisor->run->s.regs.regs : NULL;
}

void udfvm_hypervisor_load_registers(struct hypervisor *hypervisor)
{
    hypervisor->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static bool is_hypercall(const struct kvm_run *run)
{
    return run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
           run->io.port == UDFVM_PORT && run->io.size == 1 && run->io.count == 1;
}

enum hypervisor_exit udfvm_hypervisor_run(struct hypervisor *hypervisor)
{
    if (ioctl(hypervisor->vcpu, KVM_RUN, 0) < 0)
        return errno == EINTR || errno == EAGAIN ? EXIT_INTERRUPTED : EXIT_FAILED;
    return is_hypercall(hypervisor->run) ? EXIT_HYPERCALL : EXIT_UNEXPECTED;
}

int udfvm_hypervisor_fail_exit(const struct hypervisor *hypervisor, enum hypervisor_exit last,
                               struct udfvm_error *error)
{
    const struct kvm_run *run = hypervisor->run;
    const unsigned long long rip = udfvm_hypervisor_registers(hypervisor)->rip;
    if (last == EXIT_FAILED)
        return udfvm_fail_errno(error, "KVM_RUN");
    if (run->exit_reason == KVM_EXIT_IO)
        return udfvm_fail(error, UDFVM_E_PROTOCOL, "the guest used I/O port %#x at %#llx",
                          run->io.port, rip);
    if (run->exit_reason == KVM_EXIT_SHUTDOWN)
        return udfvm_fail(error, UDFVM_E_PROTOCOL,
                          "the guest's processor shut down (triple fault) at %#llx", rip);
    return udfvm_fail(error, UDFVM_E_PROTOCOL,
                      "the guest's processor stopped at %#llx (KVM exit %u)", rip,
                      run->exit_reason);
}

bool udfvm_hypervisor_refused_entry(const struct hypervisor *hypervisor)
{
    const unsigned reason = hypervisor->run->exit_reason;
    return reason == KVM_EXIT_FAIL_ENTRY || reason == KVM_EXIT_INTERNAL_ERROR;
}

void udfvm_hypervisor_stop(struct hypervisor *hypervisor)
{
    __atomic_store_n(&hypervisor->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

void udfvm_hypervisor_allow(struct hypervisor *hypervisor)
{
    __atomic_store_n(&hypervisor->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

int udfvm_hypervisor_block_signals(const struct hypervisor *hypervisor, const sigset_t *blocked,
                                   struct udfvm_error *error)
{
    struct {
        struct kvm_signal_mask head;
        uint64_t signals;
    } __attribute__((packed)) mask = { .head.len = sizeof mask.signals };
    if (blocked)
        memcpy(&mask.signals, blocked, sizeof mask.signals);
    if (ioctl(hypervisor->vcpu, KVM_SET_SIGNAL_MASK, &mask) < 0)
        return udfvm_fail_errno(error, "KVM_SET_SIGNAL_MASK");
    return UDFVM_OK;
}
