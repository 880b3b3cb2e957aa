/* futex(2). One list holds all waiters, oldest first. Each waits on its own kernel stack. */
#include "host/seal_info.h"
#include "mm/user.h"
#include "sched/futex.h"
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

static int64_t wake(uint64_t address, unsigned count, uint32_t bits)
{
    int64_t woken = 0;
    struct waiter **at = &waiters;
    while (*at && woken < (int64_t)count) {
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

void futex_wake(uint64_t address, unsigned count)
{
    wake(address, count, FUTEX_BITSET_MATCH_ANY);
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

static int64_t requeue(uint64_t from, uint64_t wake_count, uint64_t move_count, uint64_t to)
{
    if ((int32_t)wake_count < 0 || (int32_t)move_count < 0)
        return -EINVAL;
    int64_t woken = wake(from, (unsigned)wake_count, FUTEX_BITSET_MATCH_ANY), moved = 0;
    for (struct waiter *waiter = waiters; waiter && moved < (int64_t)(uint32_t)move_count;
         waiter = waiter->next)
        if (waiter->address == from) {
            waiter->address = to;
            moved++;
        }
    return woken + moved;
}

/* FUTEX_WAKE_OP encodes an operation, and a comparison of the old value, in one word: futex(2). */
struct encoded {
    unsigned operation, comparison;
    uint32_t operand;
    int32_t comparand;
};

static struct encoded decode(uint32_t code)
{
    const uint32_t operand = (uint32_t)((int32_t)(code << 8) >> 20);
    const bool shift = code >> 28 & FUTEX_OP_OPARG_SHIFT;
    return (struct encoded){ .operation = code >> 28 & 7,
                             .comparison = code >> 24 & 15,
                             .operand = shift ? 1u << (operand & 31) : operand,
                             .comparand = (int32_t)(code << 20) >> 20 };
}

static bool apply(const struct encoded *code, uint32_t old, uint32_t *result)
{
    switch (code->operation) {
    case FUTEX_OP_SET:
        *result = code->operand;
        return true;
    case FUTEX_OP_ADD:
        *result = old + code->operand;
        return true;
    case FUTEX_OP_OR:
        *result = old | code->operand;
        return true;
    case FUTEX_OP_ANDN:
        *result = old & ~code->operand;
        return true;
    case FUTEX_OP_XOR:
        *result = old ^ code->operand;
        return true;
    default:
        return false;
    }
}

static bool compare(const struct encoded *code, int32_t old, bool *holds)
{
    switch (code->comparison) {
    case FUTEX_OP_CMP_EQ:
        *holds = old == code->comparand;
        return true;
    case FUTEX_OP_CMP_NE:
        *holds = old != code->comparand;
        return true;
    case FUTEX_OP_CMP_LT:
        *holds = old < code->comparand;
        return true;
    case FUTEX_OP_CMP_LE:
        *holds = old <= code->comparand;
        return true;
    case FUTEX_OP_CMP_GT:
        *holds = old > code->comparand;
        return true;
    case FUTEX_OP_CMP_GE:
        *holds = old >= code->comparand;
        return true;
    default:
        return false;
    }
}

/* Like Linux, this changes the word before it refuses an unknown comparison. */
static int64_t wake_operation(uint64_t first, unsigned first_count, uint64_t second,
                              unsigned second_count, uint32_t word)
{
    volatile uint32_t *target = (volatile uint32_t *)second;
    const struct encoded code = decode(word);
    const uint32_t old = *target;
    uint32_t changed;
    bool holds;
    if (!apply(&code, old, &changed))
        return -ENOSYS;
    *target = changed;
    if (!compare(&code, (int32_t)old, &holds))
        return -ENOSYS;
    int64_t woken = wake(first, first_count, FUTEX_BITSET_MATCH_ANY);
    return holds ? woken + wake(second, second_count, FUTEX_BITSET_MATCH_ANY) : woken;
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

/* The time of FUTEX_LOCK_PI is absolute, of the real-time clock; FUTEX_LOCK_PI2 may say another. */
static int64_t lock_call(uint64_t address, int operation, uint64_t timeout)
{
    uint64_t deadline = NO_DEADLINE;
    const bool real_time = (operation & FUTEX_CMD_MASK) == FUTEX_LOCK_PI ||
                           (operation & FUTEX_CLOCK_REALTIME);
    const int64_t error = timeout ? clock_deadline(real_time ? CLOCK_REALTIME : CLOCK_MONOTONIC,
                                                   true, timeout, &deadline)
                                  : 0;
    return error ? error : futex_lock(address, true, deadline);
}

static int64_t lock_operation(uint64_t address, int operation, uint64_t timeout)
{
    switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return lock_call(address, operation, timeout);
    case FUTEX_TRYLOCK_PI:
        return futex_lock(address, false, NO_DEADLINE);
    case FUTEX_UNLOCK_PI:
        return futex_unlock(address);
    default:
        count_unknown(SYS_futex); /* moving threads from a condition to such a lock */
        return -ENOSYS;
    }
}

/* Returns the number of threads to wake. Like in Linux, a negative count means all. */
static unsigned how_many(uint64_t argument)
{
    return (int32_t)argument < 0 ? INT32_MAX : (unsigned)argument;
}

/* Where processes could share a futex, Linux looks up the memory behind its address. */
static int64_t check_word(uint64_t address, bool shared)
{
    if (address & 3)
        return -EINVAL;
    return user_range_ok(address, 4) && (!shared || user_may_access(address)) ? 0 : -EFAULT;
}

static int64_t check_words(uint64_t first, uint64_t second, int operation, bool shared)
{
    const bool two = operation >= FUTEX_REQUEUE && operation <= FUTEX_WAKE_OP;
    const int64_t error = check_word(first, shared);
    return error || !two ? error : check_word(second, shared);
}

SYSTEM_CALL(futex)
{
    const int operation = (int)b & FUTEX_CMD_MASK;
    const int64_t error = check_words(a, e, operation, !(b & FUTEX_PRIVATE_FLAG));
    if (error)
        return error;
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
        return *(volatile uint32_t *)a == (uint32_t)f ? requeue(a, c, d, e) : -EAGAIN;
    case FUTEX_REQUEUE:
        return requeue(a, c, d, e);
    case FUTEX_WAKE_OP:
        return wake_operation(a, how_many(c), e, how_many(d), (uint32_t)f);
    default:
        return lock_operation(a, (int)b, d);
    }
}
