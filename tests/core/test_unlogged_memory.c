/* Unlogged memory: closed until the guest opens it, bounded, and zero for the next call. */
#include <stdbool.h>
#include <sys/wait.h>
#include "raw_image.h"

#define UNLOGGED     (UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT)
#define UNLOGGED_END (UDFVM_OUTPUT_BASE + WINDOW + SCRATCH)
#define ZEROED_MARK  0x6d65616e7768696cull
#define KEPT         4

static uint64_t marks_in_unlogged(udfvm_vm *vm, uint64_t mark)
{
    struct outcome got = CALL(vm, NULL, RAW_FIND, UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
                              UNLOGGED_END, mark);
    check(got.code == 0, "looking through unlogged memory: %s", got.error.message);
    return got.words[0];
}

static void test_unlogged_memory_leaks_nothing(void)
{
    const uint64_t mark = 0x776964652d2d3e21, start = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT;
    const struct udfvm_limits soon = { .timeout_ns = 300000 }, bounded = { .max_output = 4096 };
    udfvm_image *other = layer(300);
    udfvm_vm *vm = open_vm(image);
    check(CALL(vm, NULL, RAW_WRITE, start, mark).words[0] == RAW_FAULTED,
          "unlogged memory is open unasked");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, start, 8).code == 0,
          "a hypercall about what is not open");
    check(
        CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, UDFVM_LOGGED_OUTPUT + 1).code ==
            UDFVM_E_OUTPUT,
        "a reply in what is not open");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IN_PLACE,
               UDFVM_LOGGED_OUTPUT + 1)
                  .code == UDFVM_E_OUTPUT,
          "a reply left where nothing is open");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED).code == 0,
          "opening unlogged memory");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, WINDOW + 1).code ==
              UDFVM_E_OUTPUT,
          "a reply beyond the window");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IN_PLACE,
               WINDOW + SCRATCH + 1)
                  .code == UDFVM_E_OUTPUT,
          "a reply beyond scratch");
    check(CALL(vm, &bounded, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IN_PLACE, 8)
                  .code == UDFVM_E_PROTOCOL,
          "a reply left in place where its size is bounded");
    check(CALL(vm, NULL, RAW_WRITE, UNLOGGED_END, mark).words[0] == RAW_FAULTED,
          "unlogged memory has no end");
    for (int round = 0; round < 3; round++) {
        check(CALL(vm, NULL, RAW_FILL, start, UNLOGGED_END, mark).code == 0,
              "filling unlogged memory");
        check(marks_in_unlogged(vm, mark) == 0, "unlogged memory leaks");
        check(CALL(vm, NULL, RAW_WRITE, UNLOGGED_END - 8, mark).code == 0 &&
                  marks_in_unlogged(vm, mark) == 0,
              "the last word of unlogged memory leaks");
        int tries = 0;
        while (tries < 1000 &&
               CALL(vm, &soon, RAW_FILL, start, UNLOGGED_END, mark).code != UDFVM_E_TIMEOUT)
            tries++;
        check(tries < 1000 || quick, "filling unlogged memory was too quick");
        check(marks_in_unlogged(vm, mark) == 0, "unlogged memory leaks after a timeout");
        check(CALL(vm, NULL, RAW_FILL, start, UNLOGGED_END, mark).code == 0 &&
                  udfvm_vm_bind(vm, round % 2 ? image : other, NULL) == 0,
              "moving");
        check(marks_in_unlogged(vm, mark) == 0, "unlogged memory leaks to another layer");
    }
    udfvm_vm_close(vm);
    udfvm_image_close(other);
}

/* In a forked child: unlogged memory of its own VMs is zeroed, too. */
static bool child_zeroes(udfvm_vm *parents)
{
    udfvm_vm_close(parents);
    udfvm_vm *own = open_vm(image);
    CALL(own, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED);
    const bool clean = CALL(own, NULL, RAW_FILL, UNLOGGED, UNLOGGED_END, ZEROED_MARK).code == 0 &&
                       marks_in_unlogged(own, ZEROED_MARK) == 0;
    udfvm_vm_close(own);
    return clean;
}

static udfvm_vm *open_with_unlogged_memory(void)
{
    udfvm_vm *vm = open_vm(image);
    CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED);
    return vm;
}

/* One VM is closed, in a child too, while memory of all of them is to be zeroed. */
static void close_one_meanwhile(udfvm_vm *const *kept, bool forks)
{
    udfvm_vm *vm = open_with_unlogged_memory();
    for (int i = 0; i < KEPT; i++)
        check(CALL(kept[i], NULL, RAW_FILL, UNLOGGED, UNLOGGED_END, ZEROED_MARK).code == 0,
              "filling unlogged memory of one of several");
    check(CALL(vm, NULL, RAW_FILL, UNLOGGED, UNLOGGED_END, ZEROED_MARK).code == 0,
          "filling unlogged memory");
    fflush(stdout);
    const pid_t child = forks ? fork() : 0;
    if (forks && child == 0)
        _exit(!child_zeroes(vm));
    udfvm_vm_close(vm);
    int status = 0;
    if (child > 0)
        waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child forked meanwhile");
    for (int i = 0; i < KEPT; i++)
        check(marks_in_unlogged(kept[i], ZEROED_MARK) == 0,
              "unlogged memory of one of several leaks");
}

/* What a call wrote there is zeroed by a second thread while the VM may be closed, the process
 * forked, other VMs used. */
static void test_unlogged_memory_is_zeroed_meanwhile(void)
{
    udfvm_vm *kept[KEPT];
    for (int i = 0; i < KEPT; i++)
        kept[i] = open_with_unlogged_memory();
    /* No forks where it is quick: valgrind takes the worker's memory, in the child, for lost. */
    for (int round = 0; round < (quick ? 2 : 12); round++)
        close_one_meanwhile(kept, !quick && round % 3 == 0);
    for (int i = 0; i < KEPT; i++)
        udfvm_vm_close(kept[i]);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "leaks", test_unlogged_memory_leaks_nothing },
        { "zeroing", test_unlogged_memory_is_zeroed_meanwhile },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
