/* Unlogged memory that a call wrote is zeroed where it is. Usage:
 * test_unlogged_residency raw_guest.bin. Prints what failed. */
#include <sys/mman.h>
#include "snapshot.h"

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
static void test_unlogged_memory_stays_resident(void)
{
    const uint64_t start = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
                   end = UDFVM_OUTPUT_BASE + 2 * WINDOW;
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (int round = 0; round < 4; round++) {
        scan_refused = round >= 2;
        check(call(vm, &usual, &reply, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0) ==
                  UDFVM_OK,
              "opening unlogged memory");
        for (uint64_t page = start; page < end;
             page += 3 * PAGE) /* more chunks than are kept as such */
            check(call(vm, &usual, &reply, RAW_WRITE, page, MARK, 0) == UDFVM_OK, "write");
        check(call(vm, &usual, &reply, RAW_FILL, start + (1 << 20), start + (3 << 20), MARK) ==
                  UDFVM_OK,
              "fill");
        const size_t before = resident_pages(vm);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK &&
                  udfvm_unlogged_settle(&vm->memory, NULL) == UDFVM_OK,
              "restore");
        check(resident_pages(vm) >= before && before >= 512,
              "round %d: %zu pages in memory, then %zu", round, before, resident_pages(vm));
        check(call(vm, &usual, &reply, RAW_FIND, start, end, MARK) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 0,
              "round %d: unlogged memory leaks", round);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    scan_refused = false;
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "unlogged memory", test_unlogged_memory_stays_resident },
    };
    return run_on_processor(count, arguments, tests, sizeof tests / sizeof *tests);
}
