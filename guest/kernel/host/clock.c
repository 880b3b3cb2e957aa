/* Clocks. With every call the host passes the time at a count of the time stamp counter, and its
 * rate. */
#include "host/clock.h"
#include "arch/processor.h"
#include "host/call.h"

static HOT_DATA struct {
    uint64_t skipped; /* a fixed clock advances only by sleeping */
    uint64_t latest;  /* the monotonic clock never goes back within a call */
    uint64_t sequence, base, start,
        idle; /* processor time: of earlier calls; where this one began; waited since */
    uint64_t processor;
} clocks;

bool clock_is_fixed(void)
{
    return call_page()->flags & UDFVM_CALL_DETERMINISTIC;
}

/* value * factor / divisor, the product in 128 bits; the quotient must fit. */
static uint64_t scale(uint64_t value, uint64_t factor, uint64_t divisor)
{
    uint64_t low, high, quotient;
    __asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(value), "r"(factor) : "cc");
    if (high >= divisor)
        return UINT64_MAX;
    __asm__("divq %3" : "=a"(quotient), "+d"(high) : "a"(low), "r"(divisor) : "cc");
    return quotient;
}

static uint64_t since_call_start(void)
{
    const struct udfvm_call *call = call_page();
    if (clock_is_fixed())
        return clocks.skipped;
    const uint64_t now = time_stamp();
    return now <= call->tsc_start ? 0 : scale(now - call->tsc_start, 1000000, call->tsc_khz);
}

uint64_t monotonic_ns(void)
{
    const uint64_t now = (uint64_t)call_page()->monotonic_ns + since_call_start();
    if (now < clocks.latest)
        return clocks.latest;
    clocks.latest = now;
    return now;
}

int64_t realtime_ns(void)
{
    return call_page()->realtime_ns + (int64_t)since_call_start();
}

uint64_t microseconds_to_stamps(uint64_t microseconds)
{
    return microseconds * call_page()->tsc_khz / 1000;
}

/* With a fixed clock processor time stands still, too, and excludes the time of building the
 * image. */
uint64_t process_ns(void)
{
    if (clock_is_fixed())
        return 0;
    const uint64_t now = monotonic_ns();
    if (clocks.sequence != call_sequence()) {
        clocks.sequence = call_sequence();
        clocks.base = clocks.processor;
        clocks.start = minimum((uint64_t)call_page()->monotonic_ns, now);
        clocks.idle = 0;
    }
    clocks.processor = maximum(clocks.processor, clocks.base + (now - clocks.start) - clocks.idle);
    return clocks.processor;
}

void clock_wait_until(uint64_t monotonic_deadline)
{
    const uint64_t start = monotonic_ns();
    process_ns(); /* what was not idle counts */
    if (monotonic_deadline <= start)
        return;
    if (clock_is_fixed())
        clocks.skipped += monotonic_deadline - start;
    else
        while (monotonic_ns() < monotonic_deadline)
            __builtin_ia32_pause();
    clocks.idle += monotonic_ns() - start;
}

/* The next call has its own clock, perhaps that of another machine. */
void clock_prepare_seal(void)
{
    process_ns();
    clocks.latest = clocks.skipped = clocks.sequence = 0;
}

void clock_begin_row(void)
{
    clocks.latest = clocks.skipped = 0;
}
