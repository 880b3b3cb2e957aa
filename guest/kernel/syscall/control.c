/* System calls that control the process and its segment bases. */
#include "arch/processor.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/user.h"
#include "sched/thread.h"

#include <asm/prctl.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>

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

/* Options that are taken and change nothing. */
static bool has_no_effect(int option)
{
    switch (option) {
    case PR_GET_DUMPABLE:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_DUMPABLE:
    case PR_SET_NO_NEW_PRIVS:
    case PR_SET_PDEATHSIG:
    case PR_SET_TIMERSLACK:
    case PR_SET_THP_DISABLE:
    case PR_SET_VMA:
        return true;
    default:
        return false;
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
    default:
        return has_no_effect((int)a) ? 0 : -EINVAL;
    }
}

SYSTEM_CALL(arch_prctl)
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

/* One processor sees its own writes in order. */
SYSTEM_CALL(membarrier)
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
