/* futex(2): waiters in one list, oldest first, each on its own kernel stack. */
#include "host/seal_info.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "sched/time.h"

#include <linux/futex.h>

struct waiter {
    struct waiter *next;
    uint64_t address;
    uint32_t bits;
    bool woken;
};

static HOT_DATA struct waiter *waiters;

static void enqueue(struct waiter *waiter)
{
    struct waiter **end = &waiters;
    while (*end)
        end = &(*end)->next;
    *end = waiter;
}

static void remove_waiter(const struct waiter *waiter)
{
    for (struct waiter **at = &waiters; *at; at = &(*at)->next)
        if (*at == waiter) {
            *at = waiter->next;
            return;
        }
}

static int64_t wake(uint64_t address, unsigned most, uint32_t bits)
{
    int64_t woken = 0;
    struct waiter **at = &waiters;
    while (*at && woken < (int64_t)most) {
        struct waiter *waiter = *at;
        if (waiter->address != address || !(waiter->bits & bits)) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->woken = true;
        woken++;
    }
    return woken;
}

void futex_wake(uint64_t address, unsigned most)
{
    wake(address, most, FUTEX_BITSET_MATCH_ANY);
}

static bool is_woken(void *waiter)
{
    return ((const struct waiter *)waiter)->woken;
}

static int64_t wait(uint64_t address, uint32_t expected, uint32_t bits, uint64_t deadline)
{
    if (*(volatile uint32_t *)address != expected)
        return -EAGAIN;
    struct waiter waiter = { .address = address, .bits = bits };
    enqueue(&waiter);
    if (block_until(is_woken, &waiter, deadline))
        return 0;
    remove_waiter(&waiter);
    return interrupted() ? -EINTR : -ETIMEDOUT;
}

static int64_t requeue(uint64_t from, unsigned wake_most, unsigned move_most, uint64_t to)
{
    int64_t woken = wake(from, wake_most, FUTEX_BITSET_MATCH_ANY), moved = 0;
    for (struct waiter *waiter = waiters; waiter && moved < (int64_t)move_most;
         waiter = waiter->next)
        if (waiter->address == from) {
            waiter->address = to;
            moved++;
        }
    return woken + moved;
}

/* The operation that FUTEX_WAKE_OP encodes: futex(2). */
static int64_t wake_operation(uint64_t first, unsigned first_most, uint64_t second,
                              unsigned second_most, uint32_t code)
{
    volatile uint32_t *word = (volatile uint32_t *)second;
    const uint32_t old = *word;
    const int32_t comparand = (int32_t)(code << 20) >> 20;
    uint32_t operand = (uint32_t)((int32_t)(code << 8) >> 20);
    bool hit;
    if (code >> 28 & FUTEX_OP_OPARG_SHIFT)
        operand = 1u << (operand & 31);
    switch (code >> 28 & 7) {
    case FUTEX_OP_SET:
        *word = operand;
        break;
    case FUTEX_OP_ADD:
        *word = old + operand;
        break;
    case FUTEX_OP_OR:
        *word = old | operand;
        break;
    case FUTEX_OP_ANDN:
        *word = old & ~operand;
        break;
    case FUTEX_OP_XOR:
        *word = old ^ operand;
        break;
    default:
        return -ENOSYS;
    }
    switch (code >> 24 & 15) {
    case FUTEX_OP_CMP_EQ:
        hit = (int32_t)old == comparand;
        break;
    case FUTEX_OP_CMP_NE:
        hit = (int32_t)old != comparand;
        break;
    case FUTEX_OP_CMP_LT:
        hit = (int32_t)old < comparand;
        break;
    case FUTEX_OP_CMP_LE:
        hit = (int32_t)old <= comparand;
        break;
    case FUTEX_OP_CMP_GT:
        hit = (int32_t)old > comparand;
        break;
    case FUTEX_OP_CMP_GE:
        hit = (int32_t)old >= comparand;
        break;
    default:
        return -ENOSYS;
    }
    int64_t woken = wake(first, first_most, FUTEX_BITSET_MATCH_ANY);
    return hit ? woken + wake(second, second_most, FUTEX_BITSET_MATCH_ANY) : woken;
}

static int64_t wait_call(uint64_t address, int operation, uint32_t expected, uint64_t timeout,
                         uint32_t bits)
{
    uint64_t deadline = NO_DEADLINE;
    const bool absolute = (operation & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
    if (bits == 0)
        return -EINVAL;
    if (timeout) {
        int64_t error = clock_deadline(operation & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME
                                                                        : CLOCK_MONOTONIC,
                                       absolute, timeout, &deadline);
        if (error)
            return error;
    }
    return wait(address, expected, bits, deadline);
}

/* A count of wakeups: negative ones mean all, as in Linux. */
static unsigned how_many(uint64_t argument)
{
    return (int32_t)argument < 0 ? INT32_MAX : (unsigned)argument;
}

SYSTEM_CALL(futex)
{
    const int operation = (int)b & FUTEX_CMD_MASK;
    if ((a & 3) || ((operation >= FUTEX_REQUEUE && operation <= FUTEX_WAKE_OP) && (e & 3)))
        return -EINVAL;
    if (!user_range_ok(a, 4) ||
        ((operation >= FUTEX_REQUEUE && operation <= FUTEX_WAKE_OP) && !user_range_ok(e, 4)))
        return -EFAULT;
    switch (operation) {
    case FUTEX_WAIT:
        return wait_call(a, (int)b, (uint32_t)c, d, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return wait_call(a, (int)b, (uint32_t)c, d, (uint32_t)f);
    case FUTEX_WAKE:
        return wake(a, how_many(c), FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return (uint32_t)f ? wake(a, how_many(c), (uint32_t)f) : -EINVAL;
    case FUTEX_CMP_REQUEUE:
        if (*(volatile uint32_t *)a != (uint32_t)f)
            return -EAGAIN;
        return requeue(a, how_many(c), how_many(d), e);
    case FUTEX_REQUEUE:
        return requeue(a, how_many(c), how_many(d), e);
    case FUTEX_WAKE_OP:
        return wake_operation(a, how_many(c), e, how_many(d), (uint32_t)f);
    default:
        count_unknown(SYS_futex); /* priority inheritance */
        return -ENOSYS;
    }
}
