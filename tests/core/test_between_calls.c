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

static void expect_echo(const struct outcome *got, const char *what, int round)
{
    check(got->code == UDFVM_OK && got->length == 40 && got->words[2] == 3 && got->words[4] == 4,
          "%s, round %d: %d, %s", what, round, got->code, got->error.message);
}

/* A process dies while it puts the VM back after a call that failed, or did not; the next call is
 * of the same function, or of another. It has its own request, and another process. */
static void test_a_death_between_calls_harms_none(void)
{
    const struct udfvm_limits soon = { .timeout_ns = SECOND / 20 };
    udfvm_image *seven = layer(7);
    for (int round = 0; round < 4; round++) {
        const bool fails = round & 1;
        udfvm_image *first = round & 2 ? seven : image, *next = round ? image : seven;
        udfvm_pool *pool = make_pool(NULL);
        vms_started = 0;
        udfvm_set_vm_hook(count_vm);
        POOL_CALL(pool, image, NULL, RAW_ECHO, 3, (uint64_t)TRICK << 32 | DIE_AFTER_NEXT_CALL);
        struct outcome got = POOL_CALL(pool, image, fails ? &soon : NULL,
                                       fails ? RAW_LOOP : RAW_COUNT);
        check(got.code == (fails ? UDFVM_E_TIMEOUT : UDFVM_OK), "a call: %s", got.error.message);
        got = POOL_CALL(pool, round == 3 ? first : next, NULL, RAW_ECHO, 5, 3, 0, 4);
        expect_echo(&got, "the call after it", round);
        got = POOL_CALL(pool, first, NULL, RAW_COUNT);
        check(got.code == UDFVM_OK && got.words[0] == (first == seven ? 8 : 1), "a call of it: %s",
              got.error.message);
        check_number(vms_started == 2, "processes", vms_started);
        udfvm_set_vm_hook(NULL);
        udfvm_pool_close(pool);
    }
    udfvm_image_close(seven);
}

/* The embedder has written the next request into the window, which stays where it is. */
static void test_a_request_outlives_a_process(void)
{
    static const uint64_t die[] = { RAW_ECHO, 3, (uint64_t)TRICK << 32 | DIE_AFTER_NEXT_CALL };
    const size_t words = WINDOW / 2 / 8;
    struct udfvm_reply reply;
    struct udfvm_error error;
    udfvm_pool *pool = make_pool(NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    udfvm_vm_call(vm, UDFVM_REQUEST_ROW, die, sizeof die, NULL, &reply, NULL);
    udfvm_vm_restore(vm, NULL);
    CALL(vm, NULL, RAW_FILL, UDFVM_OUTPUT_BASE + 4096, UDFVM_OUTPUT_BASE + 8192, 0x5ec7e7);
    uint64_t *input = udfvm_vm_input(vm, words * 8, NULL);
    for (size_t i = 0; input && i < words; i++)
        input[i] = i < 3 ? (const uint64_t[]){ RAW_FIND, UDFVM_INPUT_PAYLOAD + 32,
                                               UDFVM_INPUT_PAYLOAD + WINDOW / 2 }[i]
                         : 77;
    const int code = input ? udfvm_vm_call(vm, UDFVM_REQUEST_ROW, input, words * 8, NULL, &reply,
                                           &error)
                           : UDFVM_E_INPUT;
    check(code == UDFVM_OK && ((const uint64_t *)reply.data)[0] == words - 4, "the request: %s",
          code ? error.message : "another");
    check_number(input == udfvm_vm_input(vm, words * 8, NULL), "it moved", 0);
    udfvm_vm_restore(vm, NULL);
    const struct outcome got = CALL(vm, NULL, RAW_FIND, UDFVM_OUTPUT_BASE,
                                    UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT, 0x5ec7e7);
    check_number(got.code == UDFVM_OK && got.words[0] == 0, "what the old process left", got.code);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
}

static int answered;

static int64_t answer(void *context, const char *name, const void *arguments, uint64_t length,
                      void *reply, uint64_t capacity, char *failure)
{
    answered++;
    (void)context, (void)name, (void)arguments, (void)failure;
    memset(reply, 1, length < capacity ? length : capacity);
    return (int64_t)length;
}

/* Calls of two functions, among them one that asks for a host function and one that streams: how
 * many failed, all of them by the death of the process. */
static int use(udfvm_pool *pool, udfvm_image *other, int64_t number)
{
    static const struct udfvm_host_functions functions = { .call = answer, .max_calls = 1 };
    const struct udfvm_limits limits = { .timeout_ns = 20 * SECOND, .host_functions = &functions };
    int failed = 0;
    for (int i = 0; i < 4; i++) {
        const struct outcome got = i == 1
                                       ? POOL_CALL(pool, image, &limits, RAW_HYPERCALL,
                                                   UDFVM_HYPERCALL_HOST_CALL, UDFVM_PROGRAM_BASE, 0,
                                                   UDFVM_OUTPUT_BASE, 8, UDFVM_OUTPUT_BASE + 8, 8)
                                       : POOL_CALL(pool, i == 2 ? other : image, NULL, RAW_ECHO, 5,
                                                   3, 0, 4);
        failed += got.code != UDFVM_OK;
        check(got.code == UDFVM_OK || got.code == UDFVM_E_CRASH, "death %lld, call %d: %s",
              (long long)number, i, got.error.message);
    }
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    for (uint64_t i = 0; vm && i < 12; i++) {
        const uint64_t request[] = { RAW_STREAM, 4, RAW_ANSWER, i };
        struct udfvm_reply reply;
        struct udfvm_error error;
        const int code = udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, NULL,
                                              &reply, &error);
        check(code == UDFVM_OK || code == UDFVM_E_CRASH, "death %lld, row %d: %s",
              (long long)number, (int)i, error.message);
        failed += code != UDFVM_OK;
        if (code != UDFVM_OK)
            break;
    }
    udfvm_pool_give(pool, vm);
    return failed;
}

/* Whenever a process dies, that ends one call at most, and none that begins behind it. */
static void test_a_death_at_any_time_ends_one_call(void)
{
    udfvm_image *seven = layer(7);
    for (int behind = 0; behind < 2; behind++)
        for (uint64_t number = 0; number < 24; number++) {
            const uint64_t trick = (behind ? DIE_BEHIND_ANSWER : DIE_BEFORE_ANSWER) + number;
            udfvm_pool *pool = make_pool(NULL);
            const struct outcome got = POOL_CALL(pool, image, NULL, RAW_ECHO, 3,
                                                 (uint64_t)TRICK << 32 | trick);
            int failed = (got.code != UDFVM_OK) + use(pool, seven, (int64_t)trick);
            const struct outcome after = POOL_CALL(pool, image, NULL, RAW_ECHO, 5, 3, 0, 4);
            failed += after.code != UDFVM_OK;
            /* The first answers are in turn to calls and to what puts the VM back. */
            const bool between = number < 6 && (behind || number % 2 == 1);
            check(failed <= !between, "death %d: %d calls failed", (int)trick, failed);
            udfvm_pool_close(pool);
        }
    udfvm_image_close(seven);
}

/* Its host function has done what it does. */
static void test_a_call_that_asked_is_not_made_again(void)
{
    static const struct udfvm_host_functions functions = { .call = answer, .max_calls = 9 };
    const struct udfvm_limits limits = { .timeout_ns = 20 * SECOND, .host_functions = &functions };
    udfvm_pool *pool = make_pool(NULL);
    answered = 0;
    const struct outcome got = POOL_CALL(pool, image, &limits, RAW_ECHO, 3,
                                         (uint64_t)TRICK << 32 | ASK_AND_DIE);
    check(got.code == UDFVM_E_CRASH, "it ended: %d, %s", got.code, got.error.message);
    check_number(answered == 1, "calls of the host function", answered);
    udfvm_pool_close(pool);
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
        { "a request outlives a process", test_a_request_outlives_a_process },
        { "a death at any time ends one call", test_a_death_at_any_time_ends_one_call },
        { "a call that asked is not made again", test_a_call_that_asked_is_not_made_again },
        { "an interrupt ends a call that always asks",
          test_an_interrupt_ends_a_call_that_always_asks },
        { "an interrupt ends a stream that always asks",
          test_an_interrupt_ends_a_stream_that_always_asks },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
