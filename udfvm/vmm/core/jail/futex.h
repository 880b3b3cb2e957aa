/* Words of shared memory to sleep on: futex(2). Not FUTEX_PRIVATE_FLAG: two processes share them.
 */
#ifndef UDFVM_JAIL_FUTEX_H
#define UDFVM_JAIL_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Until the word is not `seen` any more, a signal comes, or the time (0: any) is over. */
static inline void futex_wait(atomic_uint *word, unsigned seen, uint64_t timeout_ns)
{
    const struct timespec time = { .tv_sec = (time_t)(timeout_ns / 1000000000),
                                   .tv_nsec = (long)(timeout_ns % 1000000000) };
    syscall(SYS_futex, word, FUTEX_WAIT, seen, timeout_ns ? &time : NULL, NULL, 0);
}

static inline void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

#endif
