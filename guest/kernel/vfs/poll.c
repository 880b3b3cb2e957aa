/* Waiting for descriptors: poll and select. */
#include "file.h"
#include "syscalls.h"

#define POLL_INVALID 0x020
#define ALWAYS_REPORTED (EVENT_ERROR | EVENT_HANG_UP)

struct poll_entry { int fd; int16_t events, revents; };
struct timespec64 { int64_t seconds, nanoseconds; };
struct timeval64 { int64_t seconds, microseconds; };

struct poll_set { struct poll_entry *entries; uint64_t count; int64_t ready; };

static bool poll_once(void *argument)
{
    struct poll_set *set = argument;
    set->ready = 0;
    for (uint64_t i = 0; i < set->count; i++) {
        struct poll_entry *entry = &set->entries[i];
        entry->revents = 0;
        if (entry->fd < 0)
            continue;
        struct file *file = file_get(entry->fd);
        entry->revents = (int16_t)(file ? file_events(file) & (entry->events | ALWAYS_REPORTED) : POLL_INVALID);
        file_put(file);
        set->ready += entry->revents != 0;
    }
    return set->ready > 0;
}

static int64_t wait_for(struct poll_set *set, uint64_t deadline)
{
    block_until(poll_once, set, deadline);
    return set->ready == 0 && interrupted() ? -EINTR : set->ready;
}

static uint64_t deadline_after(uint64_t nanoseconds)
{
    const uint64_t now = monotonic_ns();
    return nanoseconds > NO_DEADLINE - 1 - now ? NO_DEADLINE - 1 : now + nanoseconds;
}

/* A relative timeout in the program's memory, 0 for none; false where it is not one. */
static bool deadline_of(uint64_t address, bool microseconds, uint64_t *deadline)
{
    *deadline = NO_DEADLINE;
    if (!address)
        return true;
    if (!user_range_ok(address, sizeof(struct timespec64)))
        return false;
    const struct timespec64 *time = (const struct timespec64 *)address;
    const int64_t unit = microseconds ? 1000 : 1, fraction = time->nanoseconds;
    if (time->seconds < 0 || fraction < 0 || fraction >= (int64_t)NANOSECONDS / unit)
        return false;
    const uint64_t seconds = minimum((uint64_t)time->seconds, 1ull << 32);
    *deadline = deadline_after(seconds * NANOSECONDS + (uint64_t)(fraction * unit));
    return true;
}

static int64_t poll_program(uint64_t entries, uint64_t count, uint64_t deadline)
{
    struct poll_set set = { (struct poll_entry *)entries, count, 0 };
    if (count > DESCRIPTORS)
        return -EINVAL;
    return user_range_ok(entries, count * sizeof(struct poll_entry)) ? wait_for(&set, deadline) : -EFAULT;
}

SYSCALL(sys_poll)
{
    const int timeout = (int)c;
    return poll_program(a, b, timeout < 0 ? NO_DEADLINE : deadline_after((uint64_t)timeout * 1000000));
}

SYSCALL(sys_ppoll)
{
    uint64_t deadline;
    return deadline_of(c, false, &deadline) ? poll_program(a, b, deadline) : -EINVAL;
}

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

static int64_t select_program(uint64_t count, const uint64_t sets[3], uint64_t deadline)
{
    if (count > DESCRIPTORS)
        return -EINVAL;
    for (int i = 0; i < 3; i++)
        if (sets[i] && !user_range_ok(sets[i], (count + 63) / 64 * 8))
            return -EFAULT;
    struct poll_set set = { kernel_alloc((count + 1) * sizeof(struct poll_entry)), 0, 0 };
    if (!set.entries)
        return -ENOMEM;
    for (int fd = 0; fd < (int)count; fd++) {
        const int events = (bit(sets[0], fd) ? EVENT_IN : 0) | (bit(sets[1], fd) ? EVENT_OUT : 0);
        if (events || bit(sets[2], fd))
            set.entries[set.count++] = (struct poll_entry){ .fd = fd, .events = (int16_t)events };
    }
    int64_t result = wait_for(&set, deadline), bits = 0;
    for (uint64_t i = 0; result >= 0 && i < set.count; i++) {
        const struct poll_entry *entry = &set.entries[i];
        if (entry->revents & POLL_INVALID)
            result = -EBADF;
        const bool in = (entry->events & EVENT_IN) && (entry->revents & (EVENT_IN | ALWAYS_REPORTED));
        const bool out = (entry->events & EVENT_OUT) && (entry->revents & (EVENT_OUT | EVENT_ERROR));
        put_bit(sets[0], entry->fd, in);
        put_bit(sets[1], entry->fd, out);
        put_bit(sets[2], entry->fd, false);
        bits += in + out;
    }
    kernel_free(set.entries);
    return result < 0 ? result : bits;
}

SYSCALL(sys_select)
{
    uint64_t deadline;
    return deadline_of(e, true, &deadline) ? select_program(a, (const uint64_t[]){ b, c, d }, deadline) : -EINVAL;
}

SYSCALL(sys_pselect6)
{
    uint64_t deadline;
    return deadline_of(e, false, &deadline) ? select_program(a, (const uint64_t[]){ b, c, d }, deadline) : -EINVAL;
}
