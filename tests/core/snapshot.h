/* All that KVM knows of a virtual processor, and all that ring 3 sees of it: taken, and compared
 * with what it was before any call. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "processor.h"

#ifndef KVM_GET_XSAVE2
#define KVM_GET_XSAVE2 KVM_GET_XSAVE
#endif

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
static inline bool is_counter(uint32_t msr)
{
    return msr == 0x10 || msr == 0xe7 || msr == 0xe8 || msr == 0xc0000104 ||
           (msr >= 0x40000000 && msr < 0x40000200);
}

static inline void get(const struct machine *machine, struct snapshot *into, int part,
                       unsigned long request, size_t length)
{
    into->length[part] = __real_ioctl(machine->hypervisor->vcpu, request, into->data[part]) < 0
                             ? 0
                             : length;
}

static inline void get_msrs(const struct machine *machine, struct snapshot *into, int part)
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
static inline void observe(udfvm_vm *vm, struct snapshot *into)
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

static inline bool is_hosts(const struct snapshot *snapshot)
{
    return snapshot->seen[SEEN_X87 + 15] & 0x80;
}

static inline bool is_pointer(size_t byte)
{
    return (byte >= SEEN_X87 + 12 && byte < SEEN_X87 + 28) ||
           (byte >= SEEN_XSAVE + 6 && byte < SEEN_XSAVE + 24);
}

static inline void compare(const struct snapshot *before, const struct snapshot *after,
                           const char *what, int one, int other)
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

/* DS, ES, FS and GS are loaded by the first instructions of a call, which is what the guest sees.
 * What KVM_GET_SREGS says of their selectors is, under PVM, what they were when the host's kernel
 * last took the thread off its processor. */
static inline void forget_selectors(struct snapshot *snapshot)
{
    const size_t first = offsetof(struct kvm_sregs, ds), last = offsetof(struct kvm_sregs, ss);
    for (int part = 1; part <= 2; part++)
        for (size_t at = first; at < last; at += sizeof(struct kvm_segment))
            memset(snapshot->data[part] + at + offsetof(struct kvm_segment, selector), 0, 2);
}

static struct snapshot pristine, present __attribute__((unused));

/* Usage of each such program: raw_guest.bin. */
static inline int run_on_processor(int count, char **arguments, const struct test *tests,
                                   size_t test_count)
{
    if (count < 2)
        return 2;
    build(arguments[1]);
    udfvm_vm *vm = open_vm();
    observe(vm, &pristine);
    udfvm_vm_close(vm);
    run_tests(tests, test_count, NULL);
    udfvm_image_close(image);
    return failures != 0;
}

#endif
