/* System calls about who runs here, and on what: one process, one user, who is root. */
#include "host/call.h"
#include "lib/string.h"
#include "mm/user.h"
#include "sched/thread.h"

#include <linux/capability.h>
#include <linux/personality.h>
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

/* There is one group. */
SYSTEM_CALL(setpgid)
{
    if ((int32_t)b < 0)
        return -EINVAL;
    if ((int32_t)a && (int32_t)a != process_id())
        return -ESRCH;
    return (int32_t)b == 0 || (int32_t)b == SESSION_ID ? 0 : -EPERM;
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

/* Words of each set in the structures of a version; 0: there is no such version. */
static size_t capability_words(uint32_t version)
{
    switch (version) {
    case _LINUX_CAPABILITY_VERSION_1:
        return _LINUX_CAPABILITY_U32S_1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        return _LINUX_CAPABILITY_U32S_3;
    default:
        return 0;
    }
}

/* Bytes of the sets behind a header, or a negative errno; a header of another version gets the one
 * that there is. */
static int64_t capability_size(uint64_t address)
{
    if (!user_range_ok(address, sizeof(struct __user_cap_header_struct)))
        return -EFAULT;
    struct __user_cap_header_struct *header = (struct __user_cap_header_struct *)address;
    const size_t words = capability_words(header->version);
    if (words == 0) {
        header->version = _LINUX_CAPABILITY_VERSION_3;
        return -EINVAL;
    }
    return (int64_t)(words * sizeof(struct __user_cap_data_struct));
}

static int32_t capability_owner(uint64_t address)
{
    return ((const struct __user_cap_header_struct *)address)->pid;
}

static bool is_this_process(int32_t id)
{
    return id == 0 || id == process_id() || thread_find(id);
}

SYSTEM_CALL(capget)
{
    const int64_t size = capability_size(a);
    if (size < 0 || !b)
        return size == -EINVAL && !b ? 0 : size < 0 ? size : 0;
    const int32_t owner = capability_owner(a);
    if (owner < 0)
        return -EINVAL;
    if (!is_this_process(owner) && owner != PARENT_ID)
        return -ESRCH;
    if (!user_range_ok(b, (uint64_t)size))
        return -EFAULT;
    memset((void *)b, 0, (size_t)size); /* none: nothing here is privileged */
    return 0;
}

SYSTEM_CALL(capset)
{
    const int64_t size = capability_size(a);
    if (size < 0)
        return size;
    if (!is_this_process(capability_owner(a)))
        return -EPERM;
    if (!user_range_ok(b, (uint64_t)size))
        return -EFAULT;
    for (size_t i = 0; i < (size_t)size / sizeof(uint32_t); i++)
        if (((const uint32_t *)b)[i])
            return -EPERM; /* none can be gained */
    return 0;
}

/* What a program sets of its personality it reads back: addresses are the same in each run, and the
 * rest is for programs of other systems. Another execution domain there is not. */
SYSTEM_CALL(personality)
{
    static uint32_t personality;
    const uint32_t kept = ADDR_NO_RANDOMIZE | SHORT_INODE | WHOLE_SECONDS | STICKY_TIMEOUTS;
    const uint32_t before = personality;
    if ((uint32_t)a == UINT32_MAX)
        return before;
    if ((uint32_t)a & ~kept)
        return -EINVAL;
    personality = (uint32_t)a;
    return before;
}
