/* What becomes of jailed VMs between two calls, while their process puts them back, in its own
 * time: see hostile_jail.c. Usage: test_between_calls raw_guest.bin, beside a program udfvm-jail.
 * Prints what holds and what failed. */
#include <stdatomic.h>
#include "jail_pool.h"

static atomic_int interrupts;

static int interrupt_once(void)
{
    return atomic_fetch_add(&interrupts, 1) == 0;
}

/* The process still puts the VM back, or moves it to a layer: the interrupt is of the next call. */
static void test_an_interrupt_between_calls_is_not_lost(void)
{
    udfvm_pool *pool = make_pool(NULL);
    udfvm_image *seven = layer(7), *const images[] = { image, seven };
    POOL_CALL(pool, image, NULL, RAW_ECHO, 3, (uint64_t)TRICK << 32 | SLOW_BETWEEN_CALLS);
    udfvm_set_interrupt_hook(interrupt_once);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        interrupts = 0;
        const struct outcome got = POOL_CALL(pool, images[i], NULL, RAW_LOOP);
        check(got.code == UDFVM_E_INTERRUPTED, "an endless loop: %d, %s", got.code,
              got.error.message);
    }
    udfvm_set_interrupt_hook(NULL);
    udfvm_image_close(seven);
    udfvm_pool_close(pool);
}

static int vms_started;

static void count_vm(const struct udfvm_vm_notice *notice)
{
    vms_started += notice->event == UDFVM_VM_STARTED;
}

/* The process puts the VM back for longer than the grace that a call has which is to end, and than
 * the next call has time. */
static void test_a_deadline_ends_its_own_call_alone(void)
{
    const struct udfvm_limits soon = { .timeout_ns = SECOND / 20 },
                              less = { .timeout_ns = 2 * SECOND };
    udfvm_pool *pool = make_pool(NULL);
    udfvm_image *seven = layer(7), *const images[] = { image, seven };
    vms_started = 0;
    udfvm_set_vm_hook(count_vm);
    POOL_CALL(pool, image, NULL, RAW_ECHO, 3, (uint64_t)TRICK << 32 | SLOWER_BETWEEN_CALLS);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        struct outcome got = POOL_CALL(pool, image, &soon, RAW_LOOP);
        check(got.code == UDFVM_E_TIMEOUT, "an endless loop: %d, %s", got.code, got.error.message);
        for (long after = 1; after <= 2; after++) { /* a call that failed, one that did not */
            got = POOL_CALL(pool, images[i], &less, RAW_COUNT);
            check(got.code == UDFVM_OK, "call %ld after it: %d, %s", after, got.code,
                  got.error.message);
        }
    }
    check_number(vms_started == 1, "all calls had one process", vms_started);
    udfvm_set_vm_hook(NULL);
    udfvm_image_close(seven);
    udfvm_pool_close(pool);
}

/* A process dies while it puts the VM back after a call that failed, or that another function's
 * call follows. */
static void test_a_death_between_calls_harms_none(void)
{
    const struct udfvm_limits soon = { .timeout_ns = SECOND / 20 };
    udfvm_image *seven = layer(7);
    for (int fails = 0; fails < 2; fails++) {
        udfvm_pool *pool = make_pool(NULL);
        POOL_CALL(pool, image, NULL, RAW_ECHO, 3, (uint64_t)TRICK << 32 | DIE_AFTER_NEXT_CALL);
        struct outcome got = POOL_CALL(pool, image, fails ? &soon : NULL,
                                       fails ? RAW_LOOP : RAW_COUNT);
        check(got.code == (fails ? UDFVM_E_TIMEOUT : UDFVM_OK), "a call: %s", got.error.message);
        got = POOL_CALL(pool, fails ? image : seven, NULL, RAW_COUNT);
        check(got.code == UDFVM_OK, "the call after it: %d, %s", got.code, got.error.message);
        udfvm_pool_close(pool);
    }
    udfvm_image_close(seven);
}

/* Questions that take no time, for ever: no deadline is there to end them. */
static void test_an_interrupt_ends_a_call_that_always_asks(void)
{
    static const struct udfvm_files files = { .open = NULL };
    const struct udfvm_limits limits = { .files = 1 };
    udfvm_pool *pool = make_pool(&files);
    interrupts = 0;
    udfvm_set_interrupt_hook(interrupt_once);
    const struct outcome got = POOL_CALL(pool, image, &limits, RAW_ECHO, 3,
                                         (uint64_t)TRICK << 32 | ASK_ALWAYS);
    check(got.code == UDFVM_E_INTERRUPTED, "it ended: %d, %s", got.code, got.error.message);
    udfvm_set_interrupt_hook(NULL);
    udfvm_pool_close(pool);
}

static void test_an_interrupt_ends_a_stream_that_always_asks(void)
{
    static const uint64_t want[] = { RAW_ECHO, 3, (uint64_t)TRICK << 32 | WANT_TURNS },
                          loop[] = { RAW_LOOP };
    struct udfvm_reply reply;
    struct udfvm_error error;
    udfvm_pool *pool = make_pool(NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    udfvm_vm_call(vm, UDFVM_REQUEST_ROW, want, sizeof want, NULL, &reply, NULL);
    if (udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, loop, sizeof loop, NULL, NULL) == UDFVM_OK) {
        interrupts = 0; /* elsewhere there is one processor */
        udfvm_set_interrupt_hook(interrupt_once);
        const int code = udfvm_vm_stream_receive(vm, &reply, &error);
        check(code == UDFVM_E_INTERRUPTED, "it ended: %d, %s", code, error.message);
        udfvm_set_interrupt_hook(NULL);
    }
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "an interrupt between calls is not lost", test_an_interrupt_between_calls_is_not_lost },
        { "a deadline ends its own call alone", test_a_deadline_ends_its_own_call_alone },
        { "a death between calls harms none", test_a_death_between_calls_harms_none },
        { "an interrupt ends a call that always asks",
          test_an_interrupt_ends_a_call_that_always_asks },
        { "an interrupt ends a stream that always asks",
          test_an_interrupt_ends_a_stream_that_always_asks },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
