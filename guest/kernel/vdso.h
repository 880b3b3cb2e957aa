/* Clock functions that the program calls without a system call; inside the kernel only. Results as of the system calls. */
#ifndef UDFVM_VDSO_H
#define UDFVM_VDSO_H

#include "kernel.h"

#include <linux/time.h>

int64_t vdso_clock_gettime(int clock, struct timespec *time);
int64_t vdso_clock_getres(int clock, struct timespec *resolution);      /* NULL: only checks the clock */
int64_t vdso_gettimeofday(struct timeval *time, struct timezone *zone);
int64_t vdso_time(int64_t *time);
int64_t vdso_getcpu(uint32_t *processor, uint32_t *node);
uint64_t vdso_address(void);                     /* AT_SYSINFO_EHDR */

#endif
