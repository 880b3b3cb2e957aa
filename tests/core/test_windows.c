/* Windows that are larger than the image's. Usage: test_windows raw_guest.bin. Prints what holds
 * and what failed. */
#include <string.h>
#include "pool_users.h"

/* ---- Larger windows ---- */

static uint64_t ask(udfvm_vm *vm, const uint64_t *request, size_t bytes, size_t word)
{
    struct udfvm_reply reply = { .length = 0 };
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, bytes, NULL, &reply, NULL);
    if (code != UDFVM_OK || reply.length < (word + 1) * sizeof(uint64_t))
        return (uint64_t)-1 - (uint64_t)code;
    const uint64_t answer = ((const uint64_t *)reply.data)[word];
    return answer;
}

/* The guest reaches the first and the last word of windows of gigabytes, and nothing past them. */
static void test_windows_of_gigabytes(void)
{
    const struct udfvm_windows windows = { .input = 3ull << 30,
                                           .output = 2ull << 30,
                                           .scratch = 3ull << 30 };
    const uint64_t input_end = UDFVM_INPUT_BASE + windows.input,
                   output_end = UDFVM_OUTPUT_BASE + windows.output + windows.scratch;
    const uint64_t open[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED },
                   addresses[] = { output_end - 8, UDFVM_OUTPUT_BASE + (1ull << 30),
                                   output_end - (1ull << 30) - 8 };
    udfvm_vm *vm = udfvm_vm_open_windows(image, &windows, NULL, NULL);
    check_number(vm != NULL, "a VM with large windows", 0);
    const uint64_t capacity = udfvm_vm_input_capacity(vm);
    check_number(capacity == windows.input - 4096, "the size of the input window", (long)capacity);
    for (uint64_t address = input_end - 8; address > UDFVM_INPUT_BASE + UDFVM_PAGE_SIZE;
         address -= (1ull << 30) - 8) {
        const uint64_t marker = address ^ 0x5a5a5a5a, read[] = { RAW_READ, address };
        struct udfvm_reply reply = { .length = 0 };
        uint8_t *input = udfvm_vm_input(vm, capacity, NULL);
        memcpy(input, read, sizeof read);
        memcpy(input + (address - UDFVM_INPUT_PAYLOAD), &marker, sizeof marker);
        check_number(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, capacity, NULL, &reply, NULL) ==
                             UDFVM_OK &&
                         ((const uint64_t *)reply.data)[1] == marker,
                     "the guest reads its input", (long)(address >> 20));
    }
    check_number(ask(vm, open, sizeof open, 0) == 0, "opening the rest", 0);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const uint64_t write[] = { RAW_WRITE, addresses[i], i + 7 },
                       read[] = { RAW_READ, addresses[i] };
        check_number(ask(vm, write, sizeof write, 0) == RAW_EXECUTED &&
                         ask(vm, read, sizeof read, 1) == i + 7,
                     "the guest writes", (long)i);
    }
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", 0);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const uint64_t read[] = { RAW_READ, addresses[i] };
        check_number(ask(vm, read, sizeof read, 1) == 0, "what was written is gone", (long)i);
    }
    const uint64_t behind[] = { RAW_READ, output_end }, past[] = { RAW_READ, input_end };
    check_number(ask(vm, behind, sizeof behind, 0) != RAW_EXECUTED, "read past the scratch", 0);
    udfvm_vm_restore(vm, NULL);
    check_number(ask(vm, past, sizeof past, 0) != RAW_EXECUTED, "read past the input", 0);
    udfvm_vm_close(vm);
}

static void test_a_vm_with_larger_windows_is_for_once(void)
{
    const struct udfvm_windows windows = { .input = 4 * WINDOW,
                                           .output = 2 * WINDOW,
                                           .scratch = WINDOW },
                               odd = { .input = 1 };
    struct udfvm_pool_statistics statistics;
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    struct rig rig = { .pool = pool, .limit = 1 };
    udfvm_pool_give(pool, udfvm_pool_take(pool, image, 0, NULL));
    for (int i = 0; i < 3; i++) {
        udfvm_vm *vm = udfvm_pool_take_windows(pool, image, &windows, 0, 0,
                                               NULL); /* the idle one is closed for it */
        check_number(vm && udfvm_vm_input_capacity(vm) == windows.input - 4096, "a larger window",
                     i);
        check_number(!udfvm_pool_take(pool, image, 0, NULL) &&
                         !udfvm_pool_take_windows(pool, image, &windows, 0, 0, NULL),
                     "two of one", i);
        use(&rig, vm);
        udfvm_pool_give(pool, vm);
        udfvm_pool_statistics(pool, &statistics);
        check_number(statistics.live == 0 && statistics.idle == 0, "it is closed", i);
        vm = udfvm_pool_take(pool, image, 0, NULL);
        check_number(vm && udfvm_vm_input_capacity(vm) == WINDOW - 4096, "a usual window", i);
        udfvm_pool_give(pool, vm);
    }
    check_number(!udfvm_pool_take_windows(pool, image, &odd, 0, 0, NULL) &&
                     !udfvm_vm_open_windows(image, &odd, NULL, NULL),
                 "an odd window", 0);
    udfvm_pool_statistics(pool, &statistics);
    check_number(statistics.live == 0, "nothing is left of it", statistics.live);
    udfvm_pool_shut(pool);
    check_number(!udfvm_pool_take_windows(pool, image, &windows, SECOND, 0, NULL),
                 "taken from a closed pool", 0);
    udfvm_pool_close(pool);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "gigabytes", test_windows_of_gigabytes },
        { "once", test_a_vm_with_larger_windows_is_for_once },
    };
    return count < 2 ? 2 : run_with_image(arguments[1], tests, sizeof tests / sizeof *tests, NULL);
}
