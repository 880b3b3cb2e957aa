/* System calls that open files. */
#include "lib/string.h"
#include "mm/user.h"
#include "vfs/file.h"

#include <linux/memfd.h>

/* openat2(2) refuses others; open(2) ignores them. */
#define KNOWN_FLAGS                                                                       \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | \
     O_DSYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |   \
     O_CLOEXEC | O_PATH | O_TMPFILE)

static int64_t open_at(int directory, uint64_t string, int flags, uint32_t mode)
{
    char path[MAX_PATH];
    const bool follow = !(flags & O_NOFOLLOW) && !((flags & O_CREAT) && (flags & O_EXCL));
    int64_t error = path_from_program(
        directory, string, (follow ? PATH_FOLLOW : 0) | (flags & O_CREAT ? PATH_TELL : 0), path);
    if (error < 0)
        return error;
    if (error & PATH_SLASH)
        return -EISDIR;
    if ((flags & O_CREAT) && (flags & O_DIRECTORY))
        return -EINVAL;
    struct file *file = vfs_open(path, flags, (int)permitted_mode(mode & 07777), &error);
    return file ? descriptor_install(file, 0, flags & O_CLOEXEC) : error;
}

SYSTEM_CALL(open)
{
    return open_at(AT_FDCWD, a, (int)b, (uint32_t)c);
}
SYSTEM_CALL(openat)
{
    return open_at((int)a, b, (int)c, (uint32_t)d);
}
SYSTEM_CALL(creat)
{
    return open_at(AT_FDCWD, a, O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)b);
}

SYSTEM_CALL(openat2)
{
    struct {
        uint64_t flags, mode, resolve;
    } how;
    if (d < sizeof how)
        return -EINVAL;
    if (!user_range_ok(c, sizeof how))
        return -EFAULT;
    memcpy(&how, (const void *)c, sizeof how);
    if ((how.flags & ~(uint64_t)KNOWN_FLAGS) || how.mode & ~07777ull)
        return -EINVAL;
    if (how.mode && !(how.flags & O_CREAT) && (how.flags & O_TMPFILE) != O_TMPFILE)
        return -EINVAL;
    /* This kernel cannot resolve as strictly as asked. Programs have a fallback for kernels that
     * lack the call, such as cap-std, which checks for this error. */
    if (how.resolve)
        return -ENOSYS;
    return open_at((int)a, b, (int)how.flags, (uint32_t)how.mode);
}

SYSTEM_CALL(memfd_create)
{
    char path[300];
    int64_t length = user_string_length(a, 250);
    if (length < 0)
        return length == -ENAMETOOLONG ? -EINVAL : length;
    if (b & ~(uint64_t)(MFD_CLOEXEC | MFD_ALLOW_SEALING))
        return -EINVAL;
    format(path, sizeof path, "/memfd:%s (deleted)", (const char *)a);
    struct file *file = tmpfs_anonymous(path, O_RDWR, 0777, b & MFD_ALLOW_SEALING);
    return file ? descriptor_install(file, 0, b & MFD_CLOEXEC) : -ENOMEM;
}
