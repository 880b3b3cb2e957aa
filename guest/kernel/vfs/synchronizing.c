/* System calls that write files out or say how they will be used. All is in memory, so they only
 * check what Linux checks. */
#include "vfs/file.h"

enum { SYNC_WAIT_BEFORE = 1, SYNC_WRITE = 2, SYNC_WAIT_AFTER = 4 };
enum { LAST_ADVICE = 5 }; /* POSIX_FADV_NOREUSE */

SYSTEM_CALL(sync)
{
    return 0;
}

/* The type of an open file, S_IF..., or -EBADF. */
static int64_t type_of(uint64_t fd, bool for_reading)
{
    struct status status;
    struct file *file = file_get((int)fd);
    if (!file)
        return -EBADF;
    file->operations->status(file, &status);
    const bool may = !for_reading || file_readable(file);
    file_put(file);
    return may ? (int64_t)(status.mode & S_IFMT) : -EBADF;
}

static bool has_contents(int64_t type)
{
    return type == S_IFREG || type == S_IFDIR;
}

SYSTEM_CALL(fsync)
{
    const int64_t type = type_of(a, false);
    return type < 0 ? type : has_contents(type) ? 0 : -EINVAL;
}
SYSTEM_CALL_ALIAS(fdatasync, fsync);

SYSTEM_CALL(syncfs)
{
    const int64_t type = type_of(a, false);
    return type < 0 ? type : 0;
}

SYSTEM_CALL(sync_file_range)
{
    const uint64_t known = SYNC_WAIT_BEFORE | SYNC_WRITE | SYNC_WAIT_AFTER;
    const int64_t type = type_of(a, false);
    int64_t end;
    if (type < 0)
        return type;
    if ((d & ~known) || (int64_t)b < 0 || (int64_t)c < 0 ||
        __builtin_add_overflow((int64_t)b, (int64_t)c, &end))
        return -EINVAL;
    return has_contents(type) ? 0 : -ESPIPE;
}

SYSTEM_CALL(readahead)
{
    const int64_t type = type_of(a, true);
    return type < 0 ? type : type == S_IFREG ? 0 : -EINVAL;
}

SYSTEM_CALL(fadvise64)
{
    const int64_t type = type_of(a, false);
    if (type < 0)
        return type;
    if (type == S_IFIFO)
        return -ESPIPE;
    return (int64_t)c < 0 || (uint32_t)d > LAST_ADVICE || type == S_IFSOCK ? -EINVAL : 0;
}
