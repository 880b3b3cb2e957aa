/* Deadlines as the thread of a call sees them; watchdog.c keeps them. */
#include "call/deadline.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "call/watchdog.h"
#include "hypervisor.h"

/* The innermost call of this thread that has a deadline. */
static _Thread_local struct deadline *innermost;
static _Thread_local struct {
    pid_t number;
    unsigned generation;
} own_thread;

static pid_t this_thread(void)
{
    const unsigned generation = udfvm_fork_generation();
    if (own_thread.generation != generation) {
        own_thread.number = (pid_t)syscall(SYS_gettid);
        own_thread.generation = generation;
    }
    return own_thread.number;
}

/* From now on the watchdog sees to it. */
static int begin(struct deadline *deadline, uint64_t now, struct udfvm_error *error)
{
    deadline->look_ns = deadline->looks ? now + UDFVM_WATCH_NS : UDFVM_NEVER;
    const uint64_t next = udfvm_deadline_next(deadline);
    atomic_store_explicit(&deadline->next_ns, next, memory_order_relaxed);
    atomic_store(&deadline->state, DEADLINE_RUNS);
    return udfvm_watchdog_wakes_at() > next ? udfvm_watchdog_wake(next, error) : UDFVM_OK;
}

/* From now on it does not; whether it kicked. */
static bool end(struct deadline *deadline)
{
    for (;;) {
        unsigned state = atomic_load(&deadline->state);
        if (state == DEADLINE_HELD)
            sched_yield(); /* the watchdog is at it */
        else if (atomic_compare_exchange_weak(&deadline->state, &state, DEADLINE_NONE))
            return state == DEADLINE_KICKED;
    }
}

/* The watchdog leaves it alone, and does not end, until it begins again. */
static void hold(struct deadline *deadline)
{
    unsigned state = atomic_load(&deadline->state);
    while (state == DEADLINE_HELD ||
           !atomic_compare_exchange_weak(&deadline->state, &state, DEADLINE_HELD)) {
        sched_yield(); /* the watchdog is at it */
        state = atomic_load(&deadline->state);
    }
}

static void set_end(struct deadline *deadline, struct deadline *outer, uint64_t timeout_ns,
                    uint64_t now)
{
    deadline->end_ns = timeout_ns == 0 || timeout_ns > UDFVM_NEVER - now ? UDFVM_NEVER
                                                                         : now + timeout_ns;
    deadline->of_outer = outer && outer->end_ns < deadline->end_ns;
    if (deadline->of_outer)
        deadline->end_ns = outer->end_ns;
    deadline->outer = outer;
}

void udfvm_deadline_enter(struct deadline *deadline, uint64_t timeout_ns)
{
    set_end(deadline, innermost, timeout_ns, udfvm_monotonic_ns());
    innermost = deadline;
}

void udfvm_deadline_leave(struct deadline *deadline)
{
    if (innermost == deadline)
        innermost = deadline->outer;
}

int udfvm_deadline_start(struct deadline *deadline, struct hypervisor *hypervisor,
                         uint64_t timeout_ns, struct udfvm_error *error)
{
    struct deadline *outer = innermost;
    deadline->hypervisor = hypervisor;
    deadline->of_outer = false;
    atomic_store_explicit(&deadline->ticked, false, memory_order_relaxed);
    atomic_store_explicit(&deadline->expired, false, memory_order_relaxed);
    atomic_store_explicit(&deadline->due, false, memory_order_relaxed);
    udfvm_hypervisor_allow(hypervisor);
    if (timeout_ns == 0 && !deadline->looks && !deadline->ticker.timer && !outer)
        return UDFVM_OK;
    const uint64_t now = udfvm_monotonic_ns();
    set_end(deadline, outer, timeout_ns, now);
    atomic_store_explicit(&deadline->thread, this_thread(), memory_order_relaxed);
    udfvm_ticker_start(&deadline->ticker, deadline->ticker.timer, now);
    const int code = begin(deadline, now, error);
    if (code == UDFVM_OK)
        innermost = deadline;
    else
        end(deadline);
    return code;
}

bool udfvm_deadline_only_ticked(struct deadline *deadline)
{
    return atomic_exchange(&deadline->ticked, false) && !atomic_load(&deadline->due) &&
           !atomic_load(&deadline->expired);
}

static void go_on(struct deadline *deadline)
{
    if (begin(deadline, udfvm_monotonic_ns(), NULL) != UDFVM_OK) {
        atomic_store(&deadline->expired, true); /* no further look, and no deadline, would come */
        udfvm_hypervisor_stop(deadline->hypervisor);
    }
}

void udfvm_deadline_looked(struct deadline *deadline)
{
    if (deadline->generation != udfvm_fork_generation())
        return;
    hold(deadline);
    atomic_store(&deadline->due, false);
    udfvm_hypervisor_allow(deadline->hypervisor);
    go_on(deadline);
}

void udfvm_deadline_extend(struct deadline *deadline, uint64_t end_ns)
{
    const struct deadline *outer = deadline->outer;
    const bool to_outer = outer && outer->end_ns < end_ns;
    const uint64_t end = to_outer ? outer->end_ns : end_ns;
    const bool watched = atomic_load(&deadline->state) != DEADLINE_NONE;
    if (end <= deadline->end_ns || deadline->generation != udfvm_fork_generation())
        return;
    if (watched)
        hold(deadline);
    deadline->end_ns = end;
    deadline->of_outer = to_outer;
    if (watched)
        go_on(deadline);
}

void udfvm_deadline_stop(struct deadline *deadline)
{
    if (innermost == deadline)
        innermost = deadline->outer;
    if (deadline->generation != udfvm_fork_generation() ||
        atomic_load(&deadline->state) == DEADLINE_NONE)
        return;
    if (end(deadline)) { /* whoever runs the vCPU next is not this call */
        atomic_store(&deadline->due, false);
        udfvm_hypervisor_allow(deadline->hypervisor);
    }
}

bool udfvm_deadline_passed(const struct deadline *deadline)
{
    return (deadline == innermost || atomic_load(&deadline->state) != DEADLINE_NONE) &&
           udfvm_monotonic_ns() >= deadline->end_ns;
}

uint64_t udfvm_deadline_of_thread(void)
{
    return innermost ? innermost->end_ns : UDFVM_NEVER;
}

void udfvm_deadline_forget(void)
{
    innermost = NULL;
}
