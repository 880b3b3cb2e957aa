/* Operations of futex(2) on locks that know their owner: FUTEX_LOCK_PI and others. Linux lends the
 * owner the priority of who waits. Threads of a VM have turns and no priorities, so there is
 * nothing to lend; what is left is that such a lock goes to the thread that waited longest.
 *
 * The lock's word has the owner's number, and bits that tell of waiters and of an owner that ended.
 * The program takes and gives a lock without waiters by itself. */
#include "sched/futex.h"
#include "mm/user.h"
#include "sched/thread.h"

#include <linux/futex.h>

struct lock_waiter {
    struct lock_waiter *next;
    volatile uint32_t *word;
    int32_t thread;
    bool owns;
};

static HOT_DATA struct lock_waiter *waiters; /* oldest first */

static struct lock_waiter **find_waiter(const volatile uint32_t *word)
{
    struct lock_waiter **at = &waiters;
    while (*at && (*at)->word != word)
        at = &(*at)->next;
    return at;
}

static void remove_waiter(const struct lock_waiter *waiter)
{
    struct lock_waiter **at = &waiters;
    while (*at && *at != waiter)
        at = &(*at)->next;
    if (*at)
        *at = waiter->next;
}

static uint32_t owner_of(uint32_t word)
{
    return word & FUTEX_TID_MASK;
}

/* Gives the lock to who waits longest, or to nobody. */
static void hand_over(volatile uint32_t *word, uint32_t died)
{
    struct lock_waiter **at = find_waiter(word), *next = *at;
    if (!next) {
        *word = died;
        return;
    }
    *at = next->next;
    next->owns = true;
    *word = (uint32_t)next->thread | died | (*find_waiter(word) ? FUTEX_WAITERS : 0);
}

/* The program may have unmapped it meanwhile. */
static bool is_there(volatile uint32_t *word)
{
    return user_range_ok((uint64_t)word, sizeof *word);
}

static bool owns(void *waiter)
{
    return ((const struct lock_waiter *)waiter)->owns;
}

static int64_t wait_for_owner(volatile uint32_t *word, uint64_t deadline)
{
    struct lock_waiter waiter = { .word = word, .thread = current_tid() };
    struct lock_waiter **end = &waiters;
    while (*end)
        end = &(*end)->next;
    *end = &waiter;
    *word |= FUTEX_WAITERS;
    if (block_until(owns, &waiter, deadline) || waiter.owns)
        return 0;
    remove_waiter(&waiter);
    if (!*find_waiter(word) && is_there(word))
        *word &= ~(uint32_t)FUTEX_WAITERS;
    if (!interrupted())
        return -ETIMEDOUT;
    current->always_restarts = true;
    return -EINTR;
}

int64_t futex_lock(uint64_t address, bool wait, uint64_t deadline)
{
    volatile uint32_t *word = (volatile uint32_t *)address;
    const uint32_t owner = owner_of(*word);
    if (owner == (uint32_t)current_tid())
        return -EDEADLK;
    if (owner == 0) {
        *word = (uint32_t)current_tid() | (*word & FUTEX_OWNER_DIED) |
                (*find_waiter(word) ? FUTEX_WAITERS : 0);
        return 0;
    }
    if (!wait)
        return -EAGAIN;
    const struct thread *thread = thread_find((int32_t)owner);
    return thread && !thread->dead ? wait_for_owner(word, deadline) : -ESRCH;
}

int64_t futex_unlock(uint64_t address)
{
    volatile uint32_t *word = (volatile uint32_t *)address;
    if (owner_of(*word) != (uint32_t)current_tid())
        return -EPERM;
    hand_over(word, 0);
    return 0;
}

void futex_owner_ended(void)
{
    for (const struct lock_waiter *at = waiters; at;) {
        volatile uint32_t *word = at->word;
        at = at->next;
        if (is_there(word) && owner_of(*word) == (uint32_t)current_tid()) {
            hand_over(word, FUTEX_OWNER_DIED);
            at = waiters;
        }
    }
}
