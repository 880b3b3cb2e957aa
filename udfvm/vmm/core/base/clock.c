/* Clocks. */
#include "base/clock.h"

#include <errno.h>
#include <time.h>
#include <x86intrin.h>

#define SECOND_NS 1000000000u

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

uint64_t udfvm_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t udfvm_realtime_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t udfvm_ticks(void)
{
    return __rdtsc();
}

void udfvm_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool udfvm_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t end_ns)
{
    const struct timespec end = { .tv_sec = (time_t)(end_ns / SECOND_NS),
                                  .tv_nsec = (long)(end_ns % SECOND_NS) };
    return pthread_cond_timedwait(condition, lock, &end) != ETIMEDOUT;
}
