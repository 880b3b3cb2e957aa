/* The processor of a VM: how it begins, and how it is put back. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/error.h"
#include "kvm/kvm.h"

#define MSR_SYSENTER_CS    0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u

/* Where KVM can do without: it need not change the guest's code at a `vmcall` of the other vendor,
 * nor serve what CPUID does not promise. */
static void leave_out_extras(const struct hypervisor *hypervisor)
{
    struct kvm_enable_cap features = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
    (void)ioctl(hypervisor->vcpu, KVM_ENABLE_CAP, &features);
#ifdef KVM_CAP_DISABLE_QUIRKS2
    const int known = ioctl(hypervisor->fd, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS2);
    struct kvm_enable_cap quirks = { .cap = KVM_CAP_DISABLE_QUIRKS2,
                                     .args = { known > 0 ? (uint64_t)known &
                                                               (KVM_X86_QUIRK_FIX_HYPERCALL_INSN |
                                                                KVM_X86_QUIRK_OUT_7E_INC_RIP)
                                                         : 0 } };
    if (quirks.args[0])
        (void)ioctl(hypervisor->fd, KVM_ENABLE_CAP, &quirks);
#endif
}

static int set_special_registers(struct hypervisor *hypervisor,
                                 const struct processor_features *features,
                                 struct udfvm_error *error)
{
    struct kvm_sregs *sregs = &hypervisor->sregs;
    const struct processor_setup *setup = &hypervisor->setup;
    if (ioctl(hypervisor->vcpu, KVM_GET_SREGS, sregs) < 0)
        return udfvm_fail_errno(error, "KVM_GET_SREGS");
    sregs->cr3 = setup->page_tables;
    sregs->cr0 = 0x80010033;                       /* PG WP NE ET MP PE */
    sregs->cr4 = 0x20 | 0x600 | 1 << 16 | 1 << 18; /* PAE, OSFXSR OSXMMEXCPT, FSGSBASE, OSXSAVE */
    sregs->cr4 |= (features->smep ? 1 << 20 : 0) | (features->umip ? 1 << 11 : 0);
    sregs->efer = 0xd01; /* NXE LMA LME SCE */
    sregs->cs = (struct kvm_segment){ .limit = 0xffffffff,
                                      .selector = setup->code_selector,
                                      .type = 11,
                                      .present = 1,
                                      .dpl = 3,
                                      .s = 1,
                                      .l = 1,
                                      .g = 1 };
    struct kvm_segment data = { .limit = 0xffffffff,
                                .selector = setup->data_selector,
                                .type = 3,
                                .present = 1,
                                .dpl = 3,
                                .db = 1,
                                .s = 1,
                                .g = 1 };
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->gdt = (struct kvm_dtable){ .base = setup->gdt.base, .limit = setup->gdt.limit };
    sregs->idt = (struct kvm_dtable){ .base = setup->idt.base, .limit = setup->idt.limit };
    sregs->tr = (struct kvm_segment){ .base = setup->task.base,
                                      .limit = setup->task.limit,
                                      .selector = setup->task_selector,
                                      .type = 11,
                                      .present = 1 };
    /* After a reset there is one, of 64 KiB at address 0: ring 3 could then name bytes of the
     * system area as descriptors. */
    sregs->ldt = (struct kvm_segment){ .unusable = 1 };
    if (ioctl(hypervisor->vcpu, KVM_SET_SREGS, sregs) < 0)
        return udfvm_fail_errno(error, "KVM_SET_SREGS");
    return UDFVM_OK;
}

/* What decides where ring 3 enters ring 0, and with what. Those left out are 0: none of these ways
 * is used. */
static int set_entry_registers(const struct hypervisor *hypervisor, struct udfvm_error *error)
{
    const struct processor_setup *setup = &hypervisor->setup;
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entries[8];
    } msrs = {
        .head = { .nmsrs = 8 },
        .entries = {
            { .index = MSR_STAR, .data = setup->star },
            { .index = MSR_LSTAR, .data = setup->system_call_entry },
            { .index = MSR_SFMASK, .data = setup->flags_mask },
            { .index = MSR_CSTAR },
            { .index = MSR_KERNEL_GS_BASE },
            { .index = MSR_SYSENTER_CS },
            { .index = MSR_SYSENTER_ESP },
            { .index = MSR_SYSENTER_EIP },
        },
    };
    return ioctl(hypervisor->vcpu, KVM_SET_MSRS, &msrs) == 8
               ? UDFVM_OK
               : udfvm_fail_errno(error, "KVM_SET_MSRS");
}

static int set_model_registers(const struct hypervisor *hypervisor, uint64_t xcr0,
                               struct udfvm_error *error)
{
    struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = xcr0 } } };
    if (ioctl(hypervisor->vcpu, KVM_SET_XCRS, &xcrs) < 0)
        return udfvm_fail_errno(error, "KVM_SET_XCRS");
    UDFVM_TRY(set_entry_registers(hypervisor, error));
    /* The guest's time stamp counter is the host's, so that the host can say what time it was at
     * which count. */
    uint64_t offset = 0;
    struct kvm_device_attr attribute = { .group = KVM_VCPU_TSC_CTRL,
                                         .attr = KVM_VCPU_TSC_OFFSET,
                                         .addr = (uint64_t)&offset };
    if (ioctl(hypervisor->vcpu, KVM_SET_DEVICE_ATTR, &attribute) < 0)
        return udfvm_fail_errno(error, "KVM_VCPU_TSC_OFFSET (Linux 5.16 or later is needed)");
    return UDFVM_OK;
}

int udfvm_vcpu_create(struct hypervisor *hypervisor, int kvm, struct udfvm_error *error)
{
    struct processor_features features;
    UDFVM_TRY(udfvm_processor_features(kvm, &features, error));
    const int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size <= 0)
        return udfvm_fail_errno(error, "KVM_GET_VCPU_MMAP_SIZE");
    hypervisor->run_size = (size_t)size;
    hypervisor->vcpu = ioctl(hypervisor->fd, KVM_CREATE_VCPU, 0);
    if (hypervisor->vcpu < 0)
        return udfvm_fail_errno(error, "KVM_CREATE_VCPU");
    void *run = mmap(NULL, hypervisor->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                     hypervisor->vcpu, 0);
    if (run == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping the vCPU");
    hypervisor->run = run;
    /* A shared mapping: a forked child would write the parent's registers. */
    madvise(run, hypervisor->run_size, MADV_DONTFORK);
    leave_out_extras(hypervisor);
    if (ioctl(hypervisor->vcpu, KVM_SET_CPUID2, &features.cpuid) < 0)
        return udfvm_fail_errno(error, "KVM_SET_CPUID2");
    UDFVM_TRY(set_special_registers(hypervisor, &features, error));
    UDFVM_TRY(set_model_registers(hypervisor, features.xcr0, error));
    hypervisor->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS;
    return udfvm_hypervisor_block_signals(hypervisor, NULL, error);
}

bool udfvm_hypervisor_events_left(const struct hypervisor *hypervisor)
{
    const struct kvm_vcpu_events *events = &hypervisor->run->s.regs.events;
    return events->exception.injected || events->exception.pending || events->interrupt.injected ||
           events->interrupt.shadow || events->nmi.injected || events->nmi.pending ||
           events->nmi.masked || events->triple_fault.pending;
}

void udfvm_hypervisor_lead_calls(struct hypervisor *hypervisor, uint64_t system_call_entry)
{
    hypervisor->setup.system_call_entry = system_call_entry;
}

int udfvm_hypervisor_reset(struct hypervisor *hypervisor, struct udfvm_error *error)
{
    /* Nothing pending, nothing being injected, no instruction in whose shadow interrupts wait. */
    struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_SHADOW |
                                               KVM_VCPUEVENT_VALID_NMI_PENDING };
    if (ioctl(hypervisor->vcpu, KVM_SET_VCPU_EVENTS, &events) < 0)
        return udfvm_fail_errno(error, "KVM_SET_VCPU_EVENTS");
    if (ioctl(hypervisor->vcpu, KVM_SET_SREGS, &hypervisor->sregs) < 0)
        return udfvm_fail_errno(error, "KVM_SET_SREGS");
    UDFVM_TRY(set_entry_registers(hypervisor, error));
    struct kvm_debugregs debug = { .dr6 = 0xffff0ff0,
                                   .dr7 = 0x400 }; /* as after a reset: a single step changes DR6 */
    if (ioctl(hypervisor->vcpu, KVM_SET_DEBUGREGS, &debug) < 0)
        return udfvm_fail_errno(error, "KVM_SET_DEBUGREGS");
    struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };
    if (ioctl(hypervisor->vcpu, KVM_SET_MP_STATE, &state) < 0 && errno != EINVAL && errno != ENXIO)
        return udfvm_fail_errno(error, "KVM_SET_MP_STATE");
    return UDFVM_OK;
}

uint32_t udfvm_hypervisor_tsc_khz(const struct hypervisor *hypervisor, struct udfvm_error *error)
{
    const int khz = ioctl(hypervisor->vcpu, KVM_GET_TSC_KHZ, 0);
    if (khz > 0)
        return (uint32_t)khz;
    udfvm_fail_errno(error, "KVM_GET_TSC_KHZ");
    return 0;
}
