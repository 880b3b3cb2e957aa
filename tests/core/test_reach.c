/* Nothing beyond its own memory is in reach of ring 3: addresses, privileged instructions,
 * descriptors, ports, and hypercalls about what is not there. */
#include <errno.h>
#include "raw_image.h"

#define UNLOGGED_END (UDFVM_OUTPUT_BASE + WINDOW + SCRATCH)

static void test_system_area_is_out_of_reach(void)
{
    const uint64_t guard_end = MEMORY - udfvm_stack_bytes(MEMORY),
                   guard_start = guard_end - UDFVM_STACK_GUARD;
    const uint64_t unreadable[] = { 0,
                                    0x1000,
                                    0x2000,
                                    0x3000,
                                    0x4000,
                                    0x6000,
                                    0x7000,
                                    0x8000,
                                    0xa000,
                                    0xc000,
                                    0xe000,
                                    0x18000,
                                    0x18ff8,
                                    0x1a000,
                                    0x20000,
                                    guard_start,
                                    guard_end - 8,
                                    MEMORY,
                                    UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
                                    UDFVM_OUTPUT_BASE + WINDOW,
                                    UNLOGGED_END,
                                    UDFVM_INPUT_BASE + WINDOW,
                                    0x8000000000,
                                    UINT64_MAX - 7 };
    static const uint64_t unwritable[] = {
        0x10000, 0x11000, 0x12000, 0x14ff8, UDFVM_INPUT_BASE, UDFVM_INPUT_BASE + WINDOW - 8
    };
    udfvm_vm *vm = open_vm(image);
    check(CALL(vm, NULL, RAW_WRITE, guard_start - 8, 1).words[0] != RAW_FAULTED &&
              CALL(vm, NULL, RAW_WRITE, guard_end, 1).words[0] != RAW_FAULTED,
          "the guard of the stack is too large");
    for (size_t i = 0; i < sizeof unreadable / 8; i++) {
        struct outcome got = CALL(vm, NULL, RAW_READ, unreadable[i]);
        check(got.code == 0 && got.words[0] == RAW_FAULTED, "read of %#llx: code %d",
              (unsigned long long)unreadable[i], got.code);
        got = CALL(vm, NULL, RAW_WRITE, unreadable[i], 1);
        check(got.code == 0 && got.words[0] == RAW_FAULTED, "write of %#llx: code %d",
              (unsigned long long)unreadable[i], got.code);
    }
    for (size_t i = 0; i < sizeof unwritable / 8; i++) {
        struct outcome got = CALL(vm, NULL, RAW_WRITE, unwritable[i], 1);
        check(got.code == 0 && got.words[0] == RAW_FAULTED && got.words[1] == 14, "write of %#llx",
              (unsigned long long)unwritable[i]);
    }
    udfvm_vm_close(vm);
}

static void test_privileged_instructions_fault(void)
{
    udfvm_vm *vm = open_vm(image);
    for (uint64_t which = 0; which < RAW_PRIVILEGED_INSTRUCTIONS; which++) {
        struct outcome got = CALL(vm, NULL, RAW_PRIVILEGED, which);
        check(got.code == UDFVM_E_PROTOCOL || (got.code == 0 && got.words[0] == RAW_FAULTED),
              "privileged instruction %d: code %d, %#llx", (int)which, got.code,
              (unsigned long long)got.words[0]);
        got = CALL(vm, NULL, RAW_STATE);
        check(got.code == 0 && got.words[2] == 0x1515,
              "VM unusable after privileged instruction %d", (int)which);
    }
    struct outcome got = CALL(vm, NULL, RAW_SYSCALL, 39);
    check(got.code == 0 && got.words[0] == 1039 && got.words[1] == 3,
          "system call: result %llu, CPL %llu", (unsigned long long)got.words[0],
          (unsigned long long)got.words[1]);
    udfvm_vm_close(vm);
}

/* A local descriptor table would let ring 3 choose descriptors: there is none. Of the global one it
 * sees its own two segments, and ring 0's data. */
static void test_no_descriptors_of_a_guests_choice(void)
{
    static const uint64_t selectors[] = { 4,      7,      0x23 | 4, 0x2b | 4, 0x6007, 0x6027,
                                          0x602f, 0x8007, 0xcfc7,   0xfff7,   0xffff };
    udfvm_vm *vm = open_vm(image);
    for (int round = 0; round < 2; round++) {
        struct outcome got = CALL(vm, NULL, RAW_DESCRIPTORS, 4);
        check(got.code == 0 && got.words[0] == 0, "%llu selectors of a local descriptor table",
              (unsigned long long)got.words[0]);
        for (uint64_t use = 0; use < RAW_USES; use++)
            for (size_t i = 0; i < sizeof selectors / 8; i++) {
                got = CALL(vm, NULL, RAW_SELECTOR, use, selectors[i]);
                check(got.code == 0 && got.words[0] == RAW_FAULTED &&
                          (got.words[1] == 13 || got.words[1] == 11),
                      "use %d of selector %#llx: %#llx", (int)use, (unsigned long long)selectors[i],
                      (unsigned long long)got.words[0]);
            }
    }
    udfvm_vm_close(vm);
}

static void test_ports_and_hypercalls(void)
{
    static const uint64_t ports[] = { 0, 0x20, 0x54, 0x56, 0x60, 0x80, 0xcf8, 0xffff };
    static const uint64_t wild[] = { 0, 8, 22, 99, UINT64_MAX, 1ull << 32 };
    udfvm_vm *vm = open_vm(image);
    for (size_t i = 0; i < sizeof ports / 8; i++) {
        struct outcome got = CALL(vm, NULL, RAW_PORT, ports[i]);
        check(got.code == UDFVM_E_PROTOCOL || got.words[0] == RAW_FAULTED, "port %#llx: code %d",
              (unsigned long long)ports[i], got.code);
    }
    for (size_t i = 0; i < sizeof wild / 8; i++)
        check(CALL(vm, NULL, RAW_HYPERCALL, wild[i], 1, 2, 3, 4, 5).code == UDFVM_E_PROTOCOL,
              "hypercall %#llx", (unsigned long long)wild[i]);
    for (uint64_t file = UDFVM_HYPERCALL_FILE_OPEN; file <= UDFVM_HYPERCALL_FILE_READLINK; file++) {
        struct outcome got = CALL(vm, NULL, RAW_HYPERCALL, file, UDFVM_PROGRAM_BASE, 10,
                                  UDFVM_PROGRAM_BASE, 100, 0);
        check(got.code == 0 && (int64_t)got.words[0] == -EACCES,
              "file hypercall %d without files: %lld", (int)file, (long long)got.words[0]);
    }
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 2, 0).code == UDFVM_E_PROTOCOL,
          "status 2");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, WINDOW + 1).code ==
              UDFVM_E_OUTPUT,
          "reply beyond the window");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, UINT64_MAX).code ==
              UDFVM_E_OUTPUT,
          "reply of 2^64 bytes");
    struct udfvm_limits small = { .max_output = 64, .timeout_ns = 5000000000 };
    check(CALL(vm, &small, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, 65).code == UDFVM_E_OUTPUT,
          "max_output");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_SEAL, UINT64_MAX).code == UDFVM_E_PROTOCOL,
          "seal at a wild address");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_SEAL, MEMORY - 8).code == UDFVM_E_PROTOCOL,
          "seal across the end of memory");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_SIGNAL, 11, UINT64_MAX)
                  .code == UDFVM_E_CRASH,
          "crash report at a wild address");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_STATUS, 3, 0).code ==
              UDFVM_E_EXIT,
          "exit");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_EXIT, 77, 3, MEMORY - 8).code ==
              UDFVM_E_PROTOCOL,
          "exit for no reason");
    check(CALL(vm, NULL, RAW_STATE).words[2] == 0x1515, "VM unusable after hostile hypercalls");
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "system area", test_system_area_is_out_of_reach },
        { "privileged", test_privileged_instructions_fault },
        { "descriptors", test_no_descriptors_of_a_guests_choice },
        { "hypercalls", test_ports_and_hypercalls },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
