/* System calls about who runs here, and on what: one process, one user, who is root. */
#include "host/call.h"
#include "lib/string.h"
#include "mm/user.h"
#include "sched/thread.h"

#include <linux/capability.h>
#include <linux/utsname.h>

SYSTEM_CALL(uname)
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

SYSTEM_CALL(getpid)
{
    return process_id();
}

SYSTEM_CALL(getppid)
{
    return PARENT_ID;
}

SYSTEM_CALL(getpgrp) /* and session */
{
    return SESSION_ID;
}
SYSTEM_CALL_ALIAS(setsid, getpgrp);

SYSTEM_CALL(getpgid)
{
    const int32_t id = (int32_t)a;
    return id == 0 || id == PARENT_ID || thread_find(id) ? SESSION_ID : -ESRCH;
}
SYSTEM_CALL_ALIAS(getsid, getpgid);

SYSTEM_CALL(setpgid)
{
    return 0;
}

SYSTEM_CALL(getuid) /* user and group, real and effective */
{
    return 0;
}
SYSTEM_CALL_ALIAS(geteuid, getuid);
SYSTEM_CALL_ALIAS(getgid, getuid);
SYSTEM_CALL_ALIAS(getegid, getuid);
SYSTEM_CALL_ALIAS(setfsuid, getuid);
SYSTEM_CALL_ALIAS(setfsgid, getuid);

SYSTEM_CALL(setuid)
{
    return a == 0 ? 0 : -EPERM;
}
SYSTEM_CALL_ALIAS(setgid, setuid);

/* An id that stays as it is, or root's. */
static bool is_ours(uint64_t id)
{
    return (uint32_t)id == 0 || (uint32_t)id == UINT32_MAX;
}

SYSTEM_CALL(setreuid)
{
    return is_ours(a) && is_ours(b) ? 0 : -EPERM;
}
SYSTEM_CALL_ALIAS(setregid, setreuid);

SYSTEM_CALL(setresuid)
{
    return is_ours(a) && is_ours(b) && is_ours(c) ? 0 : -EPERM;
}
SYSTEM_CALL_ALIAS(setresgid, setresuid);

SYSTEM_CALL(setgroups)
{
    return a == 0 ? 0 : -EPERM;
}

SYSTEM_CALL(getresuid)
{
    const uint64_t addresses[] = { a, b, c };
    for (int i = 0; i < 3; i++) {
        if (!user_range_ok(addresses[i], sizeof(uint32_t)))
            return -EFAULT;
        *(uint32_t *)addresses[i] = 0;
    }
    return 0;
}
SYSTEM_CALL_ALIAS(getresgid, getresuid);

SYSTEM_CALL(getgroups)
{
    return 0;
}

SYSTEM_CALL(capget)
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

SYSTEM_CALL(capset)
{
    const size_t size = _LINUX_CAPABILITY_U32S_3 * sizeof(struct __user_cap_data_struct);
    if (!user_range_ok(a, sizeof(struct __user_cap_header_struct)) || !user_range_ok(b, size))
        return -EFAULT;
    if (((const struct __user_cap_header_struct *)a)->version != _LINUX_CAPABILITY_VERSION_3)
        return -EINVAL;
    for (size_t i = 0; i < size / sizeof(uint32_t); i++)
        if (((const uint32_t *)b)[i])
            return -EPERM; /* none can be gained */
    return 0;
}

SYSTEM_CALL(personality)
{
    return (uint32_t)a == 0xffffffff || a == 0 ? 0 : -EINVAL;
}
