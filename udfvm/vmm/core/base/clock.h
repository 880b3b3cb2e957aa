/* Clocks: CLOCK_MONOTONIC, by which deadlines are kept, the time of day, time stamps. */
#ifndef UDFVM_BASE_CLOCK_H
#define UDFVM_BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "api.h"

#define UDFVM_NEVER (UINT64_MAX / 2)

uint64_t udfvm_realtime_ns(void); /* since 1970 */
/* Waits of the condition end by udfvm_monotonic_ns(). */
void udfvm_condition_init(pthread_cond_t *condition);
/* Waits with the lock held. Returns false if `end_ns` passed first. */
bool udfvm_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t end_ns);
/* Between time stamps of two threads: the later look may have the earlier stamp, where the other
 * thread, or its processor, is ahead. */
static inline uint64_t udfvm_ticks_between(uint64_t since, uint64_t now)
{
    return now > since ? now - since : 0;
}

#endif
