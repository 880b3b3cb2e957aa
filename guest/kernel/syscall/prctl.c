/* prctl(2): names of threads, and what a program sets of its process and reads back. It changes
 * nothing here, where there is no other process, no privilege and no other program. */
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/user.h"
#include "sched/thread.h"

#include <linux/capability.h>
#include <linux/prctl.h>

#define TIMER_SLACK_NS 50000u /* as Linux begins with */
#define LAST_SIGNAL    64u

static struct {
    uint64_t timer_slack_ns;
    int death_signal;
    bool not_dumpable, subreaper, keeps_capabilities, no_new_privileges, no_huge_pages;
} set = { .timer_slack_ns = TIMER_SLACK_NS };

static int64_t set_name(uint64_t address)
{
    const char *name = (const char *)address;
    if (!user_range_ok(address, 1))
        return -EFAULT;
    memset(current->name, 0, sizeof current->name);
    for (size_t i = 0; i < sizeof current->name - 1 && name[i]; i++)
        current->name[i] = name[i];
    return 0;
}

static int64_t get_name(uint64_t address)
{
    if (!user_range_ok(address, sizeof current->name))
        return -EFAULT;
    memcpy((void *)address, current->name, sizeof current->name);
    return 0;
}

static int64_t tell(uint64_t address, int value)
{
    if (!user_range_ok(address, sizeof value))
        return -EFAULT;
    *(int *)address = value;
    return 0;
}

static int64_t set_switch(uint64_t value, bool *to)
{
    if (value > 1)
        return -EINVAL;
    *to = value;
    return 0;
}

static int64_t set_death_signal(uint64_t number)
{
    if (number > LAST_SIGNAL)
        return -EINVAL;
    set.death_signal = (int)number;
    return 0;
}

/* The sets are empty, and nothing can be added. */
static int64_t ambient_capability(uint64_t operation, uint64_t capability)
{
    if (operation == PR_CAP_AMBIENT_CLEAR_ALL)
        return capability ? -EINVAL : 0;
    if (capability > CAP_LAST_CAP)
        return -EINVAL;
    switch (operation) {
    case PR_CAP_AMBIENT_IS_SET:
    case PR_CAP_AMBIENT_LOWER:
        return 0;
    case PR_CAP_AMBIENT_RAISE:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

static int64_t capabilities(int option, const uint64_t arguments[4])
{
    switch (option) {
    case PR_CAPBSET_READ:
        return arguments[0] > CAP_LAST_CAP ? -EINVAL : 0;
    case PR_CAPBSET_DROP:
    case PR_SET_SECUREBITS:
        return -EPERM;
    case PR_GET_SECUREBITS:
        return 0;
    case PR_GET_KEEPCAPS:
        return set.keeps_capabilities;
    case PR_SET_KEEPCAPS:
        return set_switch(arguments[0], &set.keeps_capabilities);
    case PR_CAP_AMBIENT:
        return arguments[2] || arguments[3] ? -EINVAL
                                            : ambient_capability(arguments[0], arguments[1]);
    default:
        return -EINVAL;
    }
}

/* Options whose unused arguments Linux wants to be 0. */
static int64_t strict_option(int option, const uint64_t arguments[4])
{
    if (arguments[1] || arguments[2] || arguments[3])
        return -EINVAL;
    switch (option) {
    case PR_GET_NO_NEW_PRIVS:
        return arguments[0] ? -EINVAL : set.no_new_privileges;
    case PR_SET_NO_NEW_PRIVS:
        return arguments[0] == 1 ? set_switch(1, &set.no_new_privileges) : -EINVAL;
    case PR_GET_THP_DISABLE:
        return arguments[0] ? -EINVAL : set.no_huge_pages;
    default: /* PR_SET_THP_DISABLE */
        set.no_huge_pages = arguments[0];
        return 0;
    }
}

static int64_t time_option(int option, const uint64_t arguments[4])
{
    switch (option) {
    case PR_GET_TIMERSLACK:
        return (int64_t)set.timer_slack_ns;
    case PR_SET_TIMERSLACK:
        set.timer_slack_ns = (int64_t)arguments[0] > 0 ? arguments[0] : TIMER_SLACK_NS;
        return 0;
    case PR_GET_TIMING:
        return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
        return arguments[0] == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_GET_TSC:
        return tell(arguments[0], PR_TSC_ENABLE);
    case PR_SET_TSC:
        return arguments[0] == PR_TSC_ENABLE ? 0 : -EINVAL;
    default:
        return capabilities(option, arguments);
    }
}

static int64_t process_option(int option, const uint64_t arguments[4])
{
    switch (option) {
    case PR_GET_PDEATHSIG:
        return tell(arguments[0], set.death_signal);
    case PR_SET_PDEATHSIG:
        return set_death_signal(arguments[0]);
    case PR_GET_DUMPABLE:
        return !set.not_dumpable;
    case PR_SET_DUMPABLE:
        if (arguments[0] > 1)
            return -EINVAL;
        set.not_dumpable = !arguments[0];
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return tell(arguments[0], set.subreaper);
    case PR_SET_CHILD_SUBREAPER:
        set.subreaper = arguments[0];
        return 0;
    default:
        return time_option(option, arguments);
    }
}

SYSTEM_CALL(prctl)
{
    switch ((int)a) {
    case PR_SET_NAME:
        return set_name(b);
    case PR_GET_NAME:
        return get_name(b);
    case UDFVM_PR_BECOME_CHILD:
        thread_expect_child();
        return 0;
    case PR_SET_MM: /* of its many uses the one that heap.c has words for */
        return b == PR_SET_MM_START_BRK ? heap_begin_other(c) : -EINVAL;
    case PR_SET_VMA: /* names of mappings, which nobody reads */
        return 0;
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_THP_DISABLE:
    case PR_SET_THP_DISABLE:
        return strict_option((int)a, (const uint64_t[]){ b, c, d, e });
    default:
        return process_option((int)a, (const uint64_t[]){ b, c, d, e });
    }
}
