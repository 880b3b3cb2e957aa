/* State of the processor, whatever a call did to it and however it ended. Usage:
 * test_processor raw_guest.bin. Prints what failed. */
#include <cpuid.h>

#include "snapshot.h"

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

/* The protection keys of this thread, 0 where programs have none (CPUID leaf 7, ECX bit 4). */
static uint32_t own_keys(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(c >> 4 & 1))
        return 0;
    __asm__ volatile("rdpkru" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool has_keys(udfvm_vm *vm)
{
    struct udfvm_reply reply;
    const bool has = call(vm, &usual, &reply, RAW_BYTES, 0x90ee010f | 0x90909090ull << 32,
                          0x9090909090909090, 0) == UDFVM_OK /* rdpkru */
                     && *(const uint64_t *)reply.data == RAW_EXECUTED;
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    return has;
}

/* A call that forbids all memory, its own stack too, leaves nothing of that to the next, which
 * begins by reading. How it ends is the hypervisor's: with its reply, or with an error where what
 * emulates its hypercall obeys its keys, too, or where it faults for ever. */
static void forbid_memory(udfvm_vm *vm)
{
    static const uint8_t forbid[16] = {
        0x83, 0xc8, 0xff, 0x0f, 0x01, 0xef, /* or $-1, %eax; wrpkru */
        0xf7, 0xd8, 0xff, 0xc0, 0x31, 0xff, 0x31, 0xf6, 0xe6, UDFVM_PORT
    }; /* complete(0, 0) */
    static const struct udfvm_limits brief = { .timeout_ns = 500000000 };
    const uint32_t before = own_keys();
    struct udfvm_reply reply;
    uint64_t code[2];
    memcpy(code, forbid, sizeof code);
    for (int round = 0; round < 3; round++) {
        const int end = call(vm, &brief, &reply, RAW_BYTES, code[0], code[1], 0);
        check(end == UDFVM_OK || end == UDFVM_E_PROTOCOL || end == UDFVM_E_TIMEOUT,
              "a call that forbids memory: code %d", end);
        check(own_keys() == before, "the guest's protection keys are the host's");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "protection keys stay");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
}

/* Where ring 3 may write them: on PVM where the host's programs may; elsewhere with CR4.PKE, which
 * machines do not have otherwise. */
static void test_protection_keys_do_not_stay(void)
{
    udfvm_vm *vm = open_vm();
    const bool always = has_keys(vm);
    check(always == vm->machine.behaviour.has_keys, "what the first machine tried is not so");
    if (always)
        forbid_memory(vm);
    vm->machine.hypervisor->sregs.cr4 |= 1ull << 22;
    __real_ioctl(vm->machine.hypervisor->vcpu, KVM_SET_SREGS, &vm->machine.hypervisor->sregs);
    const bool keys = has_keys(vm);
    vm->machine.behaviour.has_keys = keys;
    if (keys)
        forbid_memory(vm);
    printf("(protection keys: %s, with CR4.PKE: %s)\n", always ? "yes" : "no", keys ? "yes" : "no");
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
        { "shadows", test_shadows_and_held_back_steps },
        { "selectors", test_no_selector_leads_further },
        { "protection keys", test_protection_keys_do_not_stay },
        { "paravirtual features", test_no_paravirtual_features },
    };
    return run_on_processor(count, arguments, tests, sizeof tests / sizeof *tests);
}
