/* set_robust_list(2): the program lists the locks that a thread holds in its own memory. */
#include "mm/user.h"
#include "sched/thread.h"

#include <linux/futex.h>

#define PRIORITY 1u /* bit of an address: the lock inherits priorities */

static bool is_owner(const struct thread *thread, uint32_t word)
{
    return thread_find((int32_t)(word & FUTEX_TID_MASK)) == thread;
}

/* `taking`: the thread was about to take or give the lock, and may have woken nobody. */
static void release(const struct thread *thread, uint64_t address, bool taking)
{
    volatile uint32_t *word = (volatile uint32_t *)address;
    if (address % sizeof *word || !user_range_ok(address, sizeof *word))
        return;
    if (*word && is_owner(thread, *word)) {
        const bool waited_for = *word & FUTEX_WAITERS;
        *word = (*word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (waited_for)
            futex_wake(address, 1);
    } else if (taking && !*word) {
        futex_wake(address, 1);
    }
}

/* As Linux does, it gives up after so many locks: the list may be a circle without its head. */
void robust_locks_release(struct thread *thread)
{
    const uint64_t start = thread->robust_list;
    thread->robust_list = 0; /* if memory of the list faults, the next exit(2) has none */
    if (!start || !user_range_ok(start, sizeof(struct robust_list_head)))
        return;
    const struct robust_list_head head = *(const struct robust_list_head *)start;
    const uint64_t offset = (uint64_t)head.futex_offset,
                   taking = (uint64_t)head.list_op_pending & ~(uint64_t)PRIORITY;
    uint64_t entry = (uint64_t)head.list.next & ~(uint64_t)PRIORITY;
    for (unsigned i = 0; i < ROBUST_LIST_LIMIT && entry != start; i++) {
        if (!user_range_ok(entry, sizeof(struct robust_list)))
            return;
        const uint64_t next = (uint64_t)((const struct robust_list *)entry)->next;
        if (entry != taking)
            release(thread, entry + offset, false);
        entry = next & ~(uint64_t)PRIORITY;
    }
    if (taking)
        release(thread, taking + offset, true);
}

SYSTEM_CALL(set_robust_list)
{
    if (b != sizeof(struct robust_list_head))
        return -EINVAL;
    current->robust_list = a;
    return 0;
}
