/* Clocks, inside the kernel. */
#ifndef UDFVM_CLOCK_H
#define UDFVM_CLOCK_H

#include "kernel.h"

#include <linux/time.h>

static inline uint64_t time_stamp(void)
{
    return __builtin_ia32_rdtsc();
}
uint64_t microseconds_to_stamps(uint64_t microseconds);
bool clock_is_fixed(void); /* the call is deterministic: its clocks stand still but for waiting */
uint64_t process_ns(void); /* processor time of the program */
/* Waits, where nothing else can run. */
void clock_wait_until(uint64_t monotonic_deadline);
/* Turns the struct timespec at a program's address into a deadline in monotonic_ns(). */
int64_t clock_deadline(int clock, bool absolute, uint64_t timespec, uint64_t *deadline);
void clock_prepare_seal(void);
void clock_begin_row(void); /* in a deterministic call: all clocks go back to its beginning */
/* As the system calls of these names, but for the check of the addresses. */
int64_t clock_gettime(int clock, struct timespec *time);
int64_t clock_getres(int clock, struct timespec *resolution); /* NULL: only checks the clock */
int64_t clock_gettimeofday(struct timeval *time, struct timezone *zone);
int64_t clock_seconds(int64_t *seconds);

#endif
