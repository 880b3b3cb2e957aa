/* System calls about scheduling. There is one processor, which the threads take in turns. What a
 * program sets it reads back, for all its threads, and it changes nothing. As for any program
 * without privileges, only a lower priority can be set. */
#include "host/call.h"
#include "lib/string.h"
#include "mm/user.h"
#include "sched/thread.h"

#include <linux/ioprio.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#define MAX_NICE 19
#define SLICE_NS 100000000 /* of SCHED_RR: the default of Linux */

static struct {
    int32_t nice;
    uint32_t policy;
    bool reset_on_fork;
    uint32_t input_output;
} scheduling;

static bool thread_exists(uint64_t id)
{
    return (int32_t)id == 0 || (int32_t)id == process_id() || thread_find((int32_t)id);
}

/* ---- Processors ---- */

SYSTEM_CALL(sched_getaffinity)
{
    const size_t size = sizeof(uint64_t);
    if (b < size || b % size)
        return -EINVAL;
    if (!thread_exists(a))
        return -ESRCH;
    if (!user_range_ok(c, size))
        return -EFAULT;
    *(uint64_t *)c = 1;
    return (int64_t)size;
}

SYSTEM_CALL(sched_setaffinity)
{
    if (b && !user_range_ok(c, b))
        return -EFAULT;
    if (!thread_exists(a))
        return -ESRCH;
    return b && (*(const uint8_t *)c & 1) ? 0 : -EINVAL;
}

SYSTEM_CALL(getcpu)
{
    if ((a && !user_range_ok(a, sizeof(uint32_t))) || (b && !user_range_ok(b, sizeof(uint32_t))))
        return -EFAULT;
    if (a)
        *(uint32_t *)a = 0;
    if (b)
        *(uint32_t *)b = 0;
    return 0;
}

/* ---- Policies ---- */

static bool is_real_time(uint32_t policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_ordinary(uint32_t policy)
{
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

static int64_t set_policy(uint64_t id, uint64_t policy, uint64_t parameter)
{
    const uint32_t kind = (uint32_t)policy & ~(uint32_t)SCHED_RESET_ON_FORK;
    if ((int32_t)id < 0 || (int32_t)policy < 0 || !parameter)
        return -EINVAL;
    if (!user_range_ok(parameter, sizeof(int32_t)))
        return -EFAULT;
    if (!thread_exists(id))
        return -ESRCH;
    const int32_t priority = *(const int32_t *)parameter;
    if (is_real_time(kind))
        return priority < 1 || priority > 99 ? -EINVAL : -EPERM;
    if (!is_ordinary(kind) || priority)
        return -EINVAL;
    scheduling.policy = kind;
    scheduling.reset_on_fork = (uint32_t)policy & SCHED_RESET_ON_FORK;
    return 0;
}

SYSTEM_CALL(sched_setscheduler)
{
    return set_policy(a, (uint32_t)b, c);
}

SYSTEM_CALL(sched_setparam)
{
    return set_policy(a, scheduling.policy, b);
}

SYSTEM_CALL(sched_getscheduler)
{
    if ((int32_t)a < 0)
        return -EINVAL;
    return thread_exists(a)
               ? (int64_t)(scheduling.policy | (scheduling.reset_on_fork ? SCHED_RESET_ON_FORK : 0))
               : -ESRCH;
}

SYSTEM_CALL(sched_getparam)
{
    if ((int32_t)a < 0 || !b)
        return -EINVAL;
    if (!thread_exists(a))
        return -ESRCH;
    if (!user_range_ok(b, sizeof(int32_t)))
        return -EFAULT;
    *(int32_t *)b = 0;
    return 0;
}

SYSTEM_CALL(sched_get_priority_max)
{
    return is_real_time((uint32_t)a)                                   ? 99
           : is_ordinary((uint32_t)a) || (uint32_t)a == SCHED_DEADLINE ? 0
                                                                       : -EINVAL;
}

SYSTEM_CALL(sched_get_priority_min)
{
    return is_real_time((uint32_t)a) ? 1 : sys_sched_get_priority_max(a, 0, 0, 0, 0, 0);
}

SYSTEM_CALL(sched_rr_get_interval)
{
    if ((int32_t)a < 0)
        return -EINVAL;
    if (!thread_exists(a))
        return -ESRCH;
    if (!user_range_ok(b, 2 * sizeof(int64_t)))
        return -EFAULT;
    ((int64_t *)b)[0] = 0;
    ((int64_t *)b)[1] = SLICE_NS;
    return 0;
}

SYSTEM_CALL(sched_getattr)
{
    if (!b || (int32_t)a < 0 || c < SCHED_ATTR_SIZE_VER0 || d)
        return -EINVAL;
    if (!thread_exists(a))
        return -ESRCH;
    if (!user_range_ok(b, SCHED_ATTR_SIZE_VER0))
        return -EFAULT;
    const struct sched_attr attributes = {
        .size = SCHED_ATTR_SIZE_VER0,
        .sched_policy = scheduling.policy,
        .sched_flags = scheduling.reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0,
        .sched_nice = scheduling.nice,
    };
    memcpy((void *)b, &attributes, SCHED_ATTR_SIZE_VER0);
    return 0;
}

/* ---- Niceness ---- */

static int64_t check_who(uint64_t which, uint64_t who)
{
    switch ((int32_t)which) {
    case PRIO_PROCESS:
        return thread_exists(who) ? 0 : -ESRCH;
    case PRIO_PGRP:
        return (int32_t)who == 0 || (int32_t)who == SESSION_ID ? 0 : -ESRCH;
    case PRIO_USER:
        return (int32_t)who == 0 ? 0 : -ESRCH;
    default:
        return -EINVAL;
    }
}

SYSTEM_CALL(getpriority)
{
    const int64_t error = check_who(a, b);
    return error ? error : 20 - scheduling.nice; /* as the system call encodes it */
}

SYSTEM_CALL(setpriority)
{
    const int64_t error = check_who(a, b);
    int32_t nice = (int32_t)c;
    if (error)
        return error;
    nice = nice < -20 ? -20 : nice > MAX_NICE ? MAX_NICE : nice;
    if (nice < scheduling.nice)
        return -EACCES;
    scheduling.nice = nice;
    return 0;
}

static int64_t check_input_output(uint64_t which, uint64_t who)
{
    switch ((int32_t)which) {
    case IOPRIO_WHO_PROCESS:
        return check_who(PRIO_PROCESS, who);
    case IOPRIO_WHO_PGRP:
        return check_who(PRIO_PGRP, who);
    case IOPRIO_WHO_USER:
        return check_who(PRIO_USER, who);
    default:
        return -EINVAL;
    }
}

SYSTEM_CALL(ioprio_get)
{
    const int64_t error = check_input_output(a, b);
    return error ? error : (int64_t)scheduling.input_output;
}

SYSTEM_CALL(ioprio_set)
{
    const uint32_t class = IOPRIO_PRIO_CLASS((uint32_t)c), level = IOPRIO_PRIO_DATA((uint32_t)c);
    if (class == IOPRIO_CLASS_RT)
        return level < 8 ? -EPERM : -EINVAL;
    if (class > IOPRIO_CLASS_IDLE || (class == IOPRIO_CLASS_NONE && level) ||
        (class == IOPRIO_CLASS_BE && level >= 8))
        return -EINVAL;
    const int64_t error = check_input_output(a, b);
    if (error == 0)
        scheduling.input_output = (uint32_t)c;
    return error;
}
