/* System calls about the machine, the process and its limits: one processor, one process, one user.
 */
#include "sched/calls.h"
#include "arch/clock.h"
#include "mm/memory.h"
#include "sched/thread.h"

#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sysinfo.h>
#include <linux/times.h>
#include <linux/utsname.h>

#define TICKS_PER_SECOND   100u
#define FILES_MOST         1024u
#define THREAD_STACK_LEAST (1ull << 20)
#define THREAD_STACK_MOST  (8ull << 20)

/* ---- Identity ---- */

SYSCALL(sys_uname)
{
    static const struct new_utsname name = {
        .sysname = "Linux",
        .nodename = "udfvm",
        .release = "6.1.0-udfvm",
        .version = "#1",
        .machine = "x86_64",
        .domainname = "(none)",
    };
    if (!user_range_ok(a, sizeof name))
        return -EFAULT;
    memcpy((void *)a, &name, sizeof name);
    return 0;
}

SYSCALL(sys_getpid)
{
    return process_id();
}

SYSCALL(sys_getppid)
{
    return PARENT_ID;
}

SYSCALL(sys_process_group) /* and session */
{
    return SESSION_ID;
}

SYSCALL(sys_setpgid)
{
    return 0;
}

SYSCALL(sys_user_id) /* user and group, real and effective */
{
    return 0;
}

SYSCALL(sys_set_user_id)
{
    return a == 0 ? 0 : -EPERM;
}

SYSCALL(sys_getresuid)
{
    const uint64_t addresses[] = { a, b, c };
    for (int i = 0; i < 3; i++) {
        if (!user_range_ok(addresses[i], sizeof(uint32_t)))
            return -EFAULT;
        *(uint32_t *)addresses[i] = 0;
    }
    return 0;
}

SYSCALL(sys_getgroups)
{
    return 0;
}

SYSCALL(sys_capget)
{
    if (!user_range_ok(a, sizeof(struct __user_cap_header_struct)))
        return -EFAULT;
    struct __user_cap_header_struct *header = (struct __user_cap_header_struct *)a;
    if (header->version != _LINUX_CAPABILITY_VERSION_3) {
        header->version = _LINUX_CAPABILITY_VERSION_3;
        return b ? -EINVAL : 0;
    }
    const size_t size = _LINUX_CAPABILITY_U32S_3 * sizeof(struct __user_cap_data_struct);
    if (b && !user_range_ok(b, size))
        return -EFAULT;
    if (b)
        memset((void *)b, 0, size); /* none: nothing here is privileged */
    return 0;
}

SYSCALL(sys_personality)
{
    return (uint32_t)a == 0xffffffff || a == 0 ? 0 : -EINVAL;
}

/* ---- Limits and use ---- */

struct limit {
    uint64_t soft, hard;
};
static struct limit limits[RLIM_NLIMITS];
static uint32_t limits_set; /* bit n: the program has set limit n */

/* The C library gives threads stacks of this size; here they are memory from the start. */
static uint64_t thread_stack_size(void)
{
    return minimum(maximum(page_down((program_end - program_start) / 64), THREAD_STACK_LEAST),
                   THREAD_STACK_MOST);
}

static struct limit limit_of(uint64_t resource)
{
    if (limits_set >> resource & 1)
        return limits[resource];
    switch (resource) {
    case RLIMIT_STACK:
        return (struct limit){ thread_stack_size(), RLIM64_INFINITY };
    case RLIMIT_NOFILE:
        return (struct limit){ FILES_MOST, FILES_MOST };
    case RLIMIT_CORE:
        return (struct limit){ 0, 0 };
    default:
        return (struct limit){ RLIM64_INFINITY, RLIM64_INFINITY };
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
        limits[resource] = wanted; /* told back, not enforced: the host limits the VM */
        limits_set |= 1u << resource;
    }
    if (get)
        *(struct limit *)get = old;
    return 0;
}

SYSCALL(sys_getrlimit)
{
    return exchange_limit(a, 0, b);
}

SYSCALL(sys_setrlimit)
{
    return exchange_limit(a, b, 0);
}

SYSCALL(sys_prlimit64)
{
    return (int32_t)a == 0 || (int32_t)a == process_id() ? exchange_limit(b, c, d) : -ESRCH;
}

SYSCALL(sys_sysinfo)
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

SYSCALL(sys_getrusage)
{
    struct memory_statistics memory;
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

SYSCALL(sys_times)
{
    const long tick = (long)(NANOSECONDS / TICKS_PER_SECOND);
    if (a && !user_range_ok(a, sizeof(struct tms)))
        return -EFAULT;
    if (a)
        *(struct tms *)a = (struct tms){ .tms_utime = (long)process_ns() / tick };
    return (int64_t)monotonic_ns() / tick;
}

/* ---- Process and processor controls ---- */

SYSCALL(sys_prctl)
{
    const size_t size = sizeof current->name;
    switch ((int)a) {
    case PR_SET_NAME:
        if (!user_range_ok(b, 1))
            return -EFAULT;
        memset(current->name, 0, size);
        for (size_t i = 0; i < size - 1 && ((const char *)b)[i]; i++)
            current->name[i] = ((const char *)b)[i];
        return 0;
    case PR_GET_NAME:
        if (!user_range_ok(b, size))
            return -EFAULT;
        memcpy((void *)b, current->name, size);
        return 0;
    case UDFVM_PR_BECOME_CHILD:
        thread_expect_child();
        return 0;
    case PR_SET_MM: /* of its many uses the one that heap.c has words for */
        return b == PR_SET_MM_START_BRK ? heap_begin_other(c) : -EINVAL;
    case PR_GET_DUMPABLE:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_DUMPABLE:
    case PR_SET_NO_NEW_PRIVS:
    case PR_SET_PDEATHSIG:
    case PR_SET_TIMERSLACK:
    case PR_SET_THP_DISABLE:
    case PR_SET_VMA:
        return 0;
    default:
        return -EINVAL;
    }
}

SYSCALL(sys_arch_prctl)
{
    switch ((int)a) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (b >= ADDRESS_LIMIT)
            return -EPERM;
        if (a == ARCH_SET_FS)
            set_fs_base(b);
        else
            set_gs_base(b);
        return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        if (!user_range_ok(b, sizeof(uint64_t)))
            return -EFAULT;
        *(uint64_t *)b = a == ARCH_GET_FS ? get_fs_base() : get_gs_base();
        return 0;
    default:
        return -EINVAL;
    }
}

SYSCALL(sys_sched_getaffinity)
{
    const size_t size = sizeof(uint64_t);
    if (b < size || b % size)
        return -EINVAL;
    if (!user_range_ok(c, size))
        return -EFAULT;
    *(uint64_t *)c = 1;
    return (int64_t)size;
}

SYSCALL(sys_sched_setaffinity)
{
    if (b == 0 || !user_range_ok(c, b))
        return -EFAULT;
    return *(const uint8_t *)c & 1 ? 0 : -EINVAL;
}

SYSCALL(sys_sched_getparam)
{
    if (!user_range_ok(b, sizeof(int32_t)))
        return -EFAULT;
    *(int32_t *)b = 0;
    return 0;
}

SYSCALL(sys_sched_getscheduler)
{
    return SCHED_NORMAL;
}

SYSCALL(sys_sched_setscheduler)
{
    return b == SCHED_NORMAL || b == SCHED_BATCH || b == SCHED_IDLE ? 0 : -EPERM;
}

SYSCALL(sys_sched_priority_limit)
{
    return 0;
}

SYSCALL(sys_getcpu)
{
    if ((a && !user_range_ok(a, sizeof(uint32_t))) || (b && !user_range_ok(b, sizeof(uint32_t))))
        return -EFAULT;
    if (a)
        *(uint32_t *)a = 0;
    if (b)
        *(uint32_t *)b = 0;
    return 0;
}

SYSCALL(sys_getpriority)
{
    return 20; /* nice 0, as the system call encodes it */
}

SYSCALL(sys_setpriority)
{
    return 0;
}

SYSCALL(sys_ioprio_get)
{
    return 0;
}

/* One processor sees its own writes in order. */
SYSCALL(sys_membarrier)
{
    const uint32_t commands = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                              MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
                              MEMBARRIER_CMD_PRIVATE_EXPEDITED |
                              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    if (b)
        return -EINVAL;
    if (a == MEMBARRIER_CMD_QUERY)
        return commands;
    return (a & (a - 1)) == 0 && (a & commands) ? 0 : -EINVAL;
}
