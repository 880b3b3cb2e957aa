/* Pages that leave the hot set, with the raw guest. Linked with -Wl,--wrap=madvise, to count what
 * is given back. Usage: test_hot_set raw_guest.bin. Prints what failed. */
#include <sys/mman.h>

#include "base/pages.h"
#include "call/vm.h"
#include "raw_image.h"

#define COOLING    400 /* restores after which what is not written has cooled */
#define FEW        (UDFVM_PROGRAM_BASE + (2ull << 20))
#define MANY       (UDFVM_PROGRAM_BASE + (8ull << 20))
#define FEW_PAGES  100ull /* fewer than are kept */
#define MANY_PAGES 600ull /* more than are kept */
#define MARK       0x6d61726bull

static int dropped;

int __real_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice)
{
    dropped += advice == MADV_DONTNEED;
    return __real_madvise(address, length, advice);
}

static uint64_t call(udfvm_vm *vm, uint32_t request, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t words[] = { a, b, c, d };
    const struct udfvm_limits usual = { .timeout_ns = 20000000000 };
    struct udfvm_error error;
    struct udfvm_reply reply;
    check(udfvm_vm_call(vm, request, words, sizeof words, &usual, &reply, &error) == UDFVM_OK, "%s",
          error.message);
    return reply.length >= 8 ? *(const uint64_t *)reply.data : 0;
}

static uint64_t fresh_call(udfvm_vm *vm, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t answer = call(vm, UDFVM_REQUEST_ROW, a, b, c, d);
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    return answer;
}

static void write_pages(udfvm_vm *vm, uint64_t from, uint64_t pages, uint64_t value)
{
    fresh_call(vm, RAW_FILL, from, from + pages * PAGE, value);
}

static uint64_t count(udfvm_vm *vm, uint64_t from, uint64_t pages, uint64_t value)
{
    return fresh_call(vm, RAW_FIND, from, from + pages * PAGE, value) / (PAGE / 8);
}

static void cool_down(udfvm_vm *vm)
{
    for (int i = 0; i < COOLING; i++)
        fresh_call(vm, RAW_COUNT, 0, 0, 0);
}

/* It stores the few pages, full of marks. */
static udfvm_image *marked_layer(void)
{
    udfvm_vm *vm = open_vm(image);
    call(vm, UDFVM_REQUEST_LOAD, RAW_FILL, FEW, FEW + FEW_PAGES * PAGE, MARK);
    call(vm, UDFVM_REQUEST_LOAD, RAW_SEAL, 0, 0, 0);
    udfvm_image *made = sealed(vm, image, "layer");
    udfvm_vm_close(vm);
    return made;
}

/* Their memory is kept while they are few, so that pages which calls write now and then cost no
 * system calls. */
static void test_few_cold_pages_stay(void)
{
    udfvm_vm *vm = open_vm(image);
    dropped = 0;
    for (int round = 0; round < 4; round++) {
        write_pages(vm, FEW, FEW_PAGES, MARK);
        check(vm->memory.hot.count >= FEW_PAGES && vm->memory.hot.cold_count < FEW_PAGES,
              "%zu hot pages, %zu cold ones", vm->memory.hot.count, vm->memory.hot.cold_count);
        cool_down(vm);
        check(vm->memory.hot.count < FEW_PAGES && vm->memory.hot.cold_count >= FEW_PAGES,
              "%zu hot pages, %zu cold ones", vm->memory.hot.count, vm->memory.hot.cold_count);
        check(count(vm, FEW, FEW_PAGES, MARK) == 0, "a cold page was not restored");
    }
    check(dropped == 0, "%d system calls for a few pages", dropped);
    check(udfvm_vm_shrink(vm, NULL) == UDFVM_OK && vm->memory.hot.cold_count == 0 && dropped > 0,
          "a VM that is shrunk keeps %zu cold pages", vm->memory.hot.cold_count);
    udfvm_vm_close(vm);
}

/* They are written by each call, with the zeros that they hold: they cool once, and come back. */
static void test_pages_that_stay_the_same_return_once(void)
{
    udfvm_vm *vm = open_vm(image);
    size_t returned = 0, cold = 0;
    for (int i = 0; i < 4 * COOLING; i++) {
        write_pages(vm, FEW, FEW_PAGES, 0);
        const size_t now = vm->memory.hot.cold_count;
        returned += now < cold && cold >= FEW_PAGES;
        cold = now;
    }
    check(returned == 1, "pages that calls write with what they hold came back %zu times",
          returned);
    write_pages(vm, FEW, FEW_PAGES, MARK);
    check(count(vm, FEW, FEW_PAGES, MARK) == 0, "a page that came back was not restored");
    udfvm_vm_close(vm);
}

static void test_many_cold_pages_go(void)
{
    udfvm_vm *vm = open_vm(image);
    for (int round = 0; round < 3; round++) {
        dropped = 0;
        write_pages(vm, MANY, MANY_PAGES, MARK);
        cool_down(vm);
        check(vm->memory.hot.cold_count < FEW_PAGES && dropped > 0 && dropped < 32,
              "%zu cold pages, %d system calls", vm->memory.hot.cold_count, dropped);
        check(count(vm, MANY, MANY_PAGES, MARK) == 0, "what was dropped is back");
    }
    udfvm_vm_close(vm);
}

/* A page cools, a layer that stores it is put on the VM, then cold pages go: not this one. */
static void test_a_layers_pages_stay(void)
{
    udfvm_image *with_marks = marked_layer();
    udfvm_vm *vm = open_vm(image);
    for (int round = 0; round < 3; round++) {
        write_pages(vm, FEW, FEW_PAGES, MARK + 1);
        cool_down(vm);
        check(vm->memory.hot.cold_count >= FEW_PAGES, "%zu cold pages", vm->memory.hot.cold_count);
        check(udfvm_vm_bind(vm, with_marks, NULL) == UDFVM_OK &&
                  count(vm, FEW, FEW_PAGES, MARK) == FEW_PAGES,
              "the layer's pages");
        write_pages(vm, MANY, MANY_PAGES, MARK);
        cool_down(vm);
        check(vm->memory.hot.cold_count < FEW_PAGES, "%zu cold pages", vm->memory.hot.cold_count);
        check(count(vm, FEW, FEW_PAGES, MARK) == FEW_PAGES,
              "the layer's pages went with the cold ones");
        check(udfvm_vm_bind(vm, image, NULL) == UDFVM_OK && count(vm, FEW, FEW_PAGES, MARK) == 0,
              "the layer's pages are on the base");
        check(count(vm, FEW, FEW_PAGES, MARK + 1) == 0 && count(vm, MANY, MANY_PAGES, MARK) == 0,
              "an earlier call's pages are back");
    }
    udfvm_vm_close(vm);
    udfvm_image_close(with_marks);
}

int main(int count_of, char **arguments)
{
    static const struct test tests[] = {
        { "few", test_few_cold_pages_stay },
        { "same", test_pages_that_stay_the_same_return_once },
        { "many", test_many_cold_pages_go },
        { "layers", test_a_layers_pages_stay },
    };
    return run_on_raw_image(count_of, arguments, tests, sizeof tests / sizeof *tests);
}
