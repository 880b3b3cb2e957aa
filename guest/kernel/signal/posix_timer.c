/* timer_create(2): timers that send signals.
 *
 * A timer has at most one signal pending. What expires meanwhile is its overrun. Timers
 * that send the same signal take turns: one waits until that of another is taken. */
#include "host/call.h"
#include "host/clock.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "signal/signal.h"

#define MAX_TIMERS  1024
#define MAX_OVERRUN INT32_MAX

struct posix_timer {
    struct timer timer; /* first */
    struct posix_timer *next;
    int32_t id;
    int notify, number; /* SIGEV_x, and the signal */
    int32_t thread;     /* of SIGEV_THREAD_ID */
    int clock;          /* as it was created with */
    bool sent;          /* its signal is pending */
    uint64_t count;     /* of expirations that no signal has told of */
    uint64_t value;     /* sigev_value */
    int32_t overrun;    /* of the signal that was taken last */
};

static struct posix_timer *timers;
static int32_t next_id, timer_count;

static struct posix_timer *find(uint64_t id)
{
    for (struct posix_timer *timer = timers; timer; timer = timer->next)
        if (timer->id == (int32_t)id)
            return timer;
    return NULL;
}

/* Sends the signal, unless it is sent, or another of its number is. */
static void tell(struct posix_timer *timer)
{
    struct thread *thread = NULL;
    if (timer->notify == SIGEV_NONE || timer->sent || timer->count == 0)
        return;
    if (timer->notify == SIGEV_THREAD_ID) {
        thread = thread_find(timer->thread);
        if (!thread || thread->dead)
            return;
    }
    if ((thread ? thread->pending.set : process_signals) & signal_bit(timer->number))
        return;
    timer->sent = signal_send(
        thread, timer->number,
        (struct pending_signal){ .code = SI_TIMER, .sender = timer->id, .value = timer->value });
    if (!timer->sent) /* it is ignored */
        timer->count = 0;
}

static void expired(struct timer *timer, uint64_t times)
{
    struct posix_timer *own = (struct posix_timer *)timer;
    own->count = minimum(own->count + times, (uint64_t)MAX_OVERRUN + 1);
    tell(own);
}

int32_t posix_timer_taken(int32_t id)
{
    struct posix_timer *taken = find((uint64_t)id);
    if (taken) {
        taken->overrun = (int32_t)(taken->count - 1);
        taken->count = 0;
        taken->sent = false;
    }
    for (struct posix_timer *timer = timers; timer; timer = timer->next)
        tell(timer);
    return taken ? taken->overrun : 0;
}

/* ---- System calls ---- */

/* The clock that a timer counts by; false: it cannot have one by that. */
static bool take_clock(int id, struct timer *timer)
{
    const int kind = clock_kind(id);
    timer->thread = current->id;
    switch (kind) {
    case CLOCK_REALTIME:
    case CLOCK_TAI:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
        timer->clock = TIMER_WALL;
        return true;
    case CLOCK_PROCESS_CPUTIME_ID:
        timer->clock = TIMER_PROCESS;
        return true;
    case CLOCK_THREAD_CPUTIME_ID:
        timer->clock = TIMER_THREAD;
        if (id < 0 && thread_find(~(id >> 3)))
            timer->thread = thread_find(~(id >> 3))->id;
        return true;
    default:
        return false;
    }
}

static bool take_event(const struct sigevent *event, struct posix_timer *timer)
{
    timer->notify = event->sigev_notify;
    timer->number = event->sigev_signo;
    timer->value = (uint64_t)event->sigev_value.sival_ptr;
    timer->thread = event->_sigev_un._tid;
    switch (timer->notify) {
    case SIGEV_NONE:
        return true;
    case SIGEV_THREAD_ID:
        if (!thread_find(timer->thread))
            return false;
        /* fallthrough */
    case SIGEV_SIGNAL:
    case SIGEV_THREAD:
        return timer->number >= 1 && timer->number <= 64;
    default:
        return false;
    }
}

SYSTEM_CALL(timer_create)
{
    struct posix_timer made = { .timer.expired = expired, .clock = (int)a };
    struct sigevent event = { .sigev_signo = SIGALRM, .sigev_notify = SIGEV_SIGNAL };
    event.sigev_value.sival_int = next_id;
    if (!take_clock((int)a, &made.timer))
        return clock_getres((int)a, NULL) == 0 ? -EOPNOTSUPP : -EINVAL;
    if ((b && !user_range_ok(b, sizeof event)) || !user_range_ok(c, sizeof(int32_t)))
        return -EFAULT;
    if (b)
        memcpy(&event, (const void *)b, sizeof event);
    if (!take_event(&event, &made))
        return -EINVAL;
    struct posix_timer *timer = timer_count < MAX_TIMERS ? kernel_alloc(sizeof *timer) : NULL;
    if (!timer)
        return -EAGAIN;
    *timer = made;
    timer->id = next_id++;
    timer->next = timers;
    timers = timer;
    timer_count++;
    *(int32_t *)c = timer->id;
    return 0;
}

SYSTEM_CALL(timer_settime)
{
    struct posix_timer *timer = find(a);
    struct timer_setting old, wanted;
    if (!timer)
        return -EINVAL;
    if (!user_range_ok(c, sizeof(struct itimerspec)) ||
        (d && !user_range_ok(d, sizeof(struct itimerspec))))
        return -EFAULT;
    const int64_t error = timer_setting_read(c, timer->clock, b & TIMER_ABSTIME, &wanted);
    if (error)
        return error;
    old = (struct timer_setting){ timer_left(&timer->timer), timer->timer.interval_ns };
    timer->timer.interval_ns = wanted.interval_ns;
    timer->count = timer->sent; /* what was not told is forgotten */
    timer_arm(&timer->timer, wanted.left_ns);
    if (timer->notify != SIGEV_NONE)
        timer_wait_if_soon(&timer->timer);
    if (d)
        timer_setting_write(d, &old);
    return 0;
}

SYSTEM_CALL(timer_gettime)
{
    const struct posix_timer *timer = find(a);
    if (!timer)
        return -EINVAL;
    if (!user_range_ok(b, sizeof(struct itimerspec)))
        return -EFAULT;
    timers_run();
    timer_setting_write(
        b, &(struct timer_setting){ timer_left(&timer->timer), timer->timer.interval_ns });
    return 0;
}

SYSTEM_CALL(timer_getoverrun)
{
    const struct posix_timer *timer = find(a);
    return timer ? timer->overrun : -EINVAL;
}

static void forget(struct posix_timer *timer)
{
    struct posix_timer **at = &timers;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    timer_count--;
    if (timer->timer.expiry_ns)
        timer_disarm(&timer->timer);
    kernel_free(timer);
}

SYSTEM_CALL(timer_delete)
{
    struct posix_timer *timer = find(a);
    if (!timer)
        return -EINVAL;
    forget(timer);
    return 0;
}

void posix_timers_forget(void)
{
    while (timers)
        forget(timers);
}
