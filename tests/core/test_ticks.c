/* A guest that asks to be interrupted, as often as it can and in any state: it is led to its kernel
 * and nowhere else, seldom enough, and the next call is right. Usage: test_ticks raw_guest.bin
 * [--quick]. Prints what holds and what failed. */
#include "raw_image.h"

#include "base/clock.h"
#include "call/tick.h"

#define ALWAYS      UINT64_MAX /* turns: until the deadline */
#define SOME_TURNS  3000000u   /* longer than the time to some looks */
#define MILLISECOND 1000000ull

static const struct udfvm_limits usual = { .timeout_ns = 60000 * MILLISECOND },
                                 fixed = { .timeout_ns = 60000 * MILLISECOND, .deterministic = 1 },
                                 soon = { .timeout_ns = 30 * MILLISECOND };

static uint64_t exits(const udfvm_vm *vm)
{
    struct udfvm_vm_statistics statistics;
    udfvm_vm_statistics(vm, &statistics);
    return statistics.exits;
}

static void check_next(udfvm_vm *vm, const char *what)
{
    const struct outcome got = CALL(vm, NULL, RAW_COUNT);
    check(got.code == UDFVM_OK && got.words[0] == 1, "the call after %s: %s", what,
          got.error.message);
    const struct outcome word = CALL(vm, NULL, RAW_READ, UDFVM_TIMER);
    check(word.code == UDFVM_OK && word.words[1] == 0, "the timer after %s", what);
}

static void test_where_it_is_led(void)
{
    udfvm_vm *vm = open_vm(image);
    for (uint64_t kind = 0; kind < RAW_TICKS_KINDS; kind++) {
        const struct outcome got = CALL(vm, &usual, RAW_TICKS, kind, 1, 0, 5, ALWAYS);
        const bool faults = kind == RAW_TICK_NO_STACK;
        check(got.code == UDFVM_OK && got.words[0] == (faults ? RAW_FAULTED : 5),
              "state %llu: %d, %#llx: %s", (unsigned long long)kind, got.code,
              (unsigned long long)got.words[0], got.error.message);
        check_next(vm, "interruptions");
    }
    udfvm_vm_close(vm);
}

/* At most one for each look, however short the guest wants them. */
static void test_how_often(void)
{
    static const struct {
        uint64_t first, step;
    } times[] = { { 1, 0 }, { 1, 1ull << 63 }, { UINT64_MAX, 1 } };
    udfvm_vm *vm = open_vm(image);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const uint64_t before = exits(vm), begin = udfvm_monotonic_ns();
        const struct outcome got = CALL(vm, &usual, RAW_TICKS, 0, times[i].first, times[i].step,
                                        quick ? 3 : 20, ALWAYS);
        const uint64_t took = udfvm_monotonic_ns() - begin, made = exits(vm) - before;
        check(got.code == UDFVM_OK && made <= 2 + took / TICK_RETRY_NS,
              "times %zu: %llu exits in %llu ns: %s", i, (unsigned long long)made,
              (unsigned long long)took, got.error.message);
        check_next(vm, "many interruptions");
    }
    check(CALL(vm, &soon, RAW_TICKS, 0, 1, 0, ALWAYS, ALWAYS).code == UDFVM_E_TIMEOUT,
          "an endless call that asks for interruptions");
    check_next(vm, "a timeout");
    udfvm_vm_close(vm);
}

/* A call that asks for none has one exit, and so has a deterministic one. */
static void test_when_it_is_not(void)
{
    static const struct {
        const struct udfvm_limits *limits;
        uint64_t due;
    } calls[] = { { &usual, 0 }, { &usual, UINT64_MAX }, { &fixed, 1 } };
    udfvm_vm *vm = open_vm(image);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const uint64_t before = exits(vm);
        const struct outcome got = CALL(vm, calls[i].limits, RAW_TICKS, 0, calls[i].due, 0, ALWAYS,
                                        quick ? SOME_TURNS / 10 : SOME_TURNS);
        check(got.code == UDFVM_OK && got.words[0] == 0 && exits(vm) - before == 1,
              "call %zu: %llu interruptions, %llu exits: %s", i, (unsigned long long)got.words[0],
              (unsigned long long)(exits(vm) - before), got.error.message);
    }
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "where an interruption leads", test_where_it_is_led },
        { "how often", test_how_often },
        { "calls that are not interrupted", test_when_it_is_not },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
