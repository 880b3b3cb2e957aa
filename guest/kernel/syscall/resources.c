/* System calls about limits and what was used. */
#include "host/call.h"
#include "host/clock.h"
#include "lib/string.h"
#include "mm/regions.h"
#include "mm/report.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "vfs/vfs.h"

#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/times.h>

#define TICKS_PER_SECOND 100u
#define MAX_FILES        1024u
#define MIN_THREAD_STACK (1ull << 20)
#define MAX_THREAD_STACK (8ull << 20)

struct limit {
    uint64_t soft, hard;
};
static struct limit limits[RLIM_NLIMITS];
static uint32_t limits_set; /* bit n: the program has set limit n */

/* The C library gives threads stacks of this size; here they are memory from the start. */
static uint64_t thread_stack_size(void)
{
    return minimum(maximum(page_down((program_end - program_start) / 64), MIN_THREAD_STACK),
                   MAX_THREAD_STACK);
}

static struct limit limit_of(uint64_t resource)
{
    if (limits_set >> resource & 1)
        return limits[resource];
    switch (resource) {
    case RLIMIT_STACK:
        return (struct limit){ thread_stack_size(), RLIM64_INFINITY };
    case RLIMIT_NOFILE:
        return (struct limit){ MAX_FILES, MAX_FILES };
    case RLIMIT_CORE:
        return (struct limit){ 0, 0 };
    default:
        return (struct limit){ RLIM64_INFINITY, RLIM64_INFINITY };
    }
}

/* The others are reported alone: the host limits the VM. */
static void set_limit(uint64_t resource, struct limit wanted)
{
    limits[resource] = wanted;
    limits_set |= 1u << resource;
    switch (resource) {
    case RLIMIT_AS:
        address_space_set_limit(wanted.soft);
        break;
    case RLIMIT_FSIZE:
        sizes_set_limit(wanted.soft);
        break;
    case RLIMIT_NOFILE:
        descriptors_set_limit(wanted.soft);
    }
}

static int64_t exchange_limit(uint64_t resource, uint64_t set, uint64_t get)
{
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    if ((set && !user_range_ok(set, sizeof(struct limit))) ||
        (get && !user_range_ok(get, sizeof(struct limit))))
        return -EFAULT;
    const struct limit old = limit_of(resource);
    if (set) {
        const struct limit wanted = *(const struct limit *)set;
        if (wanted.soft > wanted.hard)
            return -EINVAL;
        if (wanted.hard > old.hard)
            return -EPERM;
        set_limit(resource, wanted);
    }
    if (get)
        *(struct limit *)get = old;
    return 0;
}

SYSTEM_CALL(getrlimit)
{
    return exchange_limit(a, 0, b);
}

SYSTEM_CALL(setrlimit)
{
    return exchange_limit(a, b, 0);
}

SYSTEM_CALL(prlimit64)
{
    return (int32_t)a == 0 || (int32_t)a == process_id() ? exchange_limit(b, c, d) : -ESRCH;
}

SYSTEM_CALL(sysinfo)
{
    struct memory_statistics memory;
    if (!user_range_ok(a, sizeof(struct sysinfo)))
        return -EFAULT;
    memory_statistics(&memory);
    struct sysinfo info = {
        .uptime = (long)(monotonic_ns() / NANOSECONDS),
        .totalram = memory.total,
        .freeram = memory.total - memory.used,
        .procs = (uint16_t)thread_count(),
        .mem_unit = 1,
    };
    memcpy((void *)a, &info, sizeof info);
    return 0;
}

SYSTEM_CALL(getrusage)
{
    struct memory_statistics memory;
    if ((int32_t)a < RUSAGE_CHILDREN || (int32_t)a > RUSAGE_THREAD)
        return -EINVAL;
    if (!user_range_ok(b, sizeof(struct rusage)))
        return -EFAULT;
    struct rusage usage = { .ru_nswap = 0 };
    const bool children = (int32_t)a == RUSAGE_CHILDREN;
    const uint64_t time = children                      ? 0
                          : (int32_t)a == RUSAGE_THREAD ? thread_processor_ns(current)
                                                        : process_ns();
    memory_statistics(&memory);
    usage.ru_utime.tv_sec = (long)(time / NANOSECONDS);
    usage.ru_utime.tv_usec = (long)(time % NANOSECONDS / 1000);
    usage.ru_maxrss = children ? 0 : (long)(memory.used / 1024);
    memcpy((void *)b, &usage, sizeof usage);
    return 0;
}

SYSTEM_CALL(times)
{
    const long tick = (long)(NANOSECONDS / TICKS_PER_SECOND);
    if (a && !user_range_ok(a, sizeof(struct tms)))
        return -EFAULT;
    if (a)
        *(struct tms *)a = (struct tms){ .tms_utime = (long)process_ns() / tick };
    return (int64_t)monotonic_ns() / tick;
}
