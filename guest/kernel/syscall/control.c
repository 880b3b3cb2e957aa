/* System calls that control the processor: segment bases and barriers. */
#include "arch/processor.h"
#include "mm/user.h"

#include <asm/prctl.h>
#include <linux/membarrier.h>

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
    case ARCH_GET_CPUID:
        return 1; /* the instruction works */
    case ARCH_SET_CPUID:
        return -ENODEV;
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
