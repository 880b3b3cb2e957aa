/* The clocks of POSIX, by the numbers of <linux/time.h>. */
#ifndef UDFVM_TIME_H
#define UDFVM_TIME_H

#include "kernel.h"

#include <linux/time.h>

/* Converts the struct timespec at a program's address to a deadline of monotonic_ns(). */
int64_t clock_deadline(int clock, bool absolute, uint64_t timespec, uint64_t *deadline);
/* These do what the system calls of the same names do. They do not check addresses. */
int64_t clock_gettime(int clock, struct timespec *time);
int64_t clock_getres(int clock, struct timespec *resolution); /* NULL: only checks the clock id */
int64_t clock_gettimeofday(struct timeval *time, struct timezone *zone);
int64_t clock_seconds(int64_t *seconds);

#endif
