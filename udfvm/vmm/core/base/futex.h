/* Words of memory to sleep on: futex(2). Not FUTEX_PRIVATE_FLAG: two processes may share them. */
#ifndef UDFVM_BASE_FUTEX_H
#define UDFVM_BASE_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Until the word is not `seen` any more, a signal comes, or the time (0: any) is over. Returns
 * whether a signal came; one whose handler restarts system calls ends a wait with a time alone. */
static inline bool futex_wait(atomic_uint *word, unsigned seen, uint64_t timeout_ns)
{
    const struct timespec time = { .tv_sec = (time_t)(timeout_ns / 1000000000),
                                   .tv_nsec = (long)(timeout_ns % 1000000000) };
    return syscall(SYS_futex, word, FUTEX_WAIT, seen, timeout_ns ? &time : NULL, NULL, 0) < 0 &&
           errno == EINTR;
}

static inline void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

#endif
