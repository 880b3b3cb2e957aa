/* State of the processor, whatever a call did to it and however it ended, with the raw guest.
 * Linked with -Wl,--wrap=ioctl, so that KVM can be made to answer what it seldom does. Usage:
 * test_processor raw_guest.bin. Prints what failed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "kvm/kvm.h"
#include "check.h"
#include "raw_guest.h"

#define MEMORY (32ull << 20)
#define WINDOW (4ull << 20)
#define MARK   0x6d61726bull

#ifndef KVM_GET_XSAVE2
#define KVM_GET_XSAVE2 KVM_GET_XSAVE
#endif
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96)
#endif

static udfvm_image *image;

/* ---- What KVM answers ---- */

static int vms_made;
static bool scan_refused;
static struct {
    bool armed;
    int skip;
    struct kvm_run *run;
    uint32_t reason;
} forged; /* the answer to a KVM_RUN, which is not made */

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    vms_made += request == KVM_CREATE_VM;
    if (request == PAGEMAP_SCAN && scan_refused) {
        errno = ENOTTY;
        return -1;
    }
    if (request == KVM_RUN && forged.armed && forged.skip-- == 0) {
        forged.armed = false;
        forged.run->exit_reason = forged.reason;
        return 0;
    }
    return __real_ioctl(fd, request, argument);
}

/* ---- Calls ---- */

static const struct udfvm_limits usual = { .timeout_ns = 20000000000 },
                                 soon = { .timeout_ns = 20000000 };

static int call(udfvm_vm *vm, const struct udfvm_limits *limits, struct udfvm_reply *reply,
                uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t request[] = { a, b, c, d };
    struct udfvm_error error;
    return udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, limits, reply, &error);
}

static udfvm_vm *open_vm(void)
{
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_vm_open(image, NULL, &error);
    if (!vm) {
        printf("cannot open a VM: %s\n", error.message);
        exit(1);
    }
    return vm;
}

static void build(const char *path)
{
    static char kernel[1 << 20];
    const struct udfvm_config config = {
        .memory = MEMORY, .input_window = WINDOW, .output_window = WINDOW, .scratch = WINDOW
    };
    const struct udfvm_boot boot = { .memory_end = MEMORY };
    struct udfvm_error error = { .message = "" };
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, kernel, sizeof kernel);
    close(fd);
    FILE *file = tmpfile();
    udfvm_vm *vm = length > 0 ? udfvm_vm_boot(&config, kernel, (size_t)length, &boot, sizeof boot,
                                              NULL, NULL, NULL, &error)
                              : NULL;
    if (vm && udfvm_vm_seal(vm, fileno(file), "raw", 3, &error) == UDFVM_OK)
        image = udfvm_image_open(fileno(file), NULL, &error);
    udfvm_vm_close(vm);
    fclose(file);
    if (!image) {
        printf("cannot build the raw guest: %s\n", error.message);
        exit(1);
    }
}

/* ---- All that KVM knows of a virtual processor ---- */

enum { PARTS = 12, MAX_PART = 65536 };
struct snapshot {
    size_t length[PARTS];
    uint8_t data[PARTS][MAX_PART];
    uint64_t seen_length;
    uint8_t seen[32768];
};
static const char *const part_names[PARTS] = { "registers",
                                               "special registers",
                                               "special registers 2",
                                               "",
                                               "XSAVE",
                                               "XCRs",
                                               "debug registers",
                                               "events",
                                               "MP state",
                                               "MSRs",
                                               "CPUID",
                                               "I/O" };

/* Counters, which go on by themselves: the time stamp and what follows from it, and counts of the
 * processor's cycles. */
static bool is_counter(uint32_t msr)
{
    return msr == 0x10 || msr == 0xe7 || msr == 0xe8 || msr == 0xc0000104 ||
           (msr >= 0x40000000 && msr < 0x40000200);
}

static void get(const struct machine *machine, struct snapshot *into, int part,
                unsigned long request, size_t length)
{
    into->length[part] = __real_ioctl(machine->hypervisor->vcpu, request, into->data[part]) < 0
                             ? 0
                             : length;
}

static void get_msrs(const struct machine *machine, struct snapshot *into, int part)
{
    static struct {
        struct kvm_msr_list head;
        uint32_t indices[2048];
    } list;
    list.head.nmsrs = 2048;
    int kvm = open("/dev/kvm", O_RDWR);
    check(__real_ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &list) == 0, "the list of MSRs");
    close(kvm);
    struct kvm_msr_entry *entries = (struct kvm_msr_entry *)into->data[part];
    size_t count = 0;
    for (uint32_t i = 0; i < list.head.nmsrs; i++) {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry entry;
        } one = { .head.nmsrs = 1, .entry.index = list.head.indices[i] };
        if (!is_counter(one.entry.index) &&
            __real_ioctl(machine->hypervisor->vcpu, KVM_GET_MSRS, &one) == 1)
            entries[count++] = one.entry;
    }
    check(count > 5, "KVM tells of %zu MSRs", count);
    into->length[part] = count * sizeof *entries;
}

/* Where the reply has XSTATE_BV. It is left out, here and in KVM's answer: whether a component with
 * initial values counts as in use changes when the host switches threads. */
#define SEEN_IN_USE (16 * 8 + 4 * 8 + 28 + (UDFVM_STREAM_REPLY - UDFVM_TRAP_BASE) + 512)

/* At the end of a call that tells what it sees, which is the same each time. */
static void observe(udfvm_vm *vm, struct snapshot *into)
{
    struct machine *machine = &vm->machine;
    struct udfvm_reply reply;
    memset(into, 0, sizeof *into);
    if (call(vm, &usual, &reply, RAW_OBSERVE, 0, 0, 0) != UDFVM_OK) {
        check(false, "the call that observes failed");
        return;
    }
    into->seen_length = reply.length;
    memcpy(into->seen, reply.data, reply.length);
    memset(into->seen + SEEN_IN_USE, 0, 8);
    ((struct kvm_cpuid2 *)into->data[10])->nent = 256;
    get(machine, into, 0, KVM_GET_REGS, sizeof(struct kvm_regs));
    get(machine, into, 1, KVM_GET_SREGS, sizeof(struct kvm_sregs));
    get(machine, into, 2, KVM_GET_SREGS2, sizeof(struct kvm_sregs2));
    /* KVM_GET_FPU has less than KVM_GET_XSAVE, and for a component in its initial state what the
     * kernel's buffer held before. */
    get(machine, into, 4, KVM_GET_XSAVE2, 12288);
    memset(into->data[4] + 512, 0, 8);
    get(machine, into, 5, KVM_GET_XCRS, sizeof(struct kvm_xcrs));
    get(machine, into, 6, KVM_GET_DEBUGREGS, sizeof(struct kvm_debugregs));
    get(machine, into, 7, KVM_GET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events));
    get(machine, into, 8, KVM_GET_MP_STATE, sizeof(struct kvm_mp_state));
    get_msrs(machine, into, 9);
    get(machine, into, 10, KVM_GET_CPUID2, MAX_PART);
    for (int part = 0; part < 11; part++)
        check(into->length[part] != 0 || part == 2 || part == 3 || part == 8,
              "KVM does not tell of %s", part_names[part]);
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore after looking");
}

/* Where the reply has FIP, FOP and FDP, as FNSTENV and XSAVE store them. On AMD's processors that
 * leave them alone in XRSTOR, the host's kernel does as the stub does when it switches to a thread:
 * then they are addresses of its own. */
#define SEEN_X87   (16 * 8 + 4 * 8)
#define SEEN_XSAVE (SEEN_IN_USE - 512)

static bool is_hosts(const struct snapshot *snapshot)
{
    return snapshot->seen[SEEN_X87 + 15] & 0x80;
}

static bool is_pointer(size_t byte)
{
    return (byte >= SEEN_X87 + 12 && byte < SEEN_X87 + 28) ||
           (byte >= SEEN_XSAVE + 6 && byte < SEEN_XSAVE + 24);
}

static void compare(const struct snapshot *before, const struct snapshot *after, const char *what,
                    int one, int other)
{
    for (int part = 0; part < PARTS; part++)
        for (size_t i = 0; i < before->length[part]; i++)
            if (before->length[part] != after->length[part] ||
                before->data[part][i] != after->data[part][i]) {
                check(false, "%s %d, %d: byte %zu of %s: %#x, was %#x", what, one, other, i,
                      part_names[part], after->data[part][i], before->data[part][i]);
                break;
            }
    check(before->seen_length == after->seen_length, "%s %d, %d: the guest sees more", what, one,
          other);
    const bool hosts = is_hosts(before) || is_hosts(after);
    for (size_t i = 0; i < before->seen_length; i++)
        if (before->seen[i] != after->seen[i] && !(hosts && is_pointer(i))) {
            check(false, "%s %d, %d: the guest sees byte %zu: %#x, was %#x", what, one, other, i,
                  after->seen[i], before->seen[i]);
            break;
        }
}

static struct snapshot pristine, present;

static bool stack_is_clean(const udfvm_vm *vm)
{
    for (size_t i = SYSTEM_STACK; i < SYSTEM_STACK_TOP; i++)
        if (vm->machine.system[i])
            return false;
    return true;
}

/* ---- Tests ---- */

static void test_nothing_of_the_processor_stays(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    observe(vm, &pristine);
    observe(vm, &present);
    compare(&pristine, &present, "nothing", 0, 0);
    check(pristine.seen_length > SEEN_IN_USE + 8, "the guest tells too little");
    for (int what = 0; what < RAW_DISTURBANCES; what++)
        for (int end = 0; end < RAW_ENDS; end++) {
            const int code = call(vm,
                                  end == RAW_END_COMPLETE || end == RAW_END_CRASH ? &usual : &soon,
                                  &reply, RAW_DISTURB, (uint64_t)what, (uint64_t)end, MARK);
            check(code == UDFVM_OK || code == UDFVM_E_TIMEOUT || code == UDFVM_E_CRASH ||
                      code == UDFVM_E_PROTOCOL,
                  "%d, %d: code %d", what, end, code);
            check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore after %d, %d", what, end);
            check(stack_is_clean(vm), "%d, %d: something is left on the ring-0 stack", what, end);
            observe(vm, &present);
            compare(&pristine, &present, "disturbance and end", what, end);
        }
    udfvm_vm_close(vm);
}

/* An end that leaves the emulation of an instruction unfinished costs the KVM VM; the usual ones do
 * not. */
static void test_a_vm_with_an_unexpected_exit_is_closed(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (int end = 0; end < RAW_ENDS; end++) {
        const int code = call(vm, &soon, &reply, RAW_DISTURB, RAW_NOTHING, (uint64_t)end, 0);
        const bool unfit = vm->unfit,
                   trapping = vm->machine.hypervisor->run->s.regs.regs.rflags & 0x100;
        const int before = vms_made;
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && !vm->unfit, "restore after end %d", end);
        check(vms_made - before == (unfit || trapping), "end %d, code %d: %d new VMs", end, code,
              vms_made - before);
        if (end == RAW_END_IN || end == RAW_END_INS || end == RAW_END_REP_INS)
            check(code == UDFVM_E_PROTOCOL && unfit, "end %d: code %d, %s", end, code,
                  unfit ? "closed" : "kept");
        if (end == RAW_END_COMPLETE || end == RAW_END_LOOP || end == RAW_END_CRASH ||
            end == RAW_END_CALLS)
            check(!unfit, "end %d is expected", end);
    }
    udfvm_vm_close(vm);
}

/* Instructions that are ring 0's, or that touch what is not the guest's; the rest of the 16 bytes
 * is `nop`. `free`: it may execute, and must leave nothing behind. On PVM `cpuid` and the like are
 * the host's. */
struct instruction {
    const char *name;
    bool free;
    uint8_t length, bytes[14];
};
static const struct instruction instructions[] = {
    { "mov %rax, %cr0", 0, 3, { 0x0f, 0x22, 0xc0 } },
    { "mov %rax, %cr2", 0, 3, { 0x0f, 0x22, 0xd0 } },
    { "mov %rax, %cr3", 0, 3, { 0x0f, 0x22, 0xd8 } },
    { "mov %rax, %cr4", 0, 3, { 0x0f, 0x22, 0xe0 } },
    { "mov %rax, %cr8", 0, 4, { 0x44, 0x0f, 0x22, 0xc0 } },
    { "mov %cr0, %rax", 0, 3, { 0x0f, 0x20, 0xc0 } },
    { "mov %cr2, %rax", 0, 3, { 0x0f, 0x20, 0xd0 } },
    { "mov %cr3, %rax", 0, 3, { 0x0f, 0x20, 0xd8 } },
    { "mov %cr4, %rax", 0, 3, { 0x0f, 0x20, 0xe0 } },
    { "mov %cr8, %rax", 0, 4, { 0x44, 0x0f, 0x20, 0xc0 } },
    { "mov %rax, %dr0", 0, 3, { 0x0f, 0x23, 0xc0 } },
    { "mov %rax, %dr3", 0, 3, { 0x0f, 0x23, 0xd8 } },
    { "mov %rax, %dr6", 0, 3, { 0x0f, 0x23, 0xf0 } },
    { "mov %rax, %dr7", 0, 3, { 0x0f, 0x23, 0xf8 } },
    { "mov %dr0, %rax", 0, 3, { 0x0f, 0x21, 0xc0 } },
    { "mov %dr6, %rax", 0, 3, { 0x0f, 0x21, 0xf0 } },
    { "mov %dr7, %rax", 0, 3, { 0x0f, 0x21, 0xf8 } },
    { "lmsw %ax", 0, 3, { 0x0f, 0x01, 0xf0 } },
    { "clts", 0, 2, { 0x0f, 0x06 } },
    { "lgdt (%rbx)", 0, 3, { 0x0f, 0x01, 0x13 } },
    { "lidt (%rbx)", 0, 3, { 0x0f, 0x01, 0x1b } },
    { "lldt %ax", 0, 3, { 0x0f, 0x00, 0xd0 } },
    { "lldt (%rbx)", 0, 3, { 0x0f, 0x00, 0x13 } },
    { "ltr %ax", 0, 3, { 0x0f, 0x00, 0xd8 } },
    { "sgdt (%rbx)", 1, 3, { 0x0f, 0x01, 0x03 } },
    { "sidt (%rbx)", 1, 3, { 0x0f, 0x01, 0x0b } },
    { "sldt %rax", 1, 4, { 0x48, 0x0f, 0x00, 0xc0 } },
    { "str %rax", 1, 4, { 0x48, 0x0f, 0x00, 0xc8 } },
    { "smsw %rax", 1, 4, { 0x48, 0x0f, 0x01, 0xe0 } },
    { "lar %cx, %eax (null)", 1, 3, { 0x0f, 0x02, 0xc1 } },
    { "lar $0x38, %eax (TSS)", 1, 7, { 0xb1, 0x38, 0x0f, 0x02, 0xc1, 0x90, 0x90 } },
    { "lsl $0x0f (LDT), %eax", 1, 5, { 0xb1, 0x0f, 0x0f, 0x03, 0xc1 } },
    { "verr $0x6027 (LDT)", 1, 8, { 0x66, 0xb9, 0x27, 0x60, 0x0f, 0x00, 0xe1, 0x90 } },
    { "verw $0x6027 (LDT)", 1, 8, { 0x66, 0xb9, 0x27, 0x60, 0x0f, 0x00, 0xe9, 0x90 } },
    { "mov $0x6027 (LDT), %ds", 0, 6, { 0x66, 0xb9, 0x27, 0x60, 0x8e, 0xd9 } },
    { "mov $0x6027 (LDT), %ss", 0, 6, { 0x66, 0xb9, 0x27, 0x60, 0x8e, 0xd1 } },
    { "mov $7 (LDT), %gs", 0, 4, { 0xb1, 0x07, 0x8e, 0xe9 } },
    { "mov $0x10, %ss (ring 0)", 0, 4, { 0xb1, 0x10, 0x8e, 0xd1 } },
    { "mov $0x08, %ds (ring 0)", 0, 4, { 0xb1, 0x08, 0x8e, 0xd9 } },
    { "mov $0, %ss", 0, 4, { 0xb1, 0x00, 0x8e, 0xd1 } },
    { "mov $0x38, %ds (TSS)", 0, 4, { 0xb1, 0x38, 0x8e, 0xd9 } },
    { "lfs (%rbx), %eax", 1, 3, { 0x0f, 0xb4, 0x03 } },
    { "lgs (%rbx), %eax", 1, 3, { 0x0f, 0xb5, 0x03 } },
    { "lss (%rbx), %eax", 1, 3, { 0x0f, 0xb2, 0x03 } },
    { "lcall *(%rbx)", 0, 2, { 0xff, 0x1b } },
    { "ljmp *(%rbx)", 0, 2, { 0xff, 0x2b } },
    { "push $8; push %rax; lretq", 0, 5, { 0x6a, 0x08, 0x50, 0x48, 0xcb } },
    { "push $7 (LDT); push %rax; lretq", 0, 5, { 0x6a, 0x07, 0x50, 0x48, 0xcb } },
    { "hlt", 0, 1, { 0xf4 } },
    { "cli", 0, 1, { 0xfa } },
    { "sti", 0, 1, { 0xfb } },
    { "sti; nop", 0, 2, { 0xfb, 0x90 } },
    { "mov %ss, %eax; mov %eax, %ss", 1, 4, { 0x8c, 0xd0, 0x8e, 0xd0 } },
    { "mov %ss, %eax; mov %eax, %ss; int3", 0, 5, { 0x8c, 0xd0, 0x8e, 0xd0, 0xcc } },
    { "mov %ss, %eax; mov %eax, %ss; int1", 0, 5, { 0x8c, 0xd0, 0x8e, 0xd0, 0xf1 } },
    { "mov %ss, %eax; mov %eax, %ss; ud2", 0, 6, { 0x8c, 0xd0, 0x8e, 0xd0, 0x0f, 0x0b } },
    { "in $0x20, %al", 0, 2, { 0xe4, 0x20 } },
    { "in %dx, %eax", 0, 1, { 0xed } },
    { "out %al, $0x20", 0, 2, { 0xe6, 0x20 } },
    { "out %eax, %dx", 0, 1, { 0xef } },
    { "in $0x55, %al", 0, 2, { 0xe4, 0x55 } },
    { "in $0x55, %eax", 0, 2, { 0xe5, 0x55 } },
    { "out %ax, $0x55", 0, 3, { 0x66, 0xe7, 0x55 } },
    { "out %eax, $0x55", 0, 2, { 0xe7, 0x55 } },
    { "insb", 0, 1, { 0x6c } },
    { "insw", 0, 2, { 0x66, 0x6d } },
    { "insl", 0, 1, { 0x6d } },
    { "insb from $0x55", 0, 3, { 0xb2, 0x55, 0x6c } },
    { "insw from $0x55", 0, 4, { 0xb2, 0x55, 0x66, 0x6d } },
    { "insl from $0x55", 0, 3, { 0xb2, 0x55, 0x6d } },
    { "rep insb from $0x55", 0, 6, { 0xb2, 0x55, 0xb1, 0x08, 0xf3, 0x6c } },
    { "rep insl from $0x55", 0, 6, { 0xb2, 0x55, 0xb1, 0x08, 0xf3, 0x6d } },
    { "std; rep insb from $0x55", 0, 7, { 0xfd, 0xb2, 0x55, 0xb1, 0x08, 0xf3, 0x6c } },
    { "outsb", 0, 1, { 0x6e } },
    { "outsw", 0, 2, { 0x66, 0x6f } },
    { "outsl", 0, 1, { 0x6f } },
    { "outsb to $0x55", 0, 3, { 0xb2, 0x55, 0x6e } },
    { "outsw to $0x55", 0, 4, { 0xb2, 0x55, 0x66, 0x6f } },
    { "outsl to $0x55", 0, 3, { 0xb2, 0x55, 0x6f } },
    { "rep outsb to $0x55", 0, 6, { 0xb2, 0x55, 0xb1, 0x08, 0xf3, 0x6e } },
    { "rdmsr", 0, 2, { 0x0f, 0x32 } },
    { "wrmsr", 0, 2, { 0x0f, 0x30 } },
    { "wrmsr LSTAR", 0, 7, { 0xb9, 0x82, 0x00, 0x00, 0xc0, 0x0f, 0x30 } },
    { "wrmsr EFER", 0, 7, { 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x30 } },
    { "rdpmc", 0, 2, { 0x0f, 0x33 } },
    { "rdtsc", 1, 2, { 0x0f, 0x31 } },
    { "rdtscp", 1, 3, { 0x0f, 0x01, 0xf9 } },
    { "rdpid %rax", 1, 4, { 0xf3, 0x0f, 0xc7, 0xf8 } },
    { "invd", 0, 2, { 0x0f, 0x08 } },
    { "wbinvd", 0, 2, { 0x0f, 0x09 } },
    { "invlpg (%rbx)", 0, 3, { 0x0f, 0x01, 0x3b } },
    { "invpcid (%rbx), %rax", 0, 5, { 0x66, 0x0f, 0x38, 0x82, 0x03 } },
    { "invlpga", 0, 3, { 0x0f, 0x01, 0xdf } },
    { "invlpgb", 0, 3, { 0x0f, 0x01, 0xfe } },
    { "tlbsync", 0, 3, { 0x0f, 0x01, 0xff } },
    { "swapgs", 0, 3, { 0x0f, 0x01, 0xf8 } },
    { "sysretl", 0, 2, { 0x0f, 0x07 } },
    { "sysretq", 0, 3, { 0x48, 0x0f, 0x07 } },
    { "sysenter", 0, 2, { 0x0f, 0x34 } },
    { "sysexit", 0, 2, { 0x0f, 0x35 } },
    { "xsetbv", 0, 3, { 0x0f, 0x01, 0xd1 } },
    { "xsaves (%rbx)", 0, 3, { 0x0f, 0xc7, 0x2b } },
    { "xrstors (%rbx)", 0, 3, { 0x0f, 0xc7, 0x1b } },
    { "clac", 0, 3, { 0x0f, 0x01, 0xca } },
    { "stac", 0, 3, { 0x0f, 0x01, 0xcb } },
    { "monitor", 0, 3, { 0x0f, 0x01, 0xc8 } },
    { "mwait", 0, 3, { 0x0f, 0x01, 0xc9 } },
    { "monitorx", 1, 3, { 0x0f, 0x01, 0xfa } },
    { "vmcall", 1, 3, { 0x0f, 0x01, 0xc1 } },
    { "vmmcall", 1, 3, { 0x0f, 0x01, 0xd9 } },
    { "vmlaunch", 0, 3, { 0x0f, 0x01, 0xc2 } },
    { "vmresume", 0, 3, { 0x0f, 0x01, 0xc3 } },
    { "vmxoff", 0, 3, { 0x0f, 0x01, 0xc4 } },
    { "vmxon (%rbx)", 0, 4, { 0xf3, 0x0f, 0xc7, 0x33 } },
    { "vmptrld (%rbx)", 0, 3, { 0x0f, 0xc7, 0x33 } },
    { "vmfunc", 0, 3, { 0x0f, 0x01, 0xd4 } },
    { "invept (%rbx), %rax", 0, 5, { 0x66, 0x0f, 0x38, 0x80, 0x03 } },
    { "vmrun", 0, 3, { 0x0f, 0x01, 0xd8 } },
    { "vmload", 0, 3, { 0x0f, 0x01, 0xda } },
    { "vmsave", 0, 3, { 0x0f, 0x01, 0xdb } },
    { "stgi", 0, 3, { 0x0f, 0x01, 0xdc } },
    { "clgi", 0, 3, { 0x0f, 0x01, 0xdd } },
    { "skinit", 0, 3, { 0x0f, 0x01, 0xde } },
    { "rsm", 0, 2, { 0x0f, 0xaa } },
    { "encls", 0, 3, { 0x0f, 0x01, 0xcf } },
    { "enclu", 0, 3, { 0x0f, 0x01, 0xd7 } },
    { "pconfig", 0, 3, { 0x0f, 0x01, 0xc5 } },
    { "serialize", 1, 3, { 0x0f, 0x01, 0xe8 } },
    { "getsec", 0, 2, { 0x0f, 0x37 } },
    { "rdpkru", 1, 3, { 0x0f, 0x01, 0xee } },
    { "wrpkru", 1, 3, { 0x0f, 0x01, 0xef } },
    { "setssbsy", 1, 4, { 0xf3, 0x0f, 0x01, 0xe8 } },
    { "uiret", 0, 4, { 0xf3, 0x0f, 0x01, 0xec } },
    { "stui", 0, 4, { 0xf3, 0x0f, 0x01, 0xef } },
    { "senduipi %rax", 0, 4, { 0xf3, 0x0f, 0xc7, 0xf0 } },
    { "hreset $0", 0, 6, { 0xf3, 0x0f, 0x3a, 0xf0, 0xc0, 0x00 } },
    { "wrussq", 0, 6, { 0x66, 0x48, 0x0f, 0x38, 0xf5, 0x03 } },
    { "int $0x20", 0, 2, { 0xcd, 0x20 } },
    { "int $0x80", 0, 2, { 0xcd, 0x80 } },
    { "int $2", 0, 2, { 0xcd, 0x02 } },
    { "int $8", 0, 2, { 0xcd, 0x08 } },
    { "int $14", 0, 2, { 0xcd, 0x0e } },
    { "int3", 0, 1, { 0xcc } },
    { "int1", 0, 1, { 0xf1 } },
    { "ud2", 0, 2, { 0x0f, 0x0b } },
    { "ud1", 0, 3, { 0x0f, 0xb9, 0xc0 } },
    { "cpuid", 1, 2, { 0x0f, 0xa2 } },
    { "xgetbv", 1, 3, { 0x0f, 0x01, 0xd0 } },
    { "xgetbv 1", 1, 5, { 0xb1, 0x01, 0x0f, 0x01, 0xd0 } },
    { "fldpi", 1, 2, { 0xd9, 0xeb } },
    { "fnstenv (%rbx)", 1, 2, { 0xd9, 0x33 } },
    { "fxrstor (%rbx)", 1, 3, { 0x0f, 0xae, 0x0b } },
    { "popf: all flags but TF", 1, 6, { 0x68, 0xd5, 0x7c, 0x24, 0x00, 0x9d } },
    { "popf: IOPL", 1, 6, { 0x68, 0x02, 0x30, 0x00, 0x00, 0x9d } },
    { "urdmsr %rcx, %rax", 0, 5, { 0xf2, 0x0f, 0x38, 0xf8, 0xc1 } },
    { "uwrmsr %rax, %rcx", 0, 5, { 0xf3, 0x0f, 0x38, 0xf8, 0xc1 } },
    { "wrmsrns", 0, 3, { 0x0f, 0x01, 0xc6 } },
    { "wrmsrlist", 0, 4, { 0xf3, 0x0f, 0x01, 0xc6 } },
    { "rdmsrlist", 0, 4, { 0xf2, 0x0f, 0x01, 0xc6 } },
    { "loadiwkey", 0, 5, { 0xf3, 0x0f, 0x38, 0xdc, 0xc1 } },
    { "eretu", 0, 4, { 0xf3, 0x0f, 0x01, 0xca } },
    { "erets", 0, 4, { 0xf2, 0x0f, 0x01, 0xca } },
    { "lkgs %ax", 0, 4, { 0xf2, 0x0f, 0x00, 0xf0 } },
    { "testui", 0, 4, { 0xf3, 0x0f, 0x01, 0xed } },
    { "clui", 0, 4, { 0xf3, 0x0f, 0x01, 0xee } },
    { "rstorssp (%rbx)", 0, 4, { 0xf3, 0x0f, 0x01, 0x2b } },
    { "incsspq %rax", 1, 5, { 0xf3, 0x48, 0x0f, 0xae, 0xe8 } },
    { "rdsspq %rax", 1, 5, { 0xf3, 0x48, 0x0f, 0x1e, 0xc8 } },
    { "psmash", 0, 4, { 0xf3, 0x0f, 0x01, 0xff } },
    { "pvalidate", 0, 4, { 0xf2, 0x0f, 0x01, 0xff } },
    { "tdcall", 0, 4, { 0x66, 0x0f, 0x01, 0xcc } },
    { "seamcall", 0, 4, { 0x66, 0x0f, 0x01, 0xcf } },
    { "vmgexit", 1, 4, { 0xf3, 0x0f, 0x01, 0xd9 } },
    { "llwpcb %rax", 0, 5, { 0x8f, 0xe9, 0x78, 0x12, 0xc0 } },
    { "umonitor %rax", 1, 4, { 0xf3, 0x0f, 0xae, 0xf0 } },
    { "umwait %ecx", 1, 4, { 0xf2, 0x0f, 0xae, 0xf1 } },
    { "tpause %ecx", 1, 4, { 0x66, 0x0f, 0xae, 0xf1 } },
    { "xbegin", 1, 6, { 0xc7, 0xf8 } },
    { "enqcmds (%rbx), %eax", 0, 5, { 0xf3, 0x0f, 0x38, 0xf8, 0x03 } },
    { "wbnoinvd", 0, 3, { 0xf3, 0x0f, 0x09 } },
    { "pvm: invlpg, cpuid", 0, 10, { 0x0f, 0x01, 0x3c, 0x25, 0x50, 0x56, 0x4d, 0xff, 0x0f, 0xa2 } },
    { "kvm: ud2, cpuid", 0, 7, { 0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x0f, 0xa2 } },
    { "xen: ud2, cpuid", 0, 7, { 0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2 } },
    { "syscall twice, PVM's WRMSR",
      1,
      14,
      { 0xb8, 0x06, 0x82, 0x08, 0x17, 0x0f, 0x05, 0xb8, 0x06, 0x82, 0x08, 0x17, 0x0f, 0x05 } },
    { "popfw: all flags", 0, 6, { 0x66, 0x68, 0xff, 0xff, 0x66, 0x9d } },
    { "iretl", 0, 1, { 0xcf } },
    { "wrfsbase %rbx", 1, 5, { 0xf3, 0x48, 0x0f, 0xae, 0xd3 } },
    { "wrgsbase %rbx", 1, 5, { 0xf3, 0x48, 0x0f, 0xae, 0xdb } },
};

static void test_no_instruction_reaches_further(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (size_t i = 0; i < sizeof instructions / sizeof *instructions; i++) {
        const struct instruction *one = &instructions[i];
        uint64_t code[2];
        memset(code, 0x90, sizeof code);
        memcpy(code, one->bytes, one->length);
        const int got = call(vm, &usual, &reply, RAW_BYTES, code[0], code[1], 0);
        const bool executed = got == UDFVM_OK && reply.length >= 8 &&
                              *(const uint64_t *)reply.data == RAW_EXECUTED;
        check(got == UDFVM_OK || got == UDFVM_E_PROTOCOL, "%s: code %d", one->name, got);
        const bool by_iopl = vm->machine.behaviour.bitmap_ignored &&
                             (one->bytes[0] == 0xfa || one->bytes[0] == 0xfb); /* cli, sti */
        check(one->free || by_iopl || !executed, "%s can be executed", one->name);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && stack_is_clean(vm), "restore after %s",
              one->name);
        observe(vm, &present);
        compare(&pristine, &present, one->name, (int)i, 0);
    }
    udfvm_vm_close(vm);
}

/* What a processor at hand may not leave behind, others do: said by the host, in the place of the
 * guest. */
static void test_shadows_and_held_back_steps(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_SHADOW,
                                      .interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS };
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK, "count");
    check(__real_ioctl(vm->machine.hypervisor->vcpu, KVM_SET_VCPU_EVENTS, &events) == 0,
          "KVM_SET_VCPU_EVENTS");
    vm->machine.hypervisor->run->s.regs.events.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK &&
              __real_ioctl(vm->machine.hypervisor->vcpu, KVM_GET_VCPU_EVENTS, &events) == 0 &&
              events.interrupt.shadow == 0,
          "a shadow stays");
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK, "count");
    const int before = vms_made;
    vm->machine.hypervisor->run->s.regs.regs.rflags |= 0x100;
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && vms_made == before + 1,
          "a VM in which a step may be held back was kept");
    /* CR2 is told for page faults alone, in one call too: past its report of a fault the raw guest
     * runs into `ud2`. */
    check(call(vm, &usual, &reply, RAW_READ, 0x600000001000, 0, 0) == UDFVM_OK &&
              ((const uint64_t *)reply.data)[3] == 0x600000001000,
          "a page fault's address");
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
              ((const uint64_t *)reply.data)[1] == 6 && ((const uint64_t *)reply.data)[3] == 0,
          "the address of an earlier fault was told");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    udfvm_vm_close(vm);
}

static void forge(udfvm_vm *vm, uint32_t reason, int skip)
{
    forged.run = vm->machine.hypervisor->run;
    forged.reason = reason;
    forged.skip = skip;
    forged.armed = true;
}

static void test_a_call_that_never_began_is_made_on_a_new_vm(void)
{
    static const uint32_t refusals[] = { KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (size_t i = 0; i < 2; i++) {
        const int before = vms_made;
        forge(vm, refusals[i], 0);
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "a refused entry was not tried again");
        check(vms_made == before + 1, "%d new VMs", vms_made - before);
        forge(vm, refusals[i], 0); /* the same call goes on: its state would be lost */
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_E_PROTOCOL && vm->unfit,
              "a call that began was made twice");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && vms_made == before + 2, "the VM was kept");
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "the next call");
        udfvm_vm_restore(vm, NULL);
    }
    udfvm_vm_close(vm);
}

static void test_every_kind_of_exit(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (uint32_t reason = 0; reason < 48; reason++) {
        if (reason == KVM_EXIT_IO)
            continue;
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK, "begin");
        const int before = vms_made;
        forge(vm, reason, 0);
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_E_PROTOCOL && vm->unfit,
              "exit %u was accepted", reason);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && vms_made == before + 1,
              "a VM after exit %u was kept", reason);
        observe(vm, &present);
        compare(&pristine, &present, "exit", (int)reason, 0);
    }
    udfvm_vm_close(vm);
}

/* What the first call wrote is known although the KVM VM that logged it is gone. */
static void test_memory_of_a_closed_vm_is_restored(void)
{
    const uint64_t at = UDFVM_PROGRAM_BASE + (5 << 20),
                   wide = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT;
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (int round = 0; round < 3; round++) {
        check(call(vm, &usual, &reply, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0) ==
                  UDFVM_OK,
              "opening the wide area");
        check(call(vm, &usual, &reply, RAW_FILL, at, at + 65536, MARK) == UDFVM_OK, "fill");
        check(call(vm, &usual, &reply, RAW_FILL, wide, wide + 65536, MARK) == UDFVM_OK,
              "fill the wide area");
        check(call(vm, &usual, &reply, RAW_DISTURB, RAW_NOTHING, RAW_END_INS, 0) != UDFVM_OK &&
                  udfvm_vm_restore(vm, NULL) == UDFVM_OK,
              "end and restore");
        check(call(vm, &usual, &reply, RAW_FIND, at, at + 65536, MARK) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 0,
              "memory leaks");
        check(call(vm, &usual, &reply, RAW_FIND, wide, wide + 65536, MARK) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 0,
              "the wide area leaks");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    udfvm_vm_close(vm);
}

static void test_ports_are_closed(void)
{
    static const uint64_t ports[] = { 0, 0x20, 0x54, 0x56, 0x60, 0x80, 0xcf8, 0xffff };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    const bool bitmap = !vm->machine.behaviour.bitmap_ignored;
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK, "count");
    check((vm->machine.hypervisor->run->s.regs.regs.rflags >> 12 & 3) == (bitmap ? 0 : 3),
          "IOPL of the guest");
    udfvm_vm_restore(vm, NULL);
    for (size_t i = 0; bitmap && i < sizeof ports / sizeof *ports; i++) {
        check(call(vm, &usual, &reply, RAW_PORT, ports[i], 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == RAW_FAULTED,
              "port %#llx is open", (unsigned long long)ports[i]);
        udfvm_vm_restore(vm, NULL);
    }
    printf("(the I/O bitmap %s, `syscall` %s)\n", bitmap ? "counts" : "is ignored",
           vm->machine.behaviour.syscall_stays ? "stays at CPL 3" : "goes to CPL 0");
    udfvm_vm_close(vm);
}

static void enter_ring_0(udfvm_vm *vm, bool smep)
{
    struct kvm_sregs sregs;
    __real_ioctl(vm->machine.hypervisor->vcpu, KVM_GET_SREGS, &sregs);
    sregs.cs = (struct kvm_segment){ .limit = 0xffffffff,
                                     .selector = SELECTOR_RING0_CODE,
                                     .type = 11,
                                     .present = 1,
                                     .s = 1,
                                     .l = 1,
                                     .g = 1 };
    sregs.ss = (struct kvm_segment){ .limit = 0xffffffff,
                                     .selector = SELECTOR_RING0_CODE + 8,
                                     .type = 3,
                                     .present = 1,
                                     .db = 1,
                                     .s = 1,
                                     .g = 1 };
    if (!smep)
        sregs.cr4 &= ~(1ull << 20);
    __real_ioctl(vm->machine.hypervisor->vcpu, KVM_SET_SREGS, &sregs);
}

/* Ring 0 is out of reach. If it were not, it could not change what is fixed, nor, where the
 * processor has SMEP, run a program's code. */
static void test_ring_0_would_be_of_little_use(void)
{
    static const uint64_t places[] = { SYSTEM_GDT + 0x50, SYSTEM_IDT,           SYSTEM_TSS + 104,
                                       SYSTEM_GATES,      SYSTEM_STUBS + 0x800, SYSTEM_STATE,
                                       SYSTEM_XSAVE };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    uint8_t *fixed = malloc(SYSTEM_FIXED_END);
    memcpy(fixed, vm->machine.system, SYSTEM_FIXED_END);
    const bool has_smep = vm->machine.hypervisor->sregs.cr4 >> 20 & 1;
    for (int smep = 0; smep <= has_smep; smep++)
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            check(call(vm, &usual, &reply, RAW_POISON, 0, 0, 0) == UDFVM_OK,
                  "where is the poison?");
            enter_ring_0(vm, smep);
            vm->machine.hypervisor->run->s.regs.regs.rip = *(const uint64_t *)reply.data;
            vm->machine.hypervisor->run->s.regs.regs.rdi = smep ? UDFVM_PROGRAM_BASE : places[i];
            check(call(vm, &soon, &reply, RAW_COUNT, 0, 0, 0) != UDFVM_OK, "ring 0 wrote to %#llx",
                  (unsigned long long)places[i]);
            check(memcmp(fixed, vm->machine.system, SYSTEM_FIXED_END) == 0, "%#llx was changed",
                  (unsigned long long)places[i]);
            check(!smep || *(const uint64_t *)(vm->machine.memory +
                                               (UDFVM_PROGRAM_BASE - UDFVM_KERNEL_BASE)) !=
                               0x706f69736f6e,
                  "ring 0 ran a program's code");
            check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
            observe(vm, &present);
            compare(&pristine, &present, "ring 0", smep, (int)i);
        }
    free(fixed);
    udfvm_vm_close(vm);
}

/* Nor would changed page tables stay, where ring 0 was entered as it would be: by an exception. */
static void test_page_tables_are_put_back(void)
{
    static const uint64_t places[] = {
        SYSTEM_PML4 + 8,        SYSTEM_PDPT,   SYSTEM_PT_LOW + 8 * (SYSTEM_STUBS / PAGE),
        SYSTEM_PT_GUARD + 0x18, SYSTEM_PD + 8, SYSTEM_PD_INPUT,
        SYSTEM_PD_OUTPUT + 16
    };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    uint8_t *system = malloc(SYSTEM_SIZE);
    check(call(vm, &usual, &reply, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0) == UDFVM_OK,
          "opening the wide area");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    memcpy(system, vm->machine.system, SYSTEM_SIZE);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const int before = vms_made;
        check(call(vm, &usual, &reply, RAW_BYTES, 0x90909090ull << 32 | 0x90900b0f,
                   0x9090909090909090, 0) == UDFVM_OK /* ud2 */
                  && *(const uint64_t *)reply.data == RAW_FAULTED,
              "an exception");
        vm->machine.system[places[i]] ^= 2;
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && vms_made == before + 1, "restore");
        check(memcmp(system + SYSTEM_PML4, vm->machine.system + SYSTEM_PML4,
                     SYSTEM_SIZE - SYSTEM_PML4) == 0,
              "page table at %#llx stays changed", (unsigned long long)places[i]);
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "the VM is of no use");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    free(system);
    udfvm_vm_close(vm);
}

/* Whatever a selector names, or seems to, and however it is used: PVM's ring 3 runs with the
 * descriptors of the host. */
static void test_no_selector_leads_further(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (uint64_t use = 0; use < RAW_USES; use++)
        for (uint64_t selector = 0; selector < 0x88; selector++) {
            const int code = call(vm, &usual, &reply, RAW_SELECTOR, use, selector, 0);
            const bool faulted = code == UDFVM_OK && *(const uint64_t *)reply.data == RAW_FAULTED;
            check(code == UDFVM_OK && (faulted || use <= RAW_SS), "use %d of selector %#x: code %d",
                  (int)use, (unsigned)selector, code);
            check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
            check(call(vm, &usual, &reply, RAW_STATE, 0, 0, 0) == UDFVM_OK &&
                      reply.length == 17 * 8,
                  "the call after use %d", (int)use);
            const uint64_t *state = reply.data;
            check((state[11] | state[12] | state[13] | state[14]) == 0 && state[8] == 0,
                  "a selector is left of %#x, use %d", (unsigned)selector, (int)use);
            check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
        }
    observe(vm, &present);
    compare(&pristine, &present, "selectors", 0, 0);
    udfvm_vm_close(vm);
}

/* Protection keys, where ring 3 may write them: on PVM where the host's programs may, here with
 * CR4.PKE, which machines do not have otherwise. A call that forbids all memory, its own stack too,
 * leaves nothing of that to the next, which begins by reading. */
static void test_protection_keys_do_not_stay(void)
{
    static const uint8_t forbid[16] = {
        0x83, 0xc8, 0xff, 0x0f, 0x01, 0xef, /* or $-1, %eax; wrpkru */
        0xf7, 0xd8, 0xff, 0xc0, 0x31, 0xff, 0x31, 0xf6, 0xe6, UDFVM_PORT
    }; /* complete(0, 0) */
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    uint64_t code[2];
    memcpy(code, forbid, sizeof code);
    vm->machine.hypervisor->sregs.cr4 |= 1ull << 22;
    __real_ioctl(vm->machine.hypervisor->vcpu, KVM_SET_SREGS, &vm->machine.hypervisor->sregs);
    const bool keys = call(vm, &usual, &reply, RAW_BYTES, 0x90ee010f | 0x90909090ull << 32,
                           0x9090909090909090, 0) == UDFVM_OK /* rdpkru */
                      && *(const uint64_t *)reply.data == RAW_EXECUTED;
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    check(keys || !vm->machine.behaviour.has_keys, "keys were found where there are none");
    vm->machine.behaviour.has_keys = keys;
    for (int round = 0; keys && round < 3; round++) {
        check(call(vm, &soon, &reply, RAW_BYTES, code[0], code[1], 0) == UDFVM_OK,
              "a call that forbids memory");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
        check(call(vm, &soon, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "protection keys stay");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    printf("(protection keys: %s)\n", keys ? "yes" : "no");
    udfvm_vm_close(vm);
}

static void *give_up_after_a_minute(void *unused)
{
    sleep(60);
    printf("a call cannot be stopped: FAILED\n");
    fflush(stdout);
    _exit(1);
    return unused;
}

/* Deadlines of a VM that took the place of another, on a thread that blocks all signals, as threads
 * of streams do. */
static void test_a_new_vm_can_be_stopped(void)
{
    static const int ends[] = { RAW_END_INS, RAW_END_TRAP_FLAG, RAW_END_PORT };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    sigset_t all, before;
    pthread_t watch;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    check(pthread_create(&watch, NULL, give_up_after_a_minute, NULL) == 0, "a thread");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        call(vm, &soon, &reply, RAW_DISTURB, RAW_NOTHING, (uint64_t)ends[i], 0);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore after end %d", ends[i]);
        check(call(vm, &soon, &reply, RAW_LOOP, 0, 0, 0) == UDFVM_E_TIMEOUT, "a loop after end %d",
              ends[i]);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    forge(vm, KVM_EXIT_FAIL_ENTRY, 0);
    check(call(vm, &soon, &reply, RAW_LOOP, 0, 0, 0) == UDFVM_E_TIMEOUT,
          "a loop in a call that is made again");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    pthread_cancel(watch);
    pthread_join(watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    udfvm_vm_close(vm);
}

/* To be sealed is for LOAD: in a call it is an error, whoever makes the call, and the next is
 * right. */
static void test_a_call_cannot_be_sealed(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    struct udfvm_error error;
    const uint64_t seal[] = { RAW_SEAL, 7 };
    uint8_t output[64];
    uint64_t length;
    int status;
    check(call(vm, &usual, &reply, RAW_SEAL, 7, 0, 0) == UDFVM_E_PROTOCOL, "a call was sealed");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    check(udfvm_vm_fresh_call(vm, UDFVM_REQUEST_BATCH, seal, sizeof seal, &usual, output,
                              sizeof output, &length, &status, &error) == UDFVM_E_PROTOCOL &&
              strstr(error.message, "sealed"),
          "a fresh call was sealed");
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK, "count");
    check(call(vm, &usual, &reply, RAW_SEAL, 7, 0, 0) == UDFVM_E_PROTOCOL,
          "a call that went on was sealed");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
              *(const uint64_t *)reply.data == 1,
          "the next call");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    udfvm_vm_close(vm);
}

/* Nor would model-specific registers. */
static void test_entries_into_ring_0_are_put_back(void)
{
    static const uint32_t registers[] = { 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
                                          0xc0000102, 0x174,      0x175,      0x176 };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++) {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry entry;
        } one = { .head.nmsrs = 1, .entry = { .index = registers[i], .data = 0x207000 } };
        check(call(vm, &usual, &reply, RAW_BYTES, 0x90909090ull << 32 | 0x90900b0f,
                   0x9090909090909090, 0) == UDFVM_OK,
              "an exception"); /* ud2 */
        check(__real_ioctl(vm->machine.hypervisor->vcpu, KVM_SET_MSRS, &one) == 1, "setting %#x",
              registers[i]);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
        observe(vm, &present);
        compare(&pristine, &present, "register", (int)registers[i], 0);
    }
    udfvm_vm_close(vm);
}

static size_t resident_pages(const udfvm_vm *vm)
{
    static unsigned char pages[(2 * WINDOW - UDFVM_LOGGED_OUTPUT) / PAGE];
    size_t count = 0;
    check(mincore((void *)(uintptr_t)vm->machine.unlogged, vm->machine.unlogged_bytes, pages) ==
                  0 &&
              vm->machine.unlogged_bytes == sizeof pages * PAGE,
          "mincore");
    for (size_t i = 0; i < sizeof pages; i++)
        count += pages[i] & 1;
    return count;
}

/* With PAGEMAP_SCAN and without it, as before Linux 6.7: what a call wrote is zeroed where it is,
 * so that the next need not fault it in again. */
static void test_the_wide_area_stays_in_memory(void)
{
    const uint64_t start = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
                   end = UDFVM_OUTPUT_BASE + 2 * WINDOW;
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (int round = 0; round < 4; round++) {
        scan_refused = round >= 2;
        check(call(vm, &usual, &reply, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0) ==
                  UDFVM_OK,
              "opening the wide area");
        for (uint64_t at = start; at < end; at += 3 * PAGE) /* more chunks than are kept as such */
            check(call(vm, &usual, &reply, RAW_WRITE, at, MARK, 0) == UDFVM_OK, "write");
        check(call(vm, &usual, &reply, RAW_FILL, start + (1 << 20), start + (3 << 20), MARK) ==
                  UDFVM_OK,
              "fill");
        const size_t before = resident_pages(vm);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && udfvm_unlogged_settle(vm, NULL) == UDFVM_OK,
              "restore");
        check(resident_pages(vm) >= before && before >= 512,
              "round %d: %zu pages in memory, then %zu", round, before, resident_pages(vm));
        check(call(vm, &usual, &reply, RAW_FIND, start, end, MARK) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 0,
              "round %d: the wide area leaks", round);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    scan_refused = false;
    udfvm_vm_close(vm);
}

static void test_no_paravirtual_features(void)
{
    udfvm_vm *vm = open_vm();
    static struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[256];
    } cpuid = { .head.nent = 256 };
    check(__real_ioctl(vm->machine.hypervisor->vcpu, KVM_GET_CPUID2, &cpuid) == 0 &&
              cpuid.head.nent > 4,
          "KVM_GET_CPUID2");
    for (uint32_t i = 0; i < cpuid.head.nent; i++)
        check(cpuid.entries[i].function >> 28 != 4, "CPUID leaf %#x", cpuid.entries[i].function);
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "state", test_nothing_of_the_processor_stays },
        { "instructions", test_no_instruction_reaches_further },
        { "shadows", test_shadows_and_held_back_steps },
        { "unexpected exits", test_a_vm_with_an_unexpected_exit_is_closed },
        { "refused entries", test_a_call_that_never_began_is_made_on_a_new_vm },
        { "kinds of exits", test_every_kind_of_exit },
        { "memory of closed VMs", test_memory_of_a_closed_vm_is_restored },
        { "ports", test_ports_are_closed },
        { "ring 0", test_ring_0_would_be_of_little_use },
        { "page tables", test_page_tables_are_put_back },
        { "ways into ring 0", test_entries_into_ring_0_are_put_back },
        { "selectors", test_no_selector_leads_further },
        { "protection keys", test_protection_keys_do_not_stay },
        { "deadlines of new VMs", test_a_new_vm_can_be_stopped },
        { "seals", test_a_call_cannot_be_sealed },
        { "paravirtual features", test_no_paravirtual_features },
        { "wide area", test_the_wide_area_stays_in_memory },
    };
    if (count < 2)
        return 2;
    build(arguments[1]);
    run_tests(tests, sizeof tests / sizeof *tests);
    udfvm_image_close(image);
    return failures != 0;
}
