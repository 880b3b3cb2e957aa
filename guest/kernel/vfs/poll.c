/* Waiting for descriptors: poll and select. */
#include "vfs/poll.h"
#include "host/clock.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "signal/signal.h"

#define POLL_INVALID    0x020
#define ALWAYS_REPORTED (EVENT_ERROR | EVENT_HANG_UP)
#define FEW             16u /* entries that need no allocation */

struct poll_entry {
    int fd;
    int16_t events, revents;
};

/* The set is a copy in kernel memory. Other threads evaluate it while this one waits, and must
 * not fault on the program's pointers. */
struct poll_set {
    struct poll_entry *entries;
    uint64_t count;
    int64_t ready;
};

static int16_t events_of(const struct poll_entry *entry)
{
    struct file *file = file_get(entry->fd);
    int events = file ? file_events(file) : POLL_INVALID;
    file_put(file);
    if (events & EVENT_IN)
        events |= 0x040; /* POLLRDNORM */
    if (events & EVENT_OUT)
        events |= 0x100; /* POLLWRNORM */
    return (int16_t)(events & (entry->events | ALWAYS_REPORTED | POLL_INVALID));
}

static bool poll_once(void *argument)
{
    struct poll_set *set = argument;
    set->ready = 0;
    for (uint64_t i = 0; i < set->count; i++) {
        struct poll_entry *entry = &set->entries[i];
        entry->revents = entry->fd < 0 ? 0 : events_of(entry);
        set->ready += entry->revents != 0;
    }
    return set->ready > 0;
}

static int64_t wait_for(struct poll_set *set, uint64_t deadline)
{
    const bool ready = block_until(poll_once, set, deadline);
    return !ready && interrupted() ? -EINTR : set->ready;
}

static uint64_t deadline_after(uint64_t nanoseconds)
{
    const uint64_t now = monotonic_ns();
    return nanoseconds > NO_DEADLINE - 1 - now ? NO_DEADLINE - 1 : now + nanoseconds;
}

uint64_t deadline_after_milliseconds(uint64_t milliseconds)
{
    return (int)milliseconds < 0 ? NO_DEADLINE
                                 : deadline_after((uint64_t)(int)milliseconds * 1000000);
}

int64_t deadline_from_program(uint64_t address, uint64_t unit, uint64_t *deadline)
{
    struct {
        int64_t seconds, fraction;
    } time;
    *deadline = NO_DEADLINE;
    if (!address)
        return 0;
    if (!user_range_ok(address, sizeof time))
        return -EFAULT;
    memcpy(&time, (const void *)address, sizeof time);
    if (time.seconds < 0 || time.fraction < 0 || (uint64_t)time.fraction >= NANOSECONDS / unit)
        return -EINVAL;
    *deadline = deadline_after(minimum((uint64_t)time.seconds, 1ull << 33) * NANOSECONDS +
                               (uint64_t)time.fraction * unit);
    return 0;
}

static int64_t poll_program(uint64_t address, uint64_t count, uint64_t deadline)
{
    struct poll_entry few[FEW];
    if (count > DESCRIPTORS)
        return -EINVAL;
    const uint64_t bytes = count * sizeof(struct poll_entry);
    if (count && !user_range_ok(address, bytes))
        return -EFAULT;
    struct poll_set set = { count <= FEW ? few : kernel_alloc(bytes), count, 0 };
    if (!set.entries)
        return -ENOMEM;
    memcpy(set.entries, (const void *)address, bytes);
    const int64_t result = wait_for(&set, deadline);
    for (uint64_t i = 0; result >= 0 && i < count; i++)
        ((struct poll_entry *)address)[i].revents = set.entries[i].revents;
    if (set.entries != few)
        kernel_free(set.entries);
    return result;
}

SYSTEM_CALL(poll)
{
    return poll_program(a, b, deadline_after_milliseconds(c));
}

SYSTEM_CALL(ppoll)
{
    uint64_t deadline;
    int64_t error = deadline_from_program(c, 1, &deadline);
    if (error == 0 && d)
        error = signal_mask_for_call(d, e);
    return error ? error : poll_program(a, b, deadline);
}

/* ---- select ---- */

enum { SET_READ, SET_WRITE, SET_EXCEPTION, SETS };

static bool bit(uint64_t set, int fd)
{
    return set && ((const uint64_t *)set)[fd / 64] >> fd % 64 & 1;
}

static void put_bit(uint64_t set, int fd, bool value)
{
    if (set && value)
        ((uint64_t *)set)[fd / 64] |= 1ull << fd % 64;
    else if (set)
        ((uint64_t *)set)[fd / 64] &= ~(1ull << fd % 64);
}

/* Fills the set from the program's bit sets. Returns -EBADF if a bit names a closed descriptor. */
static int64_t collect_bits(const uint64_t sets[SETS], int count, struct poll_set *set)
{
    for (int fd = 0; fd < count; fd++) {
        const int events = (bit(sets[SET_READ], fd) ? EVENT_IN : 0) |
                           (bit(sets[SET_WRITE], fd) ? EVENT_OUT : 0) |
                           (bit(sets[SET_EXCEPTION], fd) ? EVENT_PRIORITY : 0);
        if (!events)
            continue;
        if (!descriptor_in_use(fd))
            return -EBADF;
        set->entries[set->count++] = (struct poll_entry){ .fd = fd, .events = (int16_t)events };
    }
    return 0;
}

/* Stores the ready descriptors as bits. Returns the number of bits. */
static int64_t store_bits(const uint64_t sets[SETS], const struct poll_set *set)
{
    int64_t bits = 0;
    for (uint64_t i = 0; i < set->count; i++) {
        const struct poll_entry *entry = &set->entries[i];
        const bool in = (entry->events & EVENT_IN) &&
                        (entry->revents & (EVENT_IN | ALWAYS_REPORTED));
        const bool out = (entry->events & EVENT_OUT) &&
                         (entry->revents & (EVENT_OUT | EVENT_ERROR));
        const bool urgent = entry->events & entry->revents & EVENT_PRIORITY;
        put_bit(sets[SET_READ], entry->fd, in);
        put_bit(sets[SET_WRITE], entry->fd, out);
        put_bit(sets[SET_EXCEPTION], entry->fd, urgent);
        bits += in + out + urgent;
    }
    return bits;
}

static int64_t select_program(uint64_t count, const uint64_t sets[SETS], uint64_t deadline)
{
    if ((int)count < 0)
        return -EINVAL;
    count = minimum((uint32_t)count, DESCRIPTORS);
    for (int i = 0; i < SETS; i++)
        if (sets[i] && !user_range_ok(sets[i], (count + 63) / 64 * 8))
            return -EFAULT;
    struct poll_set set = { kernel_alloc((count + 1) * sizeof(struct poll_entry)), 0, 0 };
    if (!set.entries)
        return -ENOMEM;
    int64_t result = collect_bits(sets, (int)count, &set);
    if (result == 0)
        result = wait_for(&set, deadline);
    if (result >= 0)
        result = store_bits(sets, &set);
    kernel_free(set.entries);
    return result;
}

SYSTEM_CALL(select)
{
    uint64_t deadline;
    const int64_t error = deadline_from_program(e, 1000, &deadline);
    return error ? error : select_program(a, (const uint64_t[SETS]){ b, c, d }, deadline);
}

/* Its sixth argument is the address of the mask's address and size. */
static int64_t select_mask(uint64_t address)
{
    const struct {
        uint64_t mask, size;
    } *argument = (const void *)address;
    if (!user_range_ok(address, sizeof *argument))
        return -EFAULT;
    return argument->mask ? signal_mask_for_call(argument->mask, argument->size) : 0;
}

SYSTEM_CALL(pselect6)
{
    uint64_t deadline;
    int64_t error = deadline_from_program(e, 1, &deadline);
    if (error == 0 && f)
        error = select_mask(f);
    return error ? error : select_program(a, (const uint64_t[SETS]){ b, c, d }, deadline);
}
