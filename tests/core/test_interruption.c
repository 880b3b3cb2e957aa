/* Endless calls end: at their deadline, and where the interrupt hook says so. */
#include <signal.h>
#include "raw_image.h"

static void test_deadline(void)
{
    udfvm_vm *vm = open_vm(image);
    struct udfvm_limits limits = { .timeout_ns = 50000000 };
    for (int i = 0; i < 3; i++) {
        check(CALL(vm, &limits, i % 2 ? RAW_SYSCALL_LOOP : RAW_LOOP).code == UDFVM_E_TIMEOUT,
              "an endless loop ended otherwise");
        check(CALL(vm, NULL, RAW_STATE).words[2] == 0x1515, "VM unusable after a timeout");
    }
    udfvm_vm_close(vm);
}

static int interrupts;

static int count_interrupts(void)
{
    return ++interrupts >= 2;
}

static void nothing(int number)
{
    (void)number;
}

static void test_interrupt_hook(void)
{
    udfvm_vm *vm = open_vm(image);
    signal(SIGALRM, nothing);
    udfvm_set_interrupt_hook(count_interrupts);
    ualarm(20000, 20000);
    check(CALL(vm, NULL, RAW_LOOP).code == UDFVM_E_INTERRUPTED && interrupts == 2,
          "the hook was asked %d times", interrupts);
    ualarm(0, 0);
    udfvm_set_interrupt_hook(NULL);
    check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM unusable after an interrupt");
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "deadline", test_deadline },
        { "interrupt", test_interrupt_hook },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
