#include "sched/timer.h"
#include "host/clock.h"
#include "host/interrupt.h"

#define SOON_NS 20000u /* an exit takes longer */

static HOT_DATA struct timer *armed;

static uint64_t clock_now(const struct timer *timer)
{
    switch (timer->clock) {
    case TIMER_PROCESS:
        return process_ns();
    case TIMER_THREAD: {
        const struct thread *thread = thread_find(timer->thread);
        return thread ? thread_processor_ns(thread) : 0;
    }
    default:
        return monotonic_ns();
    }
}

void timer_disarm(struct timer *timer)
{
    timer->expiry_ns = 0;
    for (struct timer **at = &armed; *at; at = &(*at)->next)
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    if (!armed) /* who has threads asks again, when the kernel is left */
        interrupt_hold();
}

void timer_arm(struct timer *timer, uint64_t nanoseconds)
{
    timer_disarm(timer);
    if (nanoseconds == 0)
        return;
    timer->interval_ns = minimum(timer->interval_ns, MAX_TIMER_NS);
    timer->expiry_ns = clock_now(timer) + minimum(nanoseconds, MAX_TIMER_NS);
    timer->next = armed;
    armed = timer;
}

uint64_t timer_left(const struct timer *timer)
{
    const uint64_t now = clock_now(timer);
    if (!timer->expiry_ns)
        return 0;
    return timer->expiry_ns > now ? timer->expiry_ns - now : 1;
}

void timer_wait_if_soon(const struct timer *timer)
{
    if (timer->clock == TIMER_WALL && timer->expiry_ns && !clock_is_fixed() &&
        timer_left(timer) <= SOON_NS)
        clock_wait_until(timer->expiry_ns);
}

bool timers_armed(void)
{
    return armed != NULL;
}

/* One whose time has come, with how often it has; NULL: there is none. */
static struct timer *take_expired(uint64_t *times)
{
    for (struct timer *timer = armed; timer; timer = timer->next) {
        const uint64_t now = clock_now(timer);
        if (now < timer->expiry_ns)
            continue;
        *times = 1;
        if (timer->interval_ns) {
            *times += (now - timer->expiry_ns) / timer->interval_ns;
            timer->expiry_ns += *times * timer->interval_ns;
        } else {
            timer_disarm(timer);
        }
        return timer;
    }
    return NULL;
}

void timers_run(void)
{
    uint64_t times;
    struct timer *timer;
    while ((timer = take_expired(&times)))
        timer->expired(timer, times);
}

uint64_t timers_due(bool computes)
{
    uint64_t nearest = NO_DEADLINE;
    for (const struct timer *timer = armed; timer; timer = timer->next) {
        const bool runs = timer->clock == TIMER_WALL ||
                          (computes && !(timer->clock == TIMER_THREAD &&
                                         thread_find(timer->thread) != current));
        if (runs && !(clock_is_fixed() && timer->clock != TIMER_WALL))
            nearest = minimum(nearest, monotonic_ns() + timer_left(timer));
    }
    return nearest;
}

/* The next call has its own clocks. */
void timers_prepare_seal(void)
{
    for (struct timer *timer = armed; timer; timer = timer->next)
        timer->expiry_ns = timer_left(timer);
}

void timers_begin_call(void)
{
    for (struct timer *timer = armed; timer; timer = timer->next)
        timer->expiry_ns += clock_now(timer);
}
