/* Timers: each calls a function when it expires.
 *
 * They expire in the kernel alone: while it waits, when a system call ends, and when the host
 * interrupts the program, which it does where a timer is armed. */
#ifndef UDFVM_TIMER_H
#define UDFVM_TIMER_H

#include "sched/thread.h"

enum timer_clock {
    TIMER_WALL,    /* monotonic_ns() */
    TIMER_PROCESS, /* processor time of the program */
    TIMER_THREAD,  /* of a thread */
};

struct timer {
    /* Expired that many times since it was armed, or since the last call: at least once. It may
     * arm and disarm timers. */
    void (*expired)(struct timer *timer, uint64_t times);
    enum timer_clock clock;
    int32_t thread;       /* the id, of TIMER_THREAD */
    uint64_t interval_ns; /* 0: it expires once */
    /* timer.c */
    struct timer *next;
    uint64_t expiry_ns; /* by its clock; 0: it is not armed */
};

#define MAX_TIMER_NS (INT64_MAX / 2) /* what is longer never expires */

/* Arms the timer, or arms it anew, with its `interval_ns`. 0 nanoseconds disarm it. */
void timer_arm(struct timer *timer, uint64_t nanoseconds);
void timer_disarm(struct timer *timer);
/* Nanoseconds to its expiry, at least 1; 0: it is not armed. */
uint64_t timer_left(const struct timer *timer);

/* After a timer that sends a signal was armed: one that expires sooner than the host could
 * interrupt the program is waited for. */
void timer_wait_if_soon(const struct timer *timer);

bool timers_armed(void);
void timers_run(void); /* lets those expire whose time has come */
/* The nearest time of monotonic_ns() at which one can expire, or NO_DEADLINE: while the current
 * thread computes, or while no thread runs. */
uint64_t timers_due(bool computes);

/* Between the two, armed timers stand still. */
void timers_prepare_seal(void);
void timers_begin_call(void);

#endif
