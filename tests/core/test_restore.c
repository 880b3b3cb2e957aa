/* What a call changed is as sealed for the next: registers, memory, windows; also where a VM moves
 * between layers. */
#include <stdbool.h>
#include "raw_image.h"

static void test_state_is_restored(void)
{
    udfvm_vm *vm = open_vm(image);
    struct outcome before = CALL(vm, NULL, RAW_STATE);
    check(before.code == 0 && before.words[0] == 0x1234000 && before.words[1] == 0x5678000 &&
              before.words[2] == 0x1515,
          "state at the first call is not the sealed one: %s", before.error.message);
    for (int i = 0; i < 3; i++) {
        check(CALL(vm, NULL, RAW_DIRTY).code == 0, "dirtying failed");
        struct outcome after = CALL(vm, NULL, RAW_STATE);
        check(after.code == 0 && after.length == before.length, "state call failed: %s",
              after.error.message);
        for (size_t word = 0; word < before.length / 8; word++)
            check(after.words[word] == before.words[word],
                  "word %zu of the state leaked: %#llx, was %#llx", word,
                  (unsigned long long)after.words[word], (unsigned long long)before.words[word]);
    }
    udfvm_vm_close(vm);
}

/* All of program memory, on both sides of the guard below the stack. */
static bool fill_memory(udfvm_vm *vm, uint64_t mark)
{
    const uint64_t stack = MEMORY - udfvm_stack_bytes(MEMORY), guard = stack - UDFVM_STACK_GUARD;
    return CALL(vm, NULL, RAW_FILL, UDFVM_PROGRAM_BASE, guard, mark).code == 0 &&
           CALL(vm, NULL, RAW_FILL, stack, MEMORY, mark).code == 0;
}

static bool memory_has(udfvm_vm *vm, uint64_t mark)
{
    const uint64_t stack = MEMORY - udfvm_stack_bytes(MEMORY), guard = stack - UDFVM_STACK_GUARD;
    return CALL(vm, NULL, RAW_FIND, UDFVM_PROGRAM_BASE, guard, mark).words[0] != 0 ||
           CALL(vm, NULL, RAW_FIND, stack, MEMORY, mark).words[0] != 0;
}

static void test_windows_leak_nothing(void)
{
    const uint64_t mark = 0x7365637265743a29;
    udfvm_vm *vm = open_vm(image);
    uint64_t *large = calloc(WINDOW - 4096, 1);
    large[0] = RAW_ECHO;
    for (size_t i = 2; i < (WINDOW - 4096) / 8; i++)
        large[i] = mark;
    check(fresh(vm, NULL, large, (WINDOW - 4096) / 8).code == 0, "a full input window");
    free(large);
    check(CALL(vm, NULL, RAW_FIND, UDFVM_INPUT_BASE + 4096 + 32, UDFVM_INPUT_BASE + WINDOW, mark)
                  .words[0] == 0,
          "input window leaks");
    check(CALL(vm, NULL, RAW_FILL, UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + WINDOW, mark).code == 0,
          "filling the output window");
    check(CALL(vm, NULL, RAW_FIND, UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + WINDOW, mark).words[0] ==
              0,
          "output window leaks");
    check(fill_memory(vm, mark), "filling memory");
    check(!memory_has(vm, mark), "memory leaks");
    for (int i = 0; i < 600; i++)
        check(CALL(vm, NULL, RAW_STATE).code == 0, "a call while the hot set cools");
    struct udfvm_vm_statistics statistics;
    udfvm_vm_statistics(vm, &statistics);
    check(statistics.hot_pages < 200, "the hot set did not cool: %llu pages",
          (unsigned long long)statistics.hot_pages);
    check(fill_memory(vm, mark), "filling memory after cooling");
    check(!memory_has(vm, mark), "memory leaks after cooling");
    udfvm_vm_close(vm);
}

static void test_a_call_of_several_exchanges(void)
{
    udfvm_vm *vm = open_vm(image);
    for (int call = 0; call < 2; call++) {
        for (uint64_t i = 1; i < 5; i++)
            check(exchange(vm) == i, "state was lost inside a call");
        check(udfvm_vm_restore(vm, NULL) == 0, "restore");
    }
    udfvm_vm_close(vm);
}

static void test_layers(void)
{
    const uint64_t mark = 0xabababab12345678;
    udfvm_image *layers[] = { layer(100), layer(200) };
    udfvm_vm *vm = open_vm(image);
    struct udfvm_image_statistics statistics;
    udfvm_image_statistics(layers[0], &statistics);
    check(statistics.is_layer && statistics.pages < 20, "layer of %llu pages",
          (unsigned long long)statistics.pages);
    for (int i = 0; i < 6; i++) {
        check(udfvm_vm_bind(vm, layers[i % 2], NULL) == 0, "bind");
        check(CALL(vm, NULL, RAW_COUNT).words[0] == (i % 2 ? 201u : 101u),
              "bound to the wrong layer");
        check(!memory_has(vm, mark), "one layer's call is seen by the other's");
        check(fill_memory(vm, mark), "fill");
    }
    check(udfvm_vm_bind(vm, image, NULL) == 0 && CALL(vm, NULL, RAW_COUNT).words[0] == 1,
          "back to the base");
    udfvm_vm_close(vm);
    udfvm_image_close(layers[0]);
    udfvm_image_close(layers[1]);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "state", test_state_is_restored },
        { "windows", test_windows_leak_nothing },
        { "exchanges", test_a_call_of_several_exchanges },
        { "layers", test_layers },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
