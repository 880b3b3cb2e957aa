/* Extended attributes: no file system here has them, and programs that copy files want to hear just
 * that. */
#include "vfs/file.h"
#include "vfs/syscalls.h"

static int64_t by_path(uint64_t string, bool follow)
{
    char path[PATH_LIMIT];
    struct status status;
    int64_t result = path_from_program(AT_FDCWD, string, follow ? PATH_FOLLOW : 0, path);
    if (result == 0)
        result = path_status(path, follow, &status);
    return result ? result : -EOPNOTSUPP;
}

SYSCALL(sys_xattr)
{
    return by_path(a, true);
}
SYSCALL(sys_lxattr)
{
    return by_path(a, false);
}
SYSCALL(sys_fxattr)
{
    return descriptor_in_use((int)a) ? -EOPNOTSUPP : -EBADF;
}
