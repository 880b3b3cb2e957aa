/* The clocks of POSIX, by the numbers of <linux/time.h>. */
#ifndef UDFVM_TIME_H
#define UDFVM_TIME_H

#include "kernel.h"

#include <linux/time.h>

/* Converts the struct timespec at a program's address to a deadline of monotonic_ns(). */
int64_t clock_deadline(int clock, bool absolute, uint64_t timespec, uint64_t *deadline);
/* The clock that an id names, also one of pthread_getcpuclockid(3). */
int clock_kind(int id);

/* struct itimerspec of a program, as nanoseconds from now and of an interval. */
struct timer_setting {
    uint64_t left_ns, interval_ns; /* left_ns 0: not armed */
};
int64_t timer_setting_read(uint64_t address, int clock, bool absolute,
                           struct timer_setting *setting);
void timer_setting_write(uint64_t address, const struct timer_setting *setting);

/* These do what the system calls of the same names do. They do not check addresses. */
int64_t clock_gettime(int clock, struct timespec *time);
int64_t clock_getres(int clock, struct timespec *resolution); /* NULL: only checks the clock id */
int64_t clock_gettimeofday(struct timeval *time, struct timezone *zone);
int64_t clock_seconds(int64_t *seconds);

#endif
