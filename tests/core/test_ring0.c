/* Ports and ring 0: out of reach, and of little use where they were not. Usage:
 * test_ring0 raw_guest.bin. Prints what failed. */
#include "snapshot.h"

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
    static const uint64_t addresses[] = { SYSTEM_GDT + 0x50, SYSTEM_IDT,           SYSTEM_TSS + 104,
                                          SYSTEM_GATES,      SYSTEM_STUBS + 0x800, SYSTEM_STATE,
                                          SYSTEM_XSAVE };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    uint8_t *fixed = malloc(SYSTEM_FIXED_END);
    memcpy(fixed, vm->machine.system, SYSTEM_FIXED_END);
    const bool has_smep = vm->machine.hypervisor->sregs.cr4 >> 20 & 1;
    for (int smep = 0; smep <= has_smep; smep++)
        for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
            check(call(vm, &usual, &reply, RAW_POISON, 0, 0, 0) == UDFVM_OK,
                  "where is the poison?");
            enter_ring_0(vm, smep);
            vm->machine.hypervisor->run->s.regs.regs.rip = *(const uint64_t *)reply.data;
            vm->machine.hypervisor->run->s.regs.regs.rdi = smep ? UDFVM_PROGRAM_BASE : addresses[i];
            check(call(vm, &soon, &reply, RAW_COUNT, 0, 0, 0) != UDFVM_OK, "ring 0 wrote to %#llx",
                  (unsigned long long)addresses[i]);
            check(memcmp(fixed, vm->machine.system, SYSTEM_FIXED_END) == 0, "%#llx was changed",
                  (unsigned long long)addresses[i]);
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

/* Changed page tables do not stay where ring 0 was entered as it would be: by an exception. */
static void test_page_tables_are_put_back(void)
{
    static const uint64_t addresses[] = {
        SYSTEM_PML4 + 8,        SYSTEM_PDPT,   SYSTEM_PT_LOW + 8 * (SYSTEM_STUBS / PAGE),
        SYSTEM_PT_GUARD + 0x18, SYSTEM_PD + 8, SYSTEM_PD_INPUT,
        SYSTEM_PD_OUTPUT + 16
    };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    uint8_t *system = malloc(SYSTEM_SIZE);
    check(call(vm, &usual, &reply, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0) == UDFVM_OK,
          "opening unlogged memory");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    memcpy(system, vm->machine.system, SYSTEM_SIZE);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const int before = vms_made;
        check(call(vm, &usual, &reply, RAW_BYTES, 0x90909090ull << 32 | 0x90900b0f,
                   0x9090909090909090, 0) == UDFVM_OK /* ud2 */
                  && *(const uint64_t *)reply.data == RAW_FAULTED,
              "an exception");
        vm->machine.system[addresses[i]] ^= 2;
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && vms_made == before + 1, "restore");
        check(memcmp(system + SYSTEM_PML4, vm->machine.system + SYSTEM_PML4,
                     SYSTEM_SIZE - SYSTEM_PML4) == 0,
              "page table at %#llx stays changed", (unsigned long long)addresses[i]);
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "the VM is of no use");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    free(system);
    udfvm_vm_close(vm);
}

/* Model-specific registers that ring 0 would set do not stay. */
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

/* Where the processor has UMIP, ring 3 does not learn where the tables of descriptors are: of the
 * VM, nor, under PVM, of the host. */
static void test_tables_are_hidden(void)
{
    static const struct {
        const char *name;
        uint8_t length, bytes[4];
    } looks[] = {
        { "sgdt (%rbx)", 3, { 0x0f, 0x01, 0x03 } },     { "sidt (%rbx)", 3, { 0x0f, 0x01, 0x0b } },
        { "sldt %rax", 4, { 0x48, 0x0f, 0x00, 0xc0 } }, { "sldt (%rbx)", 3, { 0x0f, 0x00, 0x03 } },
        { "str %rax", 4, { 0x48, 0x0f, 0x00, 0xc8 } },  { "str (%rbx)", 3, { 0x0f, 0x00, 0x0b } },
        { "smsw %rax", 4, { 0x48, 0x0f, 0x01, 0xe0 } }, { "smsw (%rbx)", 3, { 0x0f, 0x01, 0x23 } },
    };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    struct kvm_sregs sregs;
    struct processor_features features;
    int kvm = -1;
    check(udfvm_kvm_open(&kvm, NULL) == UDFVM_OK &&
              udfvm_processor_features(kvm, &features, NULL) == UDFVM_OK,
          "features of the processor");
    close(kvm);
    __real_ioctl(vm->machine.hypervisor->vcpu, KVM_GET_SREGS, &sregs);
    check((sregs.cr4 >> 11 & 1) == features.umip, "CR4.UMIP is not as the processor has it");
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        uint64_t code[2];
        memset(code, 0x90, sizeof code);
        memcpy(code, looks[i].bytes, looks[i].length);
        const int got = call(vm, &usual, &reply, RAW_BYTES, code[0], code[1], 0);
        check(got == UDFVM_OK, "%s: code %d", looks[i].name, got);
        check(!features.umip || (got == UDFVM_OK && *(const uint64_t *)reply.data == RAW_FAULTED),
              "%s can be executed", looks[i].name);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    printf("(UMIP %s)\n", features.umip ? "is on" : "is missing");
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "ports", test_ports_are_closed },
        { "tables of descriptors", test_tables_are_hidden },
        { "ring 0", test_ring_0_would_be_of_little_use },
        { "page tables", test_page_tables_are_put_back },
        { "ways into ring 0", test_entries_into_ring_0_are_put_back },
    };
    return run_on_processor(count, arguments, tests, sizeof tests / sizeof *tests);
}
