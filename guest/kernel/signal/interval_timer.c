/* The three interval timers of a process: alarm(2), setitimer(2). */
#include "lib/string.h"
#include "mm/user.h"
#include "sched/timer.h"
#include "signal/signal.h"

#include <linux/time.h>

#define MICROSECOND 1000u

static void expired(struct timer *timer, uint64_t times);

static struct timer timers[] = {
    [ITIMER_REAL] = { .expired = expired, .clock = TIMER_WALL },
    [ITIMER_VIRTUAL] = { .expired = expired, .clock = TIMER_PROCESS },
    [ITIMER_PROF] = { .expired = expired, .clock = TIMER_PROCESS },
};
static const int signals[] = { SIGALRM, SIGVTALRM, SIGPROF };

/* Those that were not taken yet are one signal. */
static void expired(struct timer *timer, uint64_t times)
{
    signal_send(NULL, signals[timer - timers], (struct pending_signal){ .code = SI_KERNEL });
}

static struct itimerval value_of(const struct timer *timer)
{
    timers_run();
    const uint64_t left = (timer_left(timer) + MICROSECOND - 1) / MICROSECOND,
                   interval = timer->interval_ns / MICROSECOND;
    return (struct itimerval){
        .it_interval = { (long)(interval / 1000000), (long)(interval % 1000000) },
        .it_value = { (long)(left / 1000000), (long)(left % 1000000) },
    };
}

static bool to_nanoseconds(const struct timeval *time, uint64_t *nanoseconds)
{
    if (time->tv_sec < 0 || time->tv_usec < 0 || time->tv_usec >= 1000000)
        return false;
    *nanoseconds = minimum((uint64_t)time->tv_sec, MAX_TIMER_NS / NANOSECONDS) * NANOSECONDS +
                   (uint64_t)time->tv_usec * MICROSECOND;
    return true;
}

SYSTEM_CALL(getitimer)
{
    if (a > ITIMER_PROF)
        return -EINVAL;
    if (!user_range_ok(b, sizeof(struct itimerval)))
        return -EFAULT;
    *(struct itimerval *)b = value_of(&timers[a]);
    return 0;
}

SYSTEM_CALL(setitimer)
{
    const size_t size = sizeof(struct itimerval);
    struct itimerval wanted = { .it_value = { 0 } };
    uint64_t value, interval;
    if ((b && !user_range_ok(b, size)) || (c && !user_range_ok(c, size)))
        return -EFAULT;
    if (b) /* like in Linux, NULL disarms */
        memcpy(&wanted, (const void *)b, size);
    if (a > ITIMER_PROF || !to_nanoseconds(&wanted.it_value, &value) ||
        !to_nanoseconds(&wanted.it_interval, &interval))
        return -EINVAL;
    const struct itimerval old = value_of(&timers[a]);
    timers[a].interval_ns = interval;
    timer_arm(&timers[a], value);
    timer_wait_if_soon(&timers[a]);
    if (c)
        memcpy((void *)c, &old, size);
    return 0;
}

/* Seconds are rounded, but never to none: Linux's alarm_setitimer(). */
SYSTEM_CALL(alarm)
{
    struct timer *timer = &timers[ITIMER_REAL];
    timers_run();
    const uint64_t left = timer_left(timer);
    timer->interval_ns = 0;
    timer_arm(timer, (uint64_t)(uint32_t)a * NANOSECONDS);
    return left ? (int64_t)maximum((left + NANOSECONDS / 2) / NANOSECONDS, 1) : 0;
}

void interval_timers_forget(void)
{
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
        if (timers[i].expiry_ns)
            timer_disarm(&timers[i]);
}
