/* Clocks: the host says at every call what time it was at which count of the time stamp counter,
 * and how fast that counts. */
#include "sched/calls.h"
#include "arch/clock.h"
#include "sched/thread.h"

static HOT_DATA struct {
    uint64_t skipped; /* a fixed clock moves by what was slept, no more */
    uint64_t latest;  /* the monotonic clock never goes back within a call */
    uint64_t sequence, base, start,
        idle; /* processor time: of earlier calls; where this one began; waited since */
    uint64_t processor;
} clocks;

static const struct udfvm_call *call_page(void)
{
    return (const struct udfvm_call *)UDFVM_INPUT_BASE;
}

uint64_t call_sequence(void)
{
    return ((const volatile struct udfvm_call *)call_page())->sequence;
}

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

/* A fixed clock shows no processor time, not even what building the image took. */
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

/* The next call brings its own clock, perhaps that of another machine. */
void clock_prepare_seal(void)
{
    process_ns();
    clocks.latest = clocks.skipped = clocks.sequence = 0;
}

void clock_begin_row(void)
{
    clocks.latest = clocks.skipped = 0;
}

/* ---- System calls ---- */

#define CLOCK_PER_THREAD 4 /* in the clock ids of pthread_getcpuclockid(3): ~id << 3 | flags */

static bool clock_read(int clock, uint64_t *nanoseconds)
{
    const struct thread *thread = current;
    if (clock < 0 && clock & CLOCK_PER_THREAD)
        thread = thread_find(~(clock >> 3)) ?: current;
    switch (clock < 0
                ? (clock & CLOCK_PER_THREAD ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID)
                : clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *nanoseconds = (uint64_t)realtime_ns();
        return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *nanoseconds = monotonic_ns();
        return true;
    case CLOCK_PROCESS_CPUTIME_ID:
        *nanoseconds = process_ns();
        return true;
    case CLOCK_THREAD_CPUTIME_ID:
        *nanoseconds = thread_processor_ns(thread);
        return true;
    default:
        return false;
    }
}

int64_t clock_gettime(int clock, struct timespec *time)
{
    uint64_t now;
    if (!clock_read(clock, &now))
        return -EINVAL;
    *time = (struct timespec){ .tv_sec = (long)(now / NANOSECONDS),
                               .tv_nsec = (long)(now % NANOSECONDS) };
    return 0;
}

SYSCALL(sys_clock_gettime)
{
    return user_range_ok(b, sizeof(struct timespec)) ? clock_gettime((int)a, (struct timespec *)b)
                                                     : -EFAULT;
}

int64_t clock_getres(int clock, struct timespec *resolution)
{
    uint64_t now;
    if (!clock_read(clock, &now))
        return -EINVAL;
    if (resolution)
        *resolution = (struct timespec){ .tv_nsec = 1 };
    return 0;
}

SYSCALL(sys_clock_getres)
{
    return !b || user_range_ok(b, sizeof(struct timespec))
               ? clock_getres((int)a, (struct timespec *)b)
               : -EFAULT;
}

SYSCALL(sys_clock_settime)
{
    return -EPERM;
}

int64_t clock_gettimeofday(struct timeval *time, struct timezone *zone)
{
    const uint64_t now = (uint64_t)realtime_ns();
    if (time)
        *time = (struct timeval){ .tv_sec = (long)(now / NANOSECONDS),
                                  .tv_usec = (long)(now % NANOSECONDS / 1000) };
    if (zone)
        *zone = (struct timezone){ .tz_minuteswest = 0 };
    return 0;
}

SYSCALL(sys_gettimeofday)
{
    if ((a && !user_range_ok(a, sizeof(struct timeval))) ||
        (b && !user_range_ok(b, sizeof(struct timezone))))
        return -EFAULT;
    return clock_gettimeofday((struct timeval *)a, (struct timezone *)b);
}

int64_t clock_seconds(int64_t *seconds)
{
    const int64_t now = realtime_ns() / (int64_t)NANOSECONDS;
    if (seconds)
        *seconds = now;
    return now;
}

SYSCALL(sys_time)
{
    return !a || user_range_ok(a, sizeof(int64_t)) ? clock_seconds((int64_t *)a) : -EFAULT;
}

static int64_t read_timespec(uint64_t address, uint64_t *nanoseconds)
{
    if (!user_range_ok(address, sizeof(struct timespec)))
        return -EFAULT;
    const struct timespec time = *(const struct timespec *)address;
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= (long)NANOSECONDS)
        return -EINVAL;
    const uint64_t seconds = minimum((uint64_t)time.tv_sec, INT64_MAX / NANOSECONDS - 1);
    *nanoseconds = seconds * NANOSECONDS + (uint64_t)time.tv_nsec;
    return 0;
}

int64_t clock_deadline(int clock, bool absolute, uint64_t timespec, uint64_t *deadline)
{
    uint64_t time, now;
    int64_t error = read_timespec(timespec, &time);
    if (error)
        return error;
    if (!clock_read(clock, &now))
        return -EINVAL;
    if (absolute)
        time = time > now ? time - now : 0;
    *deadline = monotonic_ns() + time;
    return 0;
}

static bool never(void *argument)
{
    (void)argument;
    return false;
}

static int64_t sleep(int clock, bool absolute, uint64_t request, uint64_t remaining)
{
    uint64_t deadline;
    int64_t error = clock_deadline(clock, absolute, request, &deadline);
    if (error)
        return error;
    if (remaining && !absolute && !user_range_ok(remaining, sizeof(struct timespec)))
        return -EFAULT;
    block_until(never, NULL, deadline);
    const uint64_t now = monotonic_ns();
    if (now >= deadline || !interrupted())
        return 0;
    if (remaining && !absolute)
        *(struct timespec *)remaining = (struct timespec){
            .tv_sec = (long)((deadline - now) / NANOSECONDS),
            .tv_nsec = (long)((deadline - now) % NANOSECONDS)
        };
    return -EINTR;
}

SYSCALL(sys_nanosleep)
{
    return sleep(CLOCK_MONOTONIC, false, a, b);
}

SYSCALL(sys_clock_nanosleep)
{
    return sleep((int)a, (int)b & TIMER_ABSTIME, c, d);
}
