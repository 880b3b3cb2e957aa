/* One KVM VM: memory slots, one vCPU in long mode at ring 3. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define MSR_SYSENTER_CS    0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define RFLAGS_TF_DF_AC_IF 0x40700ull

enum { SLOT_FIXED = 0, SLOT_MEMORY = 1, SLOT_INPUT = 2, SLOT_WIDE = 3, SLOT_TABLES = 4 };

static int map_anonymous(const uint8_t **where, uint64_t bytes, struct udfvm_error *error)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping %llu bytes of guest memory",
                                (unsigned long long)bytes);
    *where = at;
    return UDFVM_OK;
}

static void unmap(const uint8_t *at, uint64_t bytes)
{
    munmap((void *)(uintptr_t)at, bytes);
}

/* Aligned to 2 MiB, so that KVM can use huge pages. */
static int map_aligned(const uint8_t **where, uint64_t bytes, struct udfvm_error *error)
{
    const uint8_t *at = NULL;
    int code = map_anonymous(&at, bytes + HUGE_PAGE, error);
    if (code != UDFVM_OK)
        return code;
    uint64_t head = (HUGE_PAGE - (uintptr_t)at % HUGE_PAGE) % HUGE_PAGE;
    if (head)
        unmap(at, head);
    unmap(at + head + bytes, HUGE_PAGE - head);
    *where = at + head;
    return UDFVM_OK;
}

/* Program memory, output window and scratch lie together, in the guest's physical memory as here.
 */
static uint64_t mapped_bytes(const struct machine *machine)
{
    return machine->memory_bytes + UDFVM_LOGGED_OUTPUT + machine->wide_bytes;
}

static int map_system(struct machine *machine, struct udfvm_error *error)
{
    const uint8_t *at = NULL;
    int code = map_anonymous(&at, SYSTEM_SIZE, error);
    machine->system = (uint8_t *)(uintptr_t)at;
    return code;
}

static int map_guest(struct machine *machine, int image_fd, uint64_t image_offset,
                     struct udfvm_error *error)
{
    int code = map_system(machine, error);
    if (code == UDFVM_OK)
        code = map_aligned(&machine->memory, mapped_bytes(machine), error);
    if (code == UDFVM_OK)
        code = map_aligned(&machine->input, machine->input_bytes, error);
    if (code != UDFVM_OK)
        return code;
    machine->output = machine->memory + machine->memory_bytes;
    machine->wide = machine->output + UDFVM_LOGGED_OUTPUT;
    if (machine->wide_bytes)
        udfvm_span_advise(machine->wide, machine->wide_bytes, MADV_HUGEPAGE);
    udfvm_span_advise(machine->input, machine->input_bytes, MADV_HUGEPAGE);
    if (image_fd < 0)
        udfvm_span_advise(machine->memory, machine->memory_bytes, MADV_HUGEPAGE);
    else if (mmap((void *)(uintptr_t)machine->memory, machine->memory_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, image_fd,
                  (off_t)image_offset) == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping the image");
    /* A forked child cannot use the VM; sharing its pages copy-on-write would only make the
     * parent's fault again. */
    udfvm_span_advise(machine->system, SYSTEM_SIZE, MADV_DONTFORK);
    udfvm_span_advise(machine->memory, mapped_bytes(machine), MADV_DONTFORK);
    udfvm_span_advise(machine->input, machine->input_bytes, MADV_DONTFORK);
    return UDFVM_OK;
}

static int add_slot(const struct machine *machine, uint32_t slot, uint32_t flags, uint64_t physical,
                    uint64_t bytes, const uint8_t *host, struct udfvm_error *error)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = physical,
        .memory_size = bytes,
        .userspace_addr = (uint64_t)host,
    };
    if (ioctl(machine->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return udfvm_fail_errno(error, "KVM_SET_USER_MEMORY_REGION (slot %u)", slot);
    return UDFVM_OK;
}

static int add_slots(struct machine *machine, struct udfvm_error *error)
{
    uint32_t log = 0;
    if (machine->dirty_log) {
        /* Manual protection: reading the log does not write-protect the pages again, so a page
         * faults once and then is hot. */
        struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                                      .args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } };
        if (ioctl(machine->fd, KVM_ENABLE_CAP, &cap) < 0)
            return udfvm_fail_errno(error, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
        log = KVM_MEM_LOG_DIRTY_PAGES;
    }
    const uint64_t logged = machine->memory_bytes + UDFVM_LOGGED_OUTPUT;
    int code = add_slot(machine, SLOT_FIXED, KVM_MEM_READONLY, 0, SYSTEM_FIXED_END, machine->system,
                        error);
    if (code == UDFVM_OK)
        code = add_slot(machine, SLOT_TABLES, 0, SYSTEM_FIXED_END, SYSTEM_SIZE - SYSTEM_FIXED_END,
                        machine->system + SYSTEM_FIXED_END, error);
    if (code == UDFVM_OK)
        code = add_slot(machine, SLOT_MEMORY, log, SYSTEM_SIZE, logged, machine->memory, error);
    if (code == UDFVM_OK && machine->wide_bytes)
        code = add_slot(machine, SLOT_WIDE, 0, SYSTEM_SIZE + logged, machine->wide_bytes,
                        machine->wide, error);
    if (code == UDFVM_OK)
        code = add_slot(machine, SLOT_INPUT, 0, SYSTEM_SIZE + mapped_bytes(machine),
                        machine->input_bytes, machine->input, error);
    return code;
}

/* Where KVM can do without: it need not change the guest's code at a `vmcall` of the other vendor,
 * nor serve what CPUID does not promise. */
static void leave_out_extras(const struct machine *machine)
{
    struct kvm_enable_cap features = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
    (void)ioctl(machine->vcpu, KVM_ENABLE_CAP, &features);
#ifdef KVM_CAP_DISABLE_QUIRKS2
    const int known = ioctl(machine->fd, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS2);
    struct kvm_enable_cap quirks = { .cap = KVM_CAP_DISABLE_QUIRKS2,
                                     .args = { known > 0 ? (uint64_t)known &
                                                               (KVM_X86_QUIRK_FIX_HYPERCALL_INSN |
                                                                KVM_X86_QUIRK_OUT_7E_INC_RIP)
                                                         : 0 } };
    if (quirks.args[0])
        (void)ioctl(machine->fd, KVM_ENABLE_CAP, &quirks);
#endif
}

static int set_special_registers(struct machine *machine, const struct processor_features *features,
                                 struct udfvm_error *error)
{
    struct kvm_sregs *sregs = &machine->sregs;
    if (ioctl(machine->vcpu, KVM_GET_SREGS, sregs) < 0)
        return udfvm_fail_errno(error, "KVM_GET_SREGS");
    sregs->cr3 = SYSTEM_PML4;
    sregs->cr0 = 0x80010033;                       /* PG WP NE ET MP PE */
    sregs->cr4 = 0x20 | 0x600 | 1 << 16 | 1 << 18; /* PAE, OSFXSR OSXMMEXCPT, FSGSBASE, OSXSAVE */
    sregs->cr4 |= (features->smep ? 1 << 20 : 0) | (features->umip ? 1 << 11 : 0);
    sregs->efer = 0xd01; /* NXE LMA LME SCE */
    sregs->cs = (struct kvm_segment){ .limit = 0xffffffff,
                                      .selector = SELECTOR_RING3_CODE,
                                      .type = 11,
                                      .present = 1,
                                      .dpl = 3,
                                      .s = 1,
                                      .l = 1,
                                      .g = 1 };
    struct kvm_segment data = { .limit = 0xffffffff,
                                .selector = SELECTOR_RING3_DATA,
                                .type = 3,
                                .present = 1,
                                .dpl = 3,
                                .db = 1,
                                .s = 1,
                                .g = 1 };
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->gdt = (struct kvm_dtable){ .base = SYSTEM_GDT, .limit = 0x7f };
    sregs->idt = (struct kvm_dtable){ .base = SYSTEM_IDT, .limit = 32 * 16 - 1 };
    sregs->tr = (struct kvm_segment){ .base = SYSTEM_TSS,
                                      .limit = SYSTEM_TSS_END - SYSTEM_TSS - 1,
                                      .selector = SELECTOR_TSS,
                                      .type = 11,
                                      .present = 1 };
    /* After a reset there is one, of 64 KiB at address 0: ring 3 could then name bytes of the
     * system area as descriptors. */
    sregs->ldt = (struct kvm_segment){ .unusable = 1 };
    if (ioctl(machine->vcpu, KVM_SET_SREGS, sregs) < 0)
        return udfvm_fail_errno(error, "KVM_SET_SREGS");
    return UDFVM_OK;
}

/* What decides where ring 3 enters ring 0, and with what. Those left out are 0: none of these ways
 * is used. */
static int set_entry_registers(const struct machine *machine, struct udfvm_error *error)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entries[8];
    } msrs = {
        .head = { .nmsrs = 8 },
        .entries = {
            { .index = MSR_STAR, .data = (uint64_t)SELECTOR_STAR_USER << 48 | (uint64_t)SELECTOR_RING0_CODE << 32 },
            { .index = MSR_LSTAR, .data = machine->behaviour.syscall_stays ? SYSTEM_STUBS : SYSTEM_GATES },
            { .index = MSR_SFMASK, .data = RFLAGS_TF_DF_AC_IF },
            { .index = MSR_CSTAR }, { .index = MSR_KERNEL_GS_BASE },
            { .index = MSR_SYSENTER_CS }, { .index = MSR_SYSENTER_ESP }, { .index = MSR_SYSENTER_EIP },
        },
    };
    return ioctl(machine->vcpu, KVM_SET_MSRS, &msrs) == 8 ? UDFVM_OK
                                                          : udfvm_fail_errno(error, "KVM_SET_MSRS");
}

static int set_model_registers(struct machine *machine, uint64_t xcr0, struct udfvm_error *error)
{
    struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = xcr0 } } };
    if (ioctl(machine->vcpu, KVM_SET_XCRS, &xcrs) < 0)
        return udfvm_fail_errno(error, "KVM_SET_XCRS");
    const int code = set_entry_registers(machine, error);
    if (code != UDFVM_OK)
        return code;
    /* The guest's time stamp counter is the host's, so that the host can say what time it was at
     * which count. */
    uint64_t offset = 0;
    struct kvm_device_attr attribute = { .group = KVM_VCPU_TSC_CTRL,
                                         .attr = KVM_VCPU_TSC_OFFSET,
                                         .addr = (uint64_t)&offset };
    if (ioctl(machine->vcpu, KVM_SET_DEVICE_ATTR, &attribute) < 0)
        return udfvm_fail_errno(error, "KVM_VCPU_TSC_OFFSET (Linux 5.16 or later is needed)");
    return UDFVM_OK;
}

static int create_vcpu(struct machine *machine, int kvm, struct udfvm_error *error)
{
    struct processor_features features;
    int code = udfvm_processor_features(kvm, &features, error);
    if (code != UDFVM_OK)
        return code;
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size <= 0)
        return udfvm_fail_errno(error, "KVM_GET_VCPU_MMAP_SIZE");
    machine->run_size = (size_t)size;
    machine->vcpu = ioctl(machine->fd, KVM_CREATE_VCPU, 0);
    if (machine->vcpu < 0)
        return udfvm_fail_errno(error, "KVM_CREATE_VCPU");
    void *run = mmap(NULL, machine->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
    if (run == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping the vCPU");
    machine->run = run;
    madvise(
        run, machine->run_size,
        MADV_DONTFORK); /* a shared mapping: a forked child would write the parent's registers */
    leave_out_extras(machine);
    if (ioctl(machine->vcpu, KVM_SET_CPUID2, &features.cpuid) < 0)
        return udfvm_fail_errno(error, "KVM_SET_CPUID2");
    code = set_special_registers(machine, &features, error);
    if (code == UDFVM_OK)
        code = set_model_registers(machine, features.xcr0, error);
    machine->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS;
    return code;
}

static int create_vm(struct machine *machine, struct udfvm_error *error)
{
    int kvm = udfvm_kvm_open(error);
    if (kvm < 0)
        return error ? error->code : UDFVM_E_NO_KVM;
    int code = UDFVM_OK;
    do {
        machine->fd = ioctl(kvm, KVM_CREATE_VM, 0);
    } while (machine->fd < 0 &&
             errno == EINTR); /* a signal interrupts the creation of KVM's worker threads */
    if (machine->fd < 0)
        code = udfvm_fail_errno(error, "KVM_CREATE_VM");
    if (code == UDFVM_OK)
        code = add_slots(machine, error);
    if (code == UDFVM_OK)
        code = create_vcpu(machine, kvm, error);
    close(kvm);
    return code;
}

int udfvm_machine_create_as(struct machine *machine, const struct udfvm_config *config,
                            const struct behaviour *behaviour, int image_fd, uint64_t image_offset,
                            struct udfvm_error *error)
{
    *machine = (struct machine){
        .fd = -1,
        .vcpu = -1,
        .memory_bytes = config->memory - SYSTEM_SIZE,
        .input_bytes = config->input_window,
        .output_bytes = config->output_window,
        .wide_bytes = config->output_window - UDFVM_LOGGED_OUTPUT + config->scratch,
        .dirty_log = image_fd >= 0,
        .behaviour = *behaviour,
        .rflags = GUEST_RFLAGS | (behaviour->bitmap_ignored ? RFLAGS_IOPL_3 : 0),
    };
    int code = map_guest(machine, image_fd, image_offset, error);
    if (code == UDFVM_OK) {
        udfvm_system_area_fill(machine);
        udfvm_page_tables_keep(machine);
        code = create_vm(machine, error);
    }
    if (code != UDFVM_OK)
        udfvm_machine_destroy(machine);
    return code;
}

int udfvm_machine_create(struct machine *machine, const struct udfvm_config *config, int image_fd,
                         uint64_t image_offset, struct udfvm_error *error)
{
    struct behaviour behaviour;
    *machine = (struct machine){ .fd = -1, .vcpu = -1 };
    int code = udfvm_behaviour(&behaviour, error);
    return code == UDFVM_OK
               ? udfvm_machine_create_as(machine, config, &behaviour, image_fd, image_offset, error)
               : code;
}

void udfvm_machine_forget_memory(struct machine *machine)
{
    machine->system = NULL;
    machine->memory = machine->input = NULL;
    machine->run = NULL;
}

static void close_vm(struct machine *machine)
{
    if (machine->run)
        munmap(machine->run, machine->run_size);
    if (machine->vcpu >= 0)
        close(machine->vcpu);
    if (machine->fd >= 0)
        close(machine->fd);
    machine->run = NULL;
    machine->fd = machine->vcpu = -1;
}

void udfvm_machine_destroy(struct machine *machine)
{
    close_vm(machine);
    udfvm_page_tables_forget(machine);
    if (machine->system)
        unmap(machine->system, SYSTEM_SIZE);
    if (machine->memory)
        unmap(machine->memory, mapped_bytes(machine));
    if (machine->input)
        unmap(machine->input, machine->input_bytes);
    *machine = (struct machine){ .fd = -1, .vcpu = -1 };
}

int udfvm_machine_renew(struct machine *machine, struct udfvm_error *error)
{
    close_vm(machine);
    /* Page tables and ring-0 stack are written anew; what the VM could not write stays, the sealed
     * state among it. */
    if (udfvm_span_advise(machine->system + SYSTEM_FIXED_END, SYSTEM_SIZE - SYSTEM_FIXED_END,
                          MADV_DONTNEED))
        return udfvm_fail_errno(error, "dropping the page tables");
    udfvm_system_area_fill(machine);
    if (machine->wide_open)
        udfvm_system_area_open(machine);
    const int code = create_vm(machine, error);
    return code == UDFVM_OK ? udfvm_signals_admit(machine->vcpu, error) : code;
}

int udfvm_machine_reset(struct machine *machine, struct udfvm_error *error)
{
    /* Nothing pending, nothing being injected, no instruction in whose shadow interrupts wait. */
    struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_SHADOW |
                                               KVM_VCPUEVENT_VALID_NMI_PENDING };
    if (ioctl(machine->vcpu, KVM_SET_VCPU_EVENTS, &events) < 0)
        return udfvm_fail_errno(error, "KVM_SET_VCPU_EVENTS");
    if (ioctl(machine->vcpu, KVM_SET_SREGS, &machine->sregs) < 0)
        return udfvm_fail_errno(error, "KVM_SET_SREGS");
    const int code = set_entry_registers(machine, error);
    if (code != UDFVM_OK)
        return code;
    struct kvm_debugregs debug = { .dr6 = 0xffff0ff0,
                                   .dr7 = 0x400 }; /* as after a reset: a single step changes DR6 */
    if (ioctl(machine->vcpu, KVM_SET_DEBUGREGS, &debug) < 0)
        return udfvm_fail_errno(error, "KVM_SET_DEBUGREGS");
    struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };
    if (ioctl(machine->vcpu, KVM_SET_MP_STATE, &state) < 0 && errno != EINVAL && errno != ENXIO)
        return udfvm_fail_errno(error, "KVM_SET_MP_STATE");
    return UDFVM_OK;
}

int udfvm_machine_inherit_output(const struct machine *machine, bool inherit,
                                 struct udfvm_error *error)
{
    if (udfvm_span_advise(machine->output, UDFVM_LOGGED_OUTPUT + machine->wide_bytes,
                          inherit ? MADV_DOFORK : MADV_DONTFORK))
        return udfvm_fail_errno(error, "madvise of the output window");
    return UDFVM_OK;
}

const void *udfvm_machine_address(const struct machine *machine, uint64_t address, uint64_t length)
{
    if (address >= SYSTEM_SIZE && address - SYSTEM_SIZE <= machine->memory_bytes &&
        length <= machine->memory_bytes - (address - SYSTEM_SIZE))
        return machine->memory + (address - SYSTEM_SIZE);
    const uint64_t window = UDFVM_LOGGED_OUTPUT + (machine->wide_open ? machine->wide_bytes : 0);
    if (address >= UDFVM_OUTPUT_BASE && address - UDFVM_OUTPUT_BASE <= window &&
        length <= window - (address - UDFVM_OUTPUT_BASE))
        return machine->output + (address - UDFVM_OUTPUT_BASE);
    return NULL;
}
