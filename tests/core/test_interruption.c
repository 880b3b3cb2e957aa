/* Endless calls end: at their deadline, and where the interrupt hook says so. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
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
static atomic_bool ended;

static int count_interrupts(void)
{
    return ++interrupts >= 2;
}

static void nothing(int number)
{
    (void)number;
}

static uint64_t processor_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* A signal each time that the process, whose guest loops, has used the processor for a while. */
static void *interrupt_when_busy(void *thread)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    for (uint64_t last = processor_ns(); !atomic_load(&ended); nanosleep(&moment, NULL))
        if (processor_ns() - last >= 10000000) {
            pthread_kill(*(pthread_t *)thread, SIGALRM);
            last = processor_ns();
        }
    return NULL;
}

static void test_interrupt_hook(void)
{
    udfvm_vm *vm = open_vm(image);
    pthread_t caller = pthread_self(), interrupter;
    signal(SIGALRM, nothing);
    udfvm_set_interrupt_hook(count_interrupts);
    pthread_create(&interrupter, NULL, interrupt_when_busy, &caller);
    check(CALL(vm, NULL, RAW_LOOP).code == UDFVM_E_INTERRUPTED && interrupts == 2,
          "the hook was asked %d times", interrupts);
    atomic_store(&ended, true);
    pthread_join(interrupter, NULL);
    udfvm_set_interrupt_hook(NULL);
    check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM unusable after an interrupt");
    udfvm_vm_close(vm);
}

static int stop(void)
{
    return 1;
}

/* Its handler ran just before the guest was entered, or on another thread. */
static void test_no_signal_meets_the_guest(void)
{
    const struct udfvm_limits limits[] = { { .timeout_ns = 0 }, { .timeout_ns = 600000000000 } };
    udfvm_vm *vm = open_vm(image);
    udfvm_set_interrupt_hook(stop);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        check(CALL(vm, &limits[i], RAW_LOOP).code == UDFVM_E_INTERRUPTED,
              "an endless loop ended otherwise");
    udfvm_set_interrupt_hook(NULL);
    check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM unusable after an interrupt");
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "deadline", test_deadline },
        { "interrupt", test_interrupt_hook },
        { "an interrupt that stops no vCPU", test_no_signal_meets_the_guest },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
